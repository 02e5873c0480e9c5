#include "client/cli/session_key.h"

#include <functional>
#include <set>

#include "gtest/gtest.h"

namespace cairn::cli {
namespace {

PushIdentity Base() {
  PushIdentity identity;
  identity.ref = "team/run@1000";
  identity.source = "model.safetensors";
  identity.file_identity = "17:/model.safetensors 100 1.0\n";
  identity.select = {"a", "b"};
  identity.metadata = {{"k", "v"}};
  return identity;
}

TEST(SessionKey, IsTheSameForARepeatedCommand) {
  EXPECT_EQ(SessionKey(Base()), SessionKey(Base()));
  EXPECT_LE(SessionKey(Base()).size(), 128u) << "what the server takes";
}

TEST(SessionKey, DiffersAsSoonAsTheBytesOrTheirPlaceWould) {
  const std::function<void(PushIdentity&)> changes[] = {
      [](PushIdentity&) {},
      [](PushIdentity& i) { i.ref = "team/run@1001"; },
      [](PushIdentity& i) { i.source = "safetensors::model.safetensors"; },
      [](PushIdentity& i) { i.file_identity = "17:/model.safetensors 100 1.1\n"; },
      [](PushIdentity& i) { i.float_dtype = Dtype::kBfloat16; },
      [](PushIdentity& i) { i.select = {"a,b"}; },
      [](PushIdentity& i) { i.select = {"a"}; },
      [](PushIdentity& i) { i.recipe = "params/params"; },
      [](PushIdentity& i) { i.metadata["k"] = "w"; },
      [](PushIdentity& i) { i.parent = "team/run@900"; },
      [](PushIdentity& i) { i.overwrite = true; },
  };
  std::set<std::string> keys;
  for (const auto& change : changes) {
    PushIdentity identity = Base();
    change(identity);
    keys.insert(SessionKey(identity));
  }
  EXPECT_EQ(keys.size(), std::size(changes));
}

}  // namespace
}  // namespace cairn::cli
