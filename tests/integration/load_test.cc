#include <cstring>
#include <thread>

#include "gmock/gmock.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class LoadTest : public DaemonTest {
 protected:
  // A [rows, columns] float32 tensor whose element is its own number, saved in column shards by several writers.
  void SaveGrid(int64_t rows, int64_t columns, uint32_t writers) {
    client::SaveSpec spec;
    spec.name = "grid";
    spec.step = 1;
    spec.writers = writers;
    spec.session_key = "grid";
    const int64_t width = columns / writers;
    for (uint32_t writer = 0; writer < writers; ++writer) {
      CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec, writer));
      const Box box{{0, writer * width}, {rows, width}};
      CAIRN_ASSERT_OK(save->PutShard(Tensor("w", Dtype::kFloat32, {rows, columns}), box, Bytes(GridBytes(box, columns))));
      CAIRN_ASSERT_OK(save->Finish());
      if (writer + 1 == writers) {
        CAIRN_ASSERT_OK(save->Commit());
      }
    }
  }

  static std::string GridBytes(const Box& box, int64_t columns) {
    std::string bytes;
    for (int64_t r = 0; r < box.extent[0]; ++r) {
      for (int64_t c = 0; c < box.extent[1]; ++c) {
        const float value = static_cast<float>((box.offset[0] + r) * columns + box.offset[1] + c);
        bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
    }
    return bytes;
  }
};

TEST_F(LoadTest, AnyBoxIsAssembledFromWhateverShardsWereSaved) {
  SaveGrid(200, 512, 8);
  for (const Box& box : {Box{{0, 0}, {200, 512}}, Box{{50, 0}, {10, 512}}, Box{{0, 60}, {200, 70}}, Box{{199, 511}, {1, 1}}}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "grid", .boxes = {{KeyPath::Of({"w"}), box}}}));
    EXPECT_EQ(loaded.at("w"), GridBytes(box, 512)) << box.ToString();
  }
}

TEST_F(LoadTest, ABoxOutsideTheTensorIsRefusedWithItsShape) {
  SaveGrid(4, 8, 1);
  EXPECT_THAT(Load({.ref = "grid", .boxes = {{KeyPath::Of({"w"}), Box{{0, 0}, {5, 8}}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[4, 8]")));
}

TEST_F(LoadTest, FloatsAreCastByTheDaemon) {
  SaveGrid(4, 64, 1);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "grid", .float_dtype = Dtype::kFloat64}));
  const std::string& bytes = loaded.at("w");
  ASSERT_EQ(bytes.size(), 4u * 64 * 8);
  for (int i = 0; i < 256; ++i) {
    double value;
    std::memcpy(&value, bytes.data() + i * 8, 8);
    EXPECT_EQ(value, i);
  }
}

TEST_F(LoadTest, ALoadGoesOnAtTheSameByteAfterTheDaemonWasKilled) {
  const std::string bytes = PatternBytes(64 << 20, 9);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto entry, stream->Next());
  ASSERT_TRUE(entry.has_value());
  std::string loaded;
  int chunks = 0;
  while (true) {
    if (++chunks == 20) {
      daemon_.Kill();
      daemon_.Start();
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const client::GetChunk chunk, stream->ReadChunk());
    if (chunk.empty()) break;
    EXPECT_EQ(chunk.offset, loaded.size());
    for (const Buffer& piece : chunk.pieces) loaded.append(piece.data(), piece.size());
  }
  EXPECT_TRUE(loaded == bytes);
}

TEST_F(LoadTest, SeveralStreamsLoadAtOnce) {
  SaveGrid(512, 512, 4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const Box box{{i * 64, 0}, {64, 512}};
      auto loaded = Load({.ref = "grid", .boxes = {{KeyPath::Of({"w"}), box}}});
      CAIRN_EXPECT_OK(loaded);
      if (loaded.ok()) {
        EXPECT_EQ(loaded->at("w"), GridBytes(box, 512));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LoadTest, AClientThatStopsReadingDoesNotKeepOthersFromLoading) {
  const std::string bytes = PatternBytes(32 << 20, 9);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  std::vector<std::unique_ptr<client::GetStream>> stalled;
  for (int i = 0; i < 10; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
    CAIRN_ASSERT_OK(stream->Next());
    stalled.push_back(std::move(stream));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "run"}));
  EXPECT_TRUE(loaded.at("w") == bytes);
}

}  // namespace
}  // namespace cairn::testing
