#include "common/namemap/virtual_tensor.h"

#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;

// An array of numbers that the same operations are done to, element by element.
struct Model {
  Shape shape;
  std::vector<int64_t> values;  // source * 1'000'000 + element.

  static Model Whole(size_t source, Shape shape) {
    Model model{std::move(shape), {}};
    int64_t count = 1;
    for (const int64_t extent : model.shape) count *= extent;
    for (int64_t i = 0; i < count; ++i) model.values.push_back(static_cast<int64_t>(source) * 1'000'000 + i);
    return model;
  }
  std::vector<int64_t> Position(int64_t flat) const {
    std::vector<int64_t> position(shape.size());
    for (size_t i = shape.size(); i-- > 0;) {
      position[i] = flat % shape[i];
      flat /= shape[i];
    }
    return position;
  }
  int64_t Flat(const std::vector<int64_t>& position) const {
    int64_t flat = 0;
    for (size_t i = 0; i < shape.size(); ++i) flat = flat * shape[i] + position[i];
    return flat;
  }
  Model Permuted(const std::vector<size_t>& order) const {
    Model result;
    for (const size_t axis : order) result.shape.push_back(shape[axis]);
    result.values.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const std::vector<int64_t> position = Position(static_cast<int64_t>(i));
      std::vector<int64_t> to;
      for (const size_t axis : order) to.push_back(position[axis]);
      result.values[static_cast<size_t>(result.Flat(to))] = values[i];
    }
    return result;
  }
  Model Sliced(size_t axis, int64_t start, int64_t extent) const {
    Model result{shape, {}};
    result.shape[axis] = extent;
    for (size_t i = 0; i < values.size(); ++i) {
      const int64_t at = Position(static_cast<int64_t>(i))[axis];
      if (at >= start && at < start + extent) result.values.push_back(values[i]);
    }
    return result;
  }
  static Model Concatenated(const Model& a, const Model& b, size_t axis) {
    Model result{a.shape, {}};
    result.shape[axis] += b.shape[axis];
    result.values.resize(a.values.size() + b.values.size());
    for (const Model* part : {&a, &b}) {
      for (size_t i = 0; i < part->values.size(); ++i) {
        std::vector<int64_t> position = part->Position(static_cast<int64_t>(i));
        if (part == &b) position[axis] += a.shape[axis];
        result.values[static_cast<size_t>(result.Flat(position))] = part->values[i];
      }
    }
    return result;
  }
};

Model Materialise(const VirtualTensor& tensor) {
  Model result{tensor.shape(), {}};
  const std::vector<int64_t> factors = tensor.factors();
  int64_t count = 1;
  for (const int64_t factor : factors) count *= factor;
  result.values.assign(static_cast<size_t>(count), -1);
  Model flat{factors, {}};
  for (const VirtualTensor::Piece& piece : tensor.pieces()) {
    Model box{piece.box.extent, {}};
    int64_t elements = 1;
    for (const int64_t extent : piece.box.extent) elements *= extent;
    for (int64_t i = 0; i < elements; ++i) {
      std::vector<int64_t> position = box.Position(i);
      int64_t from = piece.offset;
      for (size_t d = 0; d < position.size(); ++d) {
        from += position[d] * piece.strides[d];
        position[d] += piece.box.offset[d];
      }
      int64_t& value = result.values[static_cast<size_t>(flat.Flat(position))];
      EXPECT_EQ(value, -1) << "two pieces have one element";
      value = static_cast<int64_t>(piece.source_entry) * 1'000'000 + from;
    }
  }
  return result;
}

void ExpectEqual(const VirtualTensor& tensor, const Model& model) {
  const Model found = Materialise(tensor);
  ASSERT_EQ(found.shape, model.shape);
  ASSERT_EQ(found.values, model.values);
}

TEST(VirtualTensor, AWholeTensorIsItsSourceAndStaysSoWhenCutAndJoined) {
  VirtualTensor tensor = VirtualTensor::Whole(3, Dtype::kFloat32, {12, 5});
  EXPECT_TRUE(tensor.IsWhole());
  CAIRN_ASSERT_OK(tensor.Split(0, {3, 2, 2}));
  EXPECT_TRUE(tensor.IsWhole());
  tensor.Join(0, 3);
  EXPECT_EQ(tensor.shape(), (Shape{12, 5}));
  ExpectEqual(tensor, Model::Whole(3, {12, 5}));
}

TEST(VirtualTensor, RowsPutInRotaryOrderAndBackAreTheSource) {
  VirtualTensor tensor = VirtualTensor::Whole(0, Dtype::kFloat32, {24, 5});
  CAIRN_ASSERT_OK(tensor.Split(0, {4, 2, 3}));
  tensor.Permute({0, 2, 1, 3});
  tensor.Join(0, 3);
  EXPECT_FALSE(tensor.IsWhole());
  Model model = Model::Whole(0, {4, 2, 3, 5}).Permuted({0, 2, 1, 3});
  model.shape = {24, 5};
  ExpectEqual(tensor, model);
  CAIRN_ASSERT_OK(tensor.Split(0, {4, 3, 2}));
  tensor.Permute({0, 2, 1, 3});
  tensor.Join(0, 3);
  EXPECT_TRUE(tensor.IsWhole());
}

