// CheckTiling of common/tensor/shape.h, against counting element by element.

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/tensor/shape.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

using Verdict = Tiling::Verdict;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t Upto(int64_t most) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(most + 1)); }

 private:
  std::mt19937_64 engine_;
};

// How often each element is covered, in row-major order.
std::vector<int> CountCover(const Shape& shape, const std::vector<Box>& boxes,
                            std::vector<std::vector<int64_t>>* at) {
  std::vector<int> cover;
  std::vector<int64_t> position(shape.size(), 0);
  while (true) {
    int count = 0;
    for (const Box& box : boxes) {
      bool inside = true;
      for (size_t d = 0; d < shape.size(); ++d) {
        inside = inside && position[d] >= box.offset[d] && position[d] < box.offset[d] + box.extent[d];
      }
      count += inside;
    }
    cover.push_back(count);
    at->push_back(position);
    size_t d = shape.size();
    while (d > 0 && ++position[d - 1] == shape[d - 1]) position[--d] = 0;
    if (d == 0) return cover;
  }
}

bool Contains(const Box& box, const std::vector<int64_t>& position) {
  for (size_t d = 0; d < position.size(); ++d) {
    if (position[d] < box.offset[d] || position[d] >= box.offset[d] + box.extent[d]) return false;
  }
  return true;
}

// Cuts a box in two at random places until there are about `pieces`.
std::vector<Box> RandomPartition(const Shape& shape, int pieces, Random& random) {
  std::vector<Box> boxes = {Box::Whole(shape)};
  for (int i = 1; i < pieces && !shape.empty(); ++i) {
    Box& box = boxes[random.Upto(static_cast<int64_t>(boxes.size()) - 1)];
    const size_t d = random.Upto(static_cast<int64_t>(shape.size()) - 1);
    if (box.extent[d] < 2) continue;
    Box rest = box;
    const int64_t cut = 1 + random.Upto(box.extent[d] - 2);
    box.extent[d] = cut;
    rest.offset[d] += cut;
    rest.extent[d] -= cut;
    boxes.push_back(rest);
  }
  std::shuffle(boxes.begin(), boxes.end(), std::mt19937(static_cast<uint32_t>(random.Upto(1000))));
  return boxes;
}

// Does one of the things that go wrong: a box is lost, sent twice, moved, or has another size.
void Spoil(const Shape& shape, std::vector<Box>* boxes, Random& random) {
  if (boxes->empty()) return;
  const size_t i = random.Upto(static_cast<int64_t>(boxes->size()) - 1);
  const int64_t how = random.Upto(shape.empty() ? 1 : 3);
  if (how == 0) {
    boxes->erase(boxes->begin() + static_cast<int64_t>(i));
  } else if (how == 1) {
    boxes->push_back((*boxes)[i]);
  } else {
    const size_t d = random.Upto(static_cast<int64_t>(shape.size()) - 1);
    Box& box = (*boxes)[i];
    if (how == 2) {
      box.offset[d] = random.Upto(shape[d] - box.extent[d]);
    } else {
      box.extent[d] = random.Upto(shape[d] - box.offset[d]);
    }
  }
}

std::string Show(const Shape& shape, const std::vector<Box>& boxes) {
  return absl::StrCat(ShapeToString(shape), ": ",
                      absl::StrJoin(boxes, " ", [](std::string* out, const Box& box) {
                        absl::StrAppend(out, box.ToString());
                      }));
}

void ExpectRight(const Shape& shape, const std::vector<Box>& boxes) {
  SCOPED_TRACE(Show(shape, boxes));
  std::vector<std::vector<int64_t>> at;
  const std::vector<int> cover = CountCover(shape, boxes, &at);
  const auto wrong = std::find_if(cover.begin(), cover.end(), [](int count) { return count != 1; });
  const Tiling tiling = CheckTiling(shape, boxes);
  if (wrong == cover.end()) {
    ASSERT_EQ(tiling.verdict, Verdict::kExact);
    return;
  }
  ASSERT_EQ(tiling.verdict, *wrong == 0 ? Verdict::kHole : Verdict::kOverlap);
  ASSERT_TRUE(CheckBox(tiling.box, shape).ok()) << tiling.box.ToString();
  ASSERT_EQ(tiling.box.offset, at[wrong - cover.begin()]) << "not the first fault";
  for (size_t i = 0; i < cover.size(); ++i) {
    if (!Contains(tiling.box, at[i])) continue;
    ASSERT_EQ(cover[i] == 0, tiling.verdict == Verdict::kHole) << tiling.box.ToString();
    ASSERT_NE(cover[i], 1) << tiling.box.ToString();
  }
  if (tiling.verdict == Verdict::kOverlap) {
    ASSERT_LT(tiling.first, tiling.second);
    ASSERT_LT(tiling.second, boxes.size());
    Box common;
    ASSERT_TRUE(Intersect(boxes[tiling.first], boxes[tiling.second], &common));
    ASSERT_EQ(tiling.box, common);
  }
}

