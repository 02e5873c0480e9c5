#include "client/cpp/src/get_deltas.h"

#include <memory>
#include <string>

#include "common/base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"

namespace cairn::client {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::PatternBytes;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint32_t kSize = 4000;

GetAnswer::Chunk DeltaOf(const std::string& base, const std::string& target) {
  std::string delta;
  EXPECT_THAT(DeltaEncoder().Encode(base, target, 2, &delta), IsOk());
  GetAnswer::Chunk chunk;
  chunk.raw_bytes = static_cast<uint32_t>(target.size());
  chunk.base_digest = std::string(DigestOf(base, DigestAlgorithm::kXxh3).AsBytes());
  chunk.pieces = {Buffer::FromString(delta.substr(0, 1)), Buffer::FromString(delta.substr(1))};
  return chunk;
}

std::string Changed(std::string bytes) {
  for (size_t i = 0; i < bytes.size(); i += 700) bytes[i] ^= 3;
  return bytes;
}

class Held final : public HeldBytes {
 public:
  explicit Held(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<bool> ReadAt(const GetEntry&, uint64_t offset, absl::Span<char> dst) override {
    if (bytes_.empty()) return false;
    bytes_.copy(dst.data(), dst.size(), offset);
    return true;
  }

 private:
  const std::string bytes_;
};

TEST(GetDeltasTest, WhatTheCallerHoldsBecomesWhatTheDaemonHas) {
  const std::string base = PatternBytes(kSize, 1), target = Changed(base);
  const GetAnswer::Chunk chunk = DeltaOf(base, target);
  GetDeltas in_place(nullptr);
  absl::StatusOr<GetDeltas::Undone> undone = in_place.Undo(chunk, {}, base);
  ASSERT_THAT(undone, IsOk());
  EXPECT_TRUE(undone->base_fits);
  EXPECT_EQ(undone->bytes, target);

  GetDeltas held(std::make_shared<Held>(base));
  undone = held.Undo(chunk, {}, {});
  ASSERT_THAT(undone, IsOk());
  EXPECT_TRUE(undone->base_fits);
  EXPECT_EQ(undone->bytes, target);
}

TEST(GetDeltasTest, WhatIsTheSameStaysWhereItIs) {
  const std::string base = PatternBytes(kSize, 1);
  GetDeltas deltas(nullptr);
  const absl::StatusOr<GetDeltas::Undone> undone = deltas.Undo(DeltaOf(base, base), {}, base);
  ASSERT_THAT(undone, IsOk());
  EXPECT_TRUE(undone->base_fits);
  EXPECT_EQ(undone->bytes.data(), base.data());
}

TEST(GetDeltasTest, AnotherBaseOrNoneDoesNotFit) {
  const std::string base = PatternBytes(kSize, 1), target = Changed(base);
  const GetAnswer::Chunk chunk = DeltaOf(base, target);
  std::string other = base;
  other.back() ^= 1;
  GetDeltas in_place(nullptr);
  for (const std::string& wrong : {other, std::string(), base.substr(1)}) {
    const absl::StatusOr<GetDeltas::Undone> undone = in_place.Undo(chunk, {}, wrong);
    ASSERT_THAT(undone, IsOk());
    EXPECT_FALSE(undone->base_fits);
  }
  GetDeltas held(std::make_shared<Held>(""));
  const absl::StatusOr<GetDeltas::Undone> undone = held.Undo(chunk, {}, {});
  ASSERT_THAT(undone, IsOk());
  EXPECT_FALSE(undone->base_fits);
}

TEST(GetDeltasTest, DamageIsDataLoss) {
  const std::string base = PatternBytes(kSize, 1), target = Changed(base);
  GetDeltas deltas(nullptr);
  GetAnswer::Chunk cut = DeltaOf(base, target);
  cut.pieces.pop_back();
  EXPECT_THAT(deltas.Undo(cut, {}, base), StatusIs(absl::StatusCode::kDataLoss));
  GetAnswer::Chunk unknown = DeltaOf(base, target);
  unknown.pieces[0] = Buffer::FromString("\x09");
  EXPECT_THAT(deltas.Undo(unknown, {}, base), StatusIs(absl::StatusCode::kDataLoss));
  GetAnswer::Chunk nameless = DeltaOf(base, target);
  nameless.base_digest.clear();
  EXPECT_THAT(deltas.Undo(nameless, {}, base), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("without the digest")));
}

}  // namespace
}  // namespace cairn::client
