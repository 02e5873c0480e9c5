#include "tests/contract/object_store_contract.h"

#include <memory>

#include "server/store/local_object_store.h"
#include "server/store/memory_object_store.h"
#include "tests/testing/faulty_object_store.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

struct LocalStoreInFolder {
  TempDir folder;
  std::unique_ptr<ObjectStore> store;
};

std::shared_ptr<ObjectStore> MakeLocalStore(LocalObjectStoreOptions options) {
  auto local = std::make_shared<LocalStoreInFolder>();
  options.root = local->folder / "store";
  auto store = OpenLocalObjectStore(options);
  EXPECT_TRUE(store.ok()) << store.status();
  if (!store.ok()) return nullptr;
  local->store = *std::move(store);
  return std::shared_ptr<ObjectStore>(local, local->store.get());
}

INSTANTIATE_TEST_SUITE_P(
    Stores, ObjectStoreContract,
    ::testing::Values(
        ObjectStoreContractParam{"Memory", [] { return std::shared_ptr(NewMemoryObjectStore()); }},
        ObjectStoreContractParam{"Local", [] { return MakeLocalStore({}); }},
        ObjectStoreContractParam{"LocalThroughThePageCache", [] { return MakeLocalStore({.direct_write_bytes = 0}); }},
        ObjectStoreContractParam{"LocalDirectReads", [] { return MakeLocalStore({.direct_reads = true}); }},
        ObjectStoreContractParam{"LocalWithoutSync", [] { return MakeLocalStore({.durable = false}); }},
        // The decorator of the fault tests must change nothing while it is idle.
        ObjectStoreContractParam{"Faulty",
                                 [] { return std::make_shared<FaultyObjectStore>(NewMemoryObjectStore()); }}),
    ContractName);

}  // namespace
}  // namespace cairn::testing