TEST(CheckTiling, AgreesWithCountingElementsOnRandomPartitionsWholeAndSpoiled) {
  Random random(20240601);
  for (int round = 0; round < 4000; ++round) {
    Shape shape(random.Upto(4));
    for (int64_t& extent : shape) extent = 1 + random.Upto(5);
    std::vector<Box> boxes = RandomPartition(shape, 1 + static_cast<int>(random.Upto(20)), random);
    ASSERT_EQ(CheckTiling(shape, boxes).verdict, Verdict::kExact) << Show(shape, boxes);
    for (int64_t spoils = random.Upto(3); spoils > 0; --spoils) Spoil(shape, &boxes, random);
    ExpectRight(shape, boxes);
    if (HasFatalFailure()) return;
  }
}

TEST(CheckTiling, NamesTheHole) {
  const Tiling tiling = CheckTiling({4, 6}, {{{0, 0}, {2, 6}}, {{2, 0}, {2, 2}}, {{2, 4}, {2, 2}}});
  EXPECT_EQ(tiling.verdict, Verdict::kHole);
  EXPECT_EQ(tiling.box.ToString(), "[2:4, 2:4]");
}

TEST(CheckTiling, NamesALargeHoleRatherThanASmallOneFromTheSameElement) {
  EXPECT_EQ(CheckTiling({10, 100}, {{{1, 99}, {9, 1}}}).box.ToString(), "[0:10, 0:99]");
  EXPECT_EQ(CheckTiling({100, 10}, {{{99, 1}, {1, 9}}}).box.ToString(), "[0:99, 0:10]");
}

TEST(CheckTiling, NamesTheOverlapAndBothBoxes) {
  const Tiling tiling = CheckTiling({4, 6}, {{{0, 0}, {2, 6}}, {{2, 0}, {2, 4}}, {{2, 3}, {2, 3}}});
  EXPECT_EQ(tiling.verdict, Verdict::kOverlap);
  EXPECT_EQ(tiling.box.ToString(), "[2:4, 3:4]");
  EXPECT_EQ(tiling.first, 1u);
  EXPECT_EQ(tiling.second, 2u);
}

TEST(CheckTiling, IsNotFooledByAHoleAndAnOverlapOfEqualVolume) {
  ExpectRight({4}, {{{0}, {2}}, {{0}, {2}}});
  ExpectRight({4, 4}, {{{0, 0}, {2, 4}}, {{2, 0}, {2, 2}}, {{2, 0}, {2, 2}}});
  ExpectRight({3, 3}, {{{0, 0}, {2, 2}}, {{1, 1}, {2, 2}}, {{0, 2}, {1, 1}}});
}

TEST(CheckTiling, AScalarIsCoveredByExactlyOneBox) {
  ExpectRight({}, {});
  ExpectRight({}, {Box{}});
  ExpectRight({}, {Box{}, Box{}});
}

TEST(CheckTiling, ATensorWithoutElementsIsCoveredByAnyBoxes) {
  EXPECT_EQ(CheckTiling({3, 0}, {}).verdict, Verdict::kExact);
  EXPECT_EQ(CheckTiling({3, 0}, {Box::Whole({3, 0}), Box::Whole({3, 0})}).verdict, Verdict::kExact);
}

TEST(CheckTiling, BoxesWithoutElementsDoNotCount) {
  ExpectRight({4}, {{{0}, {4}}, {{2}, {0}}, {{4}, {0}}});
  ExpectRight({4}, {{{0}, {3}}, {{3}, {0}}});
}

TEST(CheckTiling, WithoutBoxesTheWholeTensorIsAHole) {
  EXPECT_EQ(CheckTiling({3, 5}, {}).box, Box::Whole({3, 5}));
  EXPECT_EQ(CheckTiling({3, 5}, {}).verdict, Verdict::kHole);
}

