#include "client/cpp/src/block_pool.h"

#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace cairn::client {
namespace {

TEST(BlockPool, UsesBlocksAgain) {
  BlockPool pool(4096, 1);
  char* first = pool.Take().get();
  EXPECT_EQ(pool.Take().get(), first);
  const std::shared_ptr<char> held = pool.Take();
  EXPECT_NE(pool.Take().get(), held.get());
}

TEST(BlockPool, BlocksMayOutliveIt) {
  std::shared_ptr<char> block;
  {
    BlockPool pool(64, 4);
    block = pool.Take();
  }
  block.get()[63] = 'x';
}

TEST(BlockPool, ServesSeveralThreads) {
  BlockPool pool(64, 2);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&pool, i] {
      for (int j = 0; j < 1000; ++j) pool.Take().get()[i] = static_cast<char>(j);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace cairn::client