TEST(VirtualTensor, ACutThatTearsAPermutedDimensionApartIsRefused) {
  VirtualTensor tensor = VirtualTensor::Whole(0, Dtype::kFloat32, {6});
  CAIRN_ASSERT_OK(tensor.Split(0, {2, 3}));
  tensor.Permute({1, 0});
  tensor.Join(0, 2);
  EXPECT_THAT(tensor.Split(0, {2, 3}), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(VirtualTensor, WithoutElementsOnlyRenamingIsPossible) {
  VirtualTensor tensor = VirtualTensor::Whole(0, Dtype::kFloat32, {0, 4});
  EXPECT_TRUE(tensor.IsWhole());
  EXPECT_EQ(tensor.shape(), (Shape{0, 4}));
  EXPECT_THAT(tensor.Split(1, {2, 2}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(VirtualTensor, PartsOfDifferentDtypesAreNotJoined) {
  EXPECT_THAT(
      VirtualTensor::Concatenate(
          {VirtualTensor::Whole(0, Dtype::kFloat32, {2, 3}), VirtualTensor::Whole(1, Dtype::kBfloat16, {2, 3})}, 0),
      StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("parts differ: float32 [2, 3]")));
  EXPECT_FALSE(
      VirtualTensor::Concatenate(
          {VirtualTensor::Whole(0, Dtype::kFloat32, {2, 3}), VirtualTensor::Whole(1, Dtype::kFloat32, {2, 4})}, 0)
          .ok());
}

TEST(VirtualTensor, AnyOperationsInAnyOrderAreThoseOfTheModel) {
  std::mt19937_64 random(5);
  const auto pick = [&](uint64_t below) { return random() % below; };
  int done = 0;
  for (int round = 0; round < 1500; ++round) {
    const Shape start{2 * static_cast<int64_t>(1 + pick(6)), 1 + static_cast<int64_t>(pick(5)), 6};
    VirtualTensor tensor = VirtualTensor::Whole(0, Dtype::kFloat32, start);
    Model model = Model::Whole(0, start);
    size_t sources = 1;
    for (int step = 0; step < 8; ++step) {
      const size_t axis = pick(model.shape.size());
      VirtualTensor tried = tensor;
      switch (pick(5)) {
        case 0: {  // Split by a divisor.
          std::vector<int64_t> divisors;
          for (int64_t d = 1; d <= model.shape[axis]; ++d) {
            if (model.shape[axis] % d == 0) divisors.push_back(d);
          }
          const int64_t outer = divisors[pick(divisors.size())], inner = model.shape[axis] / outer;
          if (!tried.Split(axis, {outer, inner}).ok()) continue;
          model.shape[axis] = outer;
          model.shape.insert(model.shape.begin() + static_cast<ptrdiff_t>(axis) + 1, inner);
          break;
        }
        case 1: {
          if (axis + 1 == model.shape.size()) continue;
          tried.Join(axis, 2);
          model.shape[axis] *= model.shape[axis + 1];
          model.shape.erase(model.shape.begin() + static_cast<ptrdiff_t>(axis) + 1);
          break;
        }
        case 2: {
          std::vector<size_t> order(model.shape.size());
          std::iota(order.begin(), order.end(), size_t{0});
          std::shuffle(order.begin(), order.end(), random);
          tried.Permute(order);
          model = model.Permuted(order);
          break;
        }
        case 3: {
          const int64_t extent = 1 + static_cast<int64_t>(pick(static_cast<uint64_t>(model.shape[axis])));
          const int64_t from = static_cast<int64_t>(pick(static_cast<uint64_t>(model.shape[axis] - extent + 1)));
          if (!tried.Slice(axis, from, extent).ok()) continue;
          model = model.Sliced(axis, from, extent);
          break;
        }
        default: {
          Shape shape = model.shape;
          shape[axis] = 1 + static_cast<int64_t>(pick(6));
          if (model.values.size() > 5000) continue;
          auto joined =
              VirtualTensor::Concatenate({tried, VirtualTensor::Whole(sources, Dtype::kFloat32, shape)}, axis);
          if (!joined.ok()) continue;
          model = Model::Concatenated(model, Model::Whole(sources, shape), axis);
          tried = *std::move(joined);
          ++sources;
          break;
        }
      }
      tensor = std::move(tried);
      ++done;
      ExpectEqual(tensor, model);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(done, 6000);  // Most operations are possible.
}

}  // namespace
}  // namespace cairn
