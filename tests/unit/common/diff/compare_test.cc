#include "common/diff/compare.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "common/diff/layers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/diff/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::MemoryCheckpoint;
using ::testing::DoubleNear;
using ::testing::ElementsAre;

struct Line {
  std::string what;
  std::optional<TensorSummary> statistics;
  bool close = false;
};

std::vector<std::pair<std::string, Line>> Compare(CheckpointReader& base, CheckpointReader& target,
                                                  CompareOptions options = {}) {
  std::vector<std::pair<std::string, Line>> lines;
  options.threads = 2;
  const absl::Status status = CompareCheckpoints(base, target, options, [&](const EntryComparison& entry) {
    lines.emplace_back(entry.entry().path.ToString(),
                       Line{std::string(DifferenceName(entry.difference)), entry.statistics, entry.close});
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return lines;
}

TEST(CompareTest, NamesEveryKindOfDifferenceInTheOrderOfTheTarget) {
  MemoryCheckpoint base, target;
  base.Tensor("same", Dtype::kInt8, {2}, "ab").Tensor("gone", Dtype::kInt8, {1}, "a").Tensor("shape", Dtype::kInt8, {4}, "abcd");
  base.Tensor("dtype", Dtype::kFloat32, {1}, "abcd").OfValue("step", Value::Int(1)).OfValue("name", Value::String("x"));
  base.Tensor("kind", Dtype::kInt8, {1}, "a").Asset("config.json", "{}").Tensor("changed", Dtype::kInt8, {2}, "ab");
  target.OfValue("name", Value::String("x")).OfValue("step", Value::Int(2)).Tensor("changed", Dtype::kInt8, {2}, "ac");
  target.Tensor("shape", Dtype::kInt8, {2, 2}, "abcd").Tensor("dtype", Dtype::kFloat16, {1}, "ab");
  target.Tensor("same", Dtype::kInt8, {2}, "ab").OfValue("kind", Value::Int(1)).Asset("config.json", "{ }");
  target.Tensor("new", Dtype::kInt8, {1}, "a");
  std::vector<std::pair<std::string, std::string>> lines;
  for (const auto& [path, line] : Compare(base, target)) lines.emplace_back(path, line.what);
  using P = std::pair<std::string, std::string>;
  EXPECT_THAT(lines, ElementsAre(P("name", "equal"), P("step", "value changed"), P("changed", "changed"),
                                 P("shape", "reshaped"), P("dtype", "recast"), P("same", "equal"), P("kind", "added"),
                                 P("config.json", "changed"), P("new", "added"), P("gone", "removed"), P("kind", "removed")));
}

TEST(CompareTest, NumbersAreThoseOfTheDefinition) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  MemoryCheckpoint base, target;
  base.Numbers<float>("w", Dtype::kFloat32, {1, 2, -4, 0, kNan, kInf, 5, 0});
  target.Numbers<float>("w", Dtype::kFloat32, {1, 2.5, -3, 1, kNan, 7, kNan, -0.0f});
  const TensorSummary s = *Compare(base, target)[0].second.statistics;
  EXPECT_EQ(s.elements, 8u);
  EXPECT_EQ(s.changed, 6u);  // 2.5, -3, 1, 7, nan, -0.0.
  EXPECT_EQ(s.outside, 5u);  // All of these but minus zero.
  EXPECT_EQ(s.base_nan, 1u);
  EXPECT_EQ(s.target_nan, 2u);
  EXPECT_EQ(s.base_infinite, 1u);
  EXPECT_EQ(s.target_infinite, 0u);
  EXPECT_EQ(s.max_absolute, 1);
  EXPECT_DOUBLE_EQ(s.mean_absolute, 2.5 / 5);
  EXPECT_EQ(s.max_relative, 0.25);
  EXPECT_DOUBLE_EQ(s.mean_relative, (0.25 + 0.25) / 3);
  EXPECT_DOUBLE_EQ(s.norm, std::sqrt(0.25 + 1 + 1));
  EXPECT_DOUBLE_EQ(s.cosine, (1 + 5 + 12) / std::sqrt(21.0 * (1 + 6.25 + 9 + 1)));
}

TEST(CompareTest, EveryDtypeHasItsNumbers) {
  for (const Dtype dtype : AllDtypes()) {
    const bool packed = BitWidth(dtype) % 8 != 0 || dtype == Dtype::kF4Packed;
    MemoryCheckpoint base, target;
    const Shape shape = packed ? Shape{8} : Shape{3};
    const uint64_t size = *ByteSize(dtype, shape);
    base.Tensor("w", dtype, shape, std::string(size, '\x01'));
    target.Tensor("w", dtype, shape, std::string(size, '\x01'));
    target.bytes(0)[0] = '\x00';
    const auto lines = Compare(base, target);
    EXPECT_EQ(lines[0].second.what, "changed") << DtypeName(dtype);
    EXPECT_EQ(lines[0].second.statistics->changed, 1u) << DtypeName(dtype);
    EXPECT_NE(lines[0].second.statistics->has_values, packed) << DtypeName(dtype);
    EXPECT_GT(lines[0].second.statistics->elements, 0u);
  }
}

TEST(CompareTest, ToleranceIsThatOfAllclose) {
  MemoryCheckpoint base, target;
  base.Numbers<double>("w", Dtype::kFloat64, {100, 0});
  target.Numbers<double>("w", Dtype::kFloat64, {101, 0.001});
  CompareOptions options;
  EXPECT_FALSE(Compare(base, target, options)[0].second.close);
  options.tolerance = {0.0011, 0.01};
  EXPECT_TRUE(Compare(base, target, options)[0].second.close);
  options.tolerance = {0.0009, 0.01};
  EXPECT_FALSE(Compare(base, target, options)[0].second.close);
}

TEST(CompareTest, EqualDigestsAreNotReadAndLargeTensorsAreReadInWindows) {
  MemoryCheckpoint base, target;
  const std::string zeros(5'000'000, '\0');
  base.Tensor("a", Dtype::kBfloat16, {2'500'000}, zeros).Tensor("b", Dtype::kInt8, {1}, "x");
  target.Tensor("a", Dtype::kBfloat16, {2'500'000}, zeros).Tensor("b", Dtype::kInt8, {1}, "y");
  target.bytes(0)[4'999'999] = '\x3f';
  EXPECT_EQ(Compare(base, target)[0].second.statistics->changed, 1u);
  EXPECT_EQ(base.bytes_read(), 5'000'001u);
  CompareOptions options;
  options.base_digests = options.target_digests = {"one", "two"};
  options.target_digests[1] = "other";
  const auto lines = Compare(base, target, options);
  EXPECT_EQ(lines[0].second.what, "equal");
  EXPECT_EQ(lines[1].second.what, "changed");
  EXPECT_EQ(base.bytes_read(), 5'000'002u);
}

TEST(CompareTest, ARecastTensorOfOneShapeIsComparedByItsNumbers) {
  MemoryCheckpoint base, target;
  base.Numbers<float>("w", Dtype::kFloat32, {1, 2});
  target.Numbers<double>("w", Dtype::kFloat64, {1, 2.5});
  const auto lines = Compare(base, target);
  EXPECT_EQ(lines[0].second.what, "recast");
  EXPECT_EQ(lines[0].second.statistics->changed, 1u);
  EXPECT_EQ(lines[0].second.statistics->max_absolute, 0.5);
}

TEST(LayersTest, TheFirstNumberOfAPathIsItsLayer) {
  const auto split = [](const KeyPath& path) {
    const LayerName name = SplitLayer(path);
    return std::pair(name.layer, name.kind);
  };
  using P = std::pair<std::string, std::string>;
  EXPECT_EQ(split(KeyPath::Of({"model.layers.12.self_attn.q_proj.weight"})), P("model.layers.12", "self_attn.q_proj.weight"));
  EXPECT_EQ(split(KeyPath::Of({"transformer", "h", "3", "wq", "kernel"})), P("transformer/h/3", "wq/kernel"));
  EXPECT_EQ(split(KeyPath({std::string("layers"), int64_t{4}, std::string("w")})), P("layers/4", "w"));
  EXPECT_EQ(split(KeyPath::Of({"lm_head.weight"})), P("", "lm_head.weight"));
}

TEST(LayersTest, LayersStandInTheOrderOfTheirNumbers) {
  MemoryCheckpoint base, target;
  for (const char* name : {"h.10.w", "h.9.w", "head", "h.1.w", "h.1.b"}) {
    base.Numbers<float>(name, Dtype::kFloat32, {3, 4});
    target.Numbers<float>(name, Dtype::kFloat32, {3, 4});
  }
  target.bytes(0) = std::string(8, '\0');
  LayerTable table;
  ASSERT_TRUE(CompareCheckpoints(base, target, {}, [&](const EntryComparison& entry) {
                table.Add(entry);
                return absl::OkStatus();
              }).ok());
  table.Sort();
  EXPECT_THAT(table.layers(), ElementsAre("h.1", "h.9", "h.10", ""));
  EXPECT_THAT(table.kinds(), ElementsAre("w", "head", "b"));
  EXPECT_EQ(table.Total("h.1").tensors, 2u);
  EXPECT_EQ(table.Total("h.10").changed_elements, 2u);
  EXPECT_DOUBLE_EQ(table.Total("h.10").RelativeNorm(), 1);
  EXPECT_EQ(table.Find("h.9", "b"), nullptr);
}

}  // namespace
}  // namespace cairn