TEST(CheckTiling, TakesTheLargestTensors) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const std::vector<Box> halves = {{{0}, {kMax / 2}}, {{kMax / 2}, {kMax - kMax / 2}}};
  EXPECT_EQ(CheckTiling({kMax}, halves).verdict, Verdict::kExact);
  EXPECT_EQ(CheckTiling({kMax}, {halves[1]}).box, halves[0]);
}

TEST(CheckTiling, FindsOneLostBoxInALargeGrid) {
  constexpr int64_t kSide = 24;
  std::vector<Box> boxes;
  for (int64_t x = 0; x < kSide; ++x) {
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t z = 0; z < kSide; ++z) boxes.push_back({{4 * x, 3 * y, 5 * z}, {4, 3, 5}});
    }
  }
  const Shape shape = {4 * kSide, 3 * kSide, 5 * kSide};
  std::shuffle(boxes.begin(), boxes.end(), std::mt19937(3));
  EXPECT_EQ(CheckTiling(shape, boxes).verdict, Verdict::kExact);
  const Box lost = boxes.back();
  boxes.pop_back();
  EXPECT_EQ(CheckTiling(shape, boxes).verdict, Verdict::kHole);
  EXPECT_EQ(CheckTiling(shape, boxes).box, lost);
  boxes.push_back(lost);
  boxes.push_back(lost);
  EXPECT_EQ(CheckTiling(shape, boxes).verdict, Verdict::kOverlap);
  EXPECT_EQ(CheckTiling(shape, boxes).box, lost);
}

// Tensors split in so many dimensions that counting corners is out of the question. The last kDeep dimensions
// have two elements each and are split one after the other, so that the last piece has an inner end in all of
// them.
class DeepTiling : public ::testing::Test {
 protected:
  static constexpr size_t kDeep = 23;

  static Box Deepen(const Box& flat, size_t piece) {
    Box box = flat;
    for (size_t d = 0; d < kDeep; ++d) {
      box.offset.push_back(d == piece ? 1 : 0);
      box.extent.push_back(d < piece || d == piece ? 1 : 2);
    }
    return box;
  }

  static Shape Deepen(Shape shape) {
    shape.insert(shape.end(), kDeep, 2);
    return shape;
  }
};

TEST_F(DeepTiling, AgreesWithCountingElements) {
  const Shape flat_shape = {5, 4};
  const Shape shape = Deepen(flat_shape);
  ASSERT_TRUE(ElementCount(shape).ok());
  Random random(99);
  int verdicts[3] = {0, 0, 0};
  for (int round = 0; round < 60; ++round) {
    std::vector<Box> boxes;
    bool hole = false, overlap = false;
    const int64_t spoiled = random.Upto(2 * kDeep);
    for (size_t piece = 0; piece <= kDeep; ++piece) {
      std::vector<Box> flat = RandomPartition(flat_shape, 4, random);
      if (static_cast<int64_t>(piece) == spoiled) Spoil(flat_shape, &flat, random);
      std::vector<std::vector<int64_t>> at;
      for (int count : CountCover(flat_shape, flat, &at)) {
        hole = hole || count == 0;
        overlap = overlap || count > 1;
      }
      for (const Box& box : flat) boxes.push_back(Deepen(box, piece));
    }
    const Tiling tiling = CheckTiling(shape, boxes);
    ++verdicts[static_cast<int>(tiling.verdict)];
    ASSERT_EQ(tiling.verdict == Verdict::kExact, !hole && !overlap);
    if (tiling.verdict == Verdict::kHole) {
      ASSERT_TRUE(hole);
      ASSERT_TRUE(CheckBox(tiling.box, shape).ok());
      Box common;
      for (const Box& box : boxes) ASSERT_FALSE(Intersect(tiling.box, box, &common));
      ASSERT_GT(ElementCount(tiling.box.extent).value(), 0u);
    } else if (tiling.verdict == Verdict::kOverlap) {
      ASSERT_TRUE(overlap);
      ASSERT_LT(tiling.first, tiling.second);
      Box common;
      ASSERT_TRUE(Intersect(boxes[tiling.first], boxes[tiling.second], &common));
      ASSERT_EQ(common, tiling.box);
    }
  }
  for (int count : verdicts) EXPECT_GT(count, 0) << "the rounds should see every verdict";
}

}  // namespace
}  // namespace cairn
