#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "server/store/object_store.h"

namespace cairn::testing {

// What every ObjectStore must do, whatever lies behind it. A test binary lists object_store_contract.cc among
// its sources and instantiates the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, ObjectStoreContract, ::testing::Values(ObjectStoreContractParam{...}),
//   ContractName);
struct ObjectStoreContractParam {
  std::string name;
  // An empty store. Shared, so that the pointer may also own what the store lives in (a folder, a server).
  std::function<std::shared_ptr<ObjectStore>()> make_store;
};

class ObjectStoreContract : public ::testing::TestWithParam<ObjectStoreContractParam> {
 protected:
  void SetUp() override {
    store_ = GetParam().make_store();
    ASSERT_NE(store_, nullptr);
  }

  std::shared_ptr<ObjectStore> store_;
};

inline std::string ContractName(const ::testing::TestParamInfo<ObjectStoreContractParam>& info) {
  return info.param.name;
}

}  // namespace cairn::testing
