// Every map that comes with the program, both ways, on small tensors of random bytes.
#include <map>
#include <set>
#include <string>

#include "common/namemap/map_library.h"
#include "common/namemap/rule_check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/namemap/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::Apply;
using ::cairn::testing::MemoryCheckpoint;

constexpr int64_t kLayers = 2, kExperts = 3;

// No two of the same size, where they could be taken for each other.
const Symbols kSymbols = {{"hidden", 10}, {"heads", 4},     {"kv_heads", 2},     {"head_dim", 6}, {"half", 3},
                          {"q_rows", 24}, {"kv_rows", 12},  {"per_group", 2},    {"vocab", 7},    {"inter", 5},
                          {"experts", 3}, {"qkv_rows", 48}, {"expert_inter", 9}, {"_norm", 6},    {"_rows", 11}};

std::vector<std::map<std::string, int64_t>> Numbers(const NamePattern& name) {
  std::vector<std::map<std::string, int64_t>> all{{}};
  for (const std::string& placeholder : name.placeholders()) {
    std::vector<std::map<std::string, int64_t>> longer;
    for (const auto& numbers : all) {
      for (int64_t i = 0; i < (placeholder == "e" ? kExperts : kLayers); ++i) {
        longer.push_back(numbers);
        longer.back()[placeholder] = i;
      }
    }
    all = std::move(longer);
  }
  return all;
}

// Every tensor that a side of the map knows, but for rules whose other side a rule before them has already.
MemoryCheckpoint Checkpoint(const NameMap& map, size_t side, const Naming& naming) {
  MemoryCheckpoint checkpoint;
  std::set<std::string> known;
  for (const NameMap::Rule& rule : map.rules) {
    if (!known.insert(rule.sides[0][0].name.text()).second) continue;
    if (!known.insert("-> " + rule.sides[1][0].name.text()).second) continue;
    for (const NameMap::Tensor& tensor : rule.sides[side]) {
      Shape shape;
      for (const DimAxes& dim : tensor.axes.dims) {
        const std::optional<int64_t> size = Evaluate(dim, kSymbols, kExperts);
        EXPECT_TRUE(size.has_value()) << rule.where;
        shape.push_back(size.value_or(1));
      }
      for (const auto& numbers : Numbers(tensor.name)) {
        checkpoint.AddTensor(PathOfName(tensor.name.Fill(numbers), naming.nested), Dtype::kBfloat16, shape);
      }
    }
  }
  return checkpoint;
}

Symbols Given() {
  Symbols given = kSymbols;
  given.erase("_norm");
  given.erase("_rows");
  return given;
}

TEST(BuiltinMaps, EachMapAndItsInverseGiveTheCheckpointBack) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto library, MapLibrary::Create());
  ASSERT_GE(library->maps().size(), 14u);
  for (const NameMap& map : library->maps()) {
    for (size_t side = 0; side < 2; ++side) {
      SCOPED_TRACE(map.sides[side] + " -> " + map.sides[1 - side]);
      CAIRN_ASSERT_OK_AND_ASSIGN(const Naming* from, library->Find(map.sides[side]));
      CAIRN_ASSERT_OK_AND_ASSIGN(const Naming* to, library->Find(map.sides[1 - side]));
      MemoryCheckpoint source = Checkpoint(map, side, *from);
      const MapStep there{&map, side, from, to}, back{&map, 1 - side, to, from};
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint mapped, Apply(source, {there}, Given()));
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint again, Apply(mapped, {back}, Given()));
      EXPECT_THAT(mapped.Contents(), ::testing::Ne(source.Contents()));
      EXPECT_EQ(again.Contents(), source.Contents());
      // Both at once, without a checkpoint between them.
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint at_once, Apply(source, {there, back}, Given()));
      EXPECT_EQ(at_once.Contents(), source.Contents());
    }
  }
}

TEST(BuiltinMaps, AWayOverTwoMapsIsOneAfterTheOther) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto library, MapLibrary::Create());
  const std::vector<std::string> names = {"meta-llama", "easylm", "torchtitan", "litgpt"};
  for (const std::string& from : names) {
    for (const std::string& to : names) {
      if (from == to) continue;
      SCOPED_TRACE(from + " -> " + to);
      const auto hf = [&](const std::string& name) -> const NameMap& {
        for (const NameMap& map : library->maps()) {
          if (map.sides[0] == "hf-llama" && map.sides[1] == name) return map;
        }
        ADD_FAILURE() << name;
        return library->maps()[0];
      };
      // A model that all of them can name: no biases, no norms of q and k.
      MemoryCheckpoint llama = Checkpoint(hf("meta-llama"), 0, **library->Find("hf-llama"));
      const Naming* hub = *library->Find("hf-llama");
      const MapStep to_source{&hf(from), 0, hub, *library->Find(from)};
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint source, Apply(llama, {to_source}, Given()));
      CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<MapStep> way, library->FindWay(from, to, source.index(), {}));
      ASSERT_EQ(way.size(), 2u);
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint direct, Apply(source, way, Given()));
      const MapStep to_target{&hf(to), 0, hub, *library->Find(to)};
      CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint expected, Apply(llama, {to_target}, Given()));
      EXPECT_EQ(direct.Contents(), expected.Contents());
    }
  }
}

TEST(BuiltinMaps, EachNamingOfAMapIsDetectedByItsNames) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto library, MapLibrary::Create());
  for (const NameMap& map : library->maps()) {
    for (size_t side = 0; side < 2; ++side) {
      SCOPED_TRACE(map.sides[side] + " of " + map.sides[0] + ":" + map.sides[1]);
      CAIRN_ASSERT_OK_AND_ASSIGN(const Naming* naming, library->Find(map.sides[side]));
      MemoryCheckpoint source = Checkpoint(map, side, *naming);
      CAIRN_ASSERT_OK_AND_ASSIGN(const Naming* found, library->Detect(source.index(), {}));
      EXPECT_EQ(found->name, naming->name);
    }
  }
}

}  // namespace
}  // namespace cairn
