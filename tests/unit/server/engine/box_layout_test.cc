#include "server/engine/box_layout.h"

#include <random>

#include "gtest/gtest.h"

namespace cairn {
namespace {

// The position of a coordinate within a box, row-major.
uint64_t PositionIn(const Box& box, const std::vector<int64_t>& at) {
  uint64_t position = 0;
  for (size_t d = 0; d < at.size(); ++d) {
    position = position * static_cast<uint64_t>(box.extent[d]) + static_cast<uint64_t>(at[d] - box.offset[d]);
  }
  return position;
}

std::vector<int64_t> CoordinateOf(const Box& box, uint64_t position) {
  std::vector<int64_t> at(box.extent.size());
  for (size_t d = at.size(); d-- > 0;) {
    at[d] = box.offset[d] + static_cast<int64_t>(position % static_cast<uint64_t>(box.extent[d]));
    position /= static_cast<uint64_t>(box.extent[d]);
  }
  return at;
}

// Cuts a box in two at random, again and again: a random tiling.
void Split(const Box& box, int depth, std::mt19937& random, std::vector<Box>* out) {
  const size_t d = random() % box.extent.size();
  if (depth == 0 || box.extent[d] < 2) {
    out->push_back(box);
    return;
  }
  const int64_t cut = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(box.extent[d] - 1));
  Box first = box, second = box;
  first.extent[d] = cut;
  second.offset[d] += cut;
  second.extent[d] -= cut;
  Split(first, depth - 1, random, out);
  Split(second, depth - 1, random, out);
}

TEST(BoxLayout, EveryElementOfRandomBoxesIsFoundInTheShardThatHasIt) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Shape shape(1 + random() % 4);
    for (int64_t& extent : shape) extent = 1 + static_cast<int64_t>(random() % 7);
    std::vector<Box> shards;
    Split(Box::Whole(shape), static_cast<int>(random() % 5), random, &shards);
    Box target = Box::Whole(shape);
    for (size_t d = 0; d < shape.size(); ++d) {
      target.offset[d] = static_cast<int64_t>(random() % static_cast<uint64_t>(shape[d]));
      target.extent[d] = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(shape[d] - target.offset[d]));
    }
    BoxLayout layout(target, shards);
    for (uint64_t position = 0; position < layout.elements();) {
      const auto run = layout.At(position);
      ASSERT_TRUE(run.has_value());
      ASSERT_GT(run->length, 0u);
      // Each element of the run lies where it says.
      for (uint64_t i = 0; i < run->length; ++i) {
        const std::vector<int64_t> at = CoordinateOf(target, position + i);
        ASSERT_EQ(PositionIn(shards[run->shard], at), run->position + i);
      }
      position += run->length;
    }
  }
}

TEST(BoxLayout, WholeRowsJoinIntoOneRun) {
  BoxLayout layout({{2, 0}, {3, 5}}, std::vector<Box>{{{0, 0}, {10, 5}}});
  const auto run = layout.At(0);
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->length, 15u);
  EXPECT_EQ(run->position, 10u);
}

TEST(BoxLayout, AnElementThatNoShardHasIsNotFound) {
  BoxLayout layout({{0}, {4}}, std::vector<Box>{{{0}, {2}}});
  EXPECT_TRUE(layout.At(1).has_value());
  EXPECT_FALSE(layout.At(2).has_value());
}

TEST(BoxLayout, AScalarIsOneElement) {
  BoxLayout layout({{}, {}}, std::vector<Box>{{{}, {}}});
  EXPECT_EQ(layout.elements(), 1u);
  EXPECT_EQ(layout.At(0)->length, 1u);
}

TEST(BoxLayout, OnlyShardsThatAreReadByTurnsInShortRunsAreInterleaved) {
  const auto split = [](const Shape& shape, size_t dimension, int64_t parts) {
    std::vector<Box> shards;
    for (int64_t part = 0; part < parts; ++part) {
      Box box = Box::Whole(shape);
      box.extent[dimension] = shape[dimension] / parts;
      box.offset[dimension] = part * box.extent[dimension];
      shards.push_back(box);
    }
    return shards;
  };
  const auto interleaved = [](const Box& box, const std::vector<Box>& shards, uint64_t bytes) {
    return BoxLayout(box, shards).Interleaved(std::vector<uint64_t>(shards.size(), bytes), 2);
  };
  const Shape shape = {64, 64};
  EXPECT_EQ(interleaved(Box::Whole(shape), split(shape, 0, 8), 100), 0u) << "one after the other";
  EXPECT_EQ(interleaved(Box::Whole(shape), split(shape, 1, 8), 100), 800u) << "a row lies in all of them";
  EXPECT_EQ(interleaved(Box::Whole(shape), split(shape, 1, 8), 16), 0u) << "what a row needs is all that is read";
  EXPECT_EQ(interleaved({{0, 8}, {64, 16}}, split(shape, 1, 8), 100), 200u) << "of a box its own shards count";
  EXPECT_EQ(interleaved({{3, 0}, {1, 64}}, split(shape, 1, 8), 100), 0u) << "of one row there is no coming back";
  const Shape layers = {4, 8, 16};
  EXPECT_EQ(interleaved(Box::Whole(layers), split(layers, 1, 4), 100), 400u);
  EXPECT_EQ(interleaved({{2, 0, 0}, {1, 8, 16}}, split(layers, 1, 4), 100), 0u);
  EXPECT_EQ(interleaved({{2, 0, 0}, {1, 8, 16}}, split(layers, 2, 4), 100), 400u);
  // Rows of shards, each of two columns of shards: no more than two at a time.
  std::vector<Box> grid;
  for (const Box& rows : split(shape, 0, 4)) {
    for (const int64_t column : {0, 32}) grid.push_back({{rows.offset[0], column}, {16, 32}});
  }
  EXPECT_EQ(interleaved(Box::Whole(shape), grid, 100), 200u);
  EXPECT_EQ(interleaved(Box::Whole({7}), split({7}, 0, 7), 100), 0u);
  EXPECT_EQ(interleaved(Box{}, {Box{}}, 100), 0u);
}

}  // namespace
}  // namespace cairn
