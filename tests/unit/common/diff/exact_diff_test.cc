#include "common/diff/exact_diff.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>

#include "common/diff/content_digest.h"
#include "common/diff/diff_asset.h"
#include "common/diff/recover_reader.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/cairndiff_attacks.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/diff/random_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::MemoryCheckpoint;
using ::cairn::testing::RandomPair;
using ::testing::HasSubstr;

std::string DiffOf(CheckpointReader& base, CheckpointReader& target, ExactDiffReport* report = nullptr) {
  std::string file;
  MemorySink sink(&file);
  ExactDiffOptions options;
  options.base_label = "team/run@1000";
  options.target_label = "team/run@2000";
  options.threads = 2;
  const absl::StatusOr<ExactDiffReport> result = WriteExactDiff(base, target, options, sink);
  EXPECT_TRUE(result.ok()) << result.status();
  if (result.ok() && report != nullptr) *report = *result;
  EXPECT_TRUE(sink.Close().ok());
  return file;
}

absl::StatusOr<std::unique_ptr<RecoverReader>> Recover(CheckpointReader& base, std::string diff) {
  return RecoverReader::Open(base, std::make_unique<MemorySource>(std::move(diff), "a.cairndiff"), ReadLimits(), Cancellation());
}

absl::StatusOr<std::string> ReadAll(CheckpointReader& reader, size_t entry, size_t window = 3'000'000) {
  std::string bytes(reader.index().entries[entry].byte_size, '\0');
  for (size_t at = 0; at < bytes.size(); at += window) {
    const absl::Status status = reader.ReadAt(entry, at, absl::MakeSpan(bytes).subspan(at, window));
    if (!status.ok()) return status;
  }
  return bytes;
}

std::string Digest(CheckpointReader& reader) {
  const absl::StatusOr<cairn::Digest> digest = ContentDigest(reader, Cancellation(), nullptr);
  return digest.ok() ? digest->ToHex() : digest.status().ToString();
}

TEST(ExactDiffTest, WhatIsRecoveredIsTheTargetForTwoHundredPairs) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    RandomPair pair(seed);
    ASSERT_TRUE(pair.target.index().Check().ok());
    ExactDiffReport report;
    const std::string diff = DiffOf(pair.base, pair.target, &report);
    EXPECT_EQ(report.base_content.ToHex(), Digest(pair.base));
    EXPECT_EQ(report.target_content.ToHex(), Digest(pair.target));
    const absl::StatusOr<std::unique_ptr<RecoverReader>> reader = Recover(pair.base, diff);
    ASSERT_TRUE(reader.ok()) << "seed " << seed << ": " << reader.status();
    EXPECT_EQ(Digest(**reader), report.target_content.ToHex()) << "seed " << seed;
    EXPECT_EQ((*reader)->index().metadata, pair.target.index().metadata);
    ASSERT_EQ((*reader)->index().entries.size(), pair.target.index().entries.size());
    for (size_t i = 0; i < pair.target.index().entries.size(); ++i) {
      EXPECT_EQ((*reader)->index().entries[i].path, pair.target.index().entries[i].path);
      const absl::StatusOr<std::string> bytes = ReadAll(**reader, i, 1'500'000);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      ASSERT_TRUE(*bytes == pair.target.bytes(i)) << "seed " << seed << " entry " << i;
    }
  }
}

TEST(ExactDiffTest, PiecesThatAreKnownToBeEqualAreNotRead) {
  MemoryCheckpoint base, target;
  const std::string same = cairn::testing::PatternBytes(3 * kDiffPieceBytes, 1);
  base.Tensor("w", Dtype::kInt8, {3 * kDiffPieceBytes}, same).Tensor("gone", Dtype::kInt8, {100}, same.substr(0, 100));
  target.Tensor("w", Dtype::kInt8, {3 * kDiffPieceBytes}, same).Tensor("new", Dtype::kInt8, {100}, same.substr(0, 100));
  target.bytes(0)[kDiffPieceBytes + 5] ^= 1;
  ExactDiffReport read;
  const std::string expected = DiffOf(base, target, &read);
  const uint64_t base_read = base.bytes_read(), target_read = target.bytes_read();
  const auto known = [](MemoryCheckpoint& of) {
    return [&of](size_t entry, uint64_t piece) -> std::optional<cairn::Digest> {
      return DigestOf(absl::string_view(of.bytes(entry)).substr(piece * kDiffPieceBytes, kDiffPieceBytes), DigestAlgorithm::kXxh3);
    };
  };
  ExactDiffOptions options;
  options.base_label = "team/run@1000";
  options.target_label = "team/run@2000";
  options.base_piece = known(base);
  options.target_piece = known(target);
  std::string file;
  MemorySink sink(&file);
  const absl::StatusOr<ExactDiffReport> report = WriteExactDiff(base, target, options, sink);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(sink.Close().ok());
  EXPECT_EQ(file, expected);
  EXPECT_EQ(report->same_pieces, 2u);
  EXPECT_EQ(base.bytes_read() - base_read, kDiffPieceBytes);
  EXPECT_EQ(target.bytes_read() - target_read, kDiffPieceBytes + 100);
}

TEST(ExactDiffTest, ADiffThatNobodyCouldReadIsRefusedBeforeAnythingIsRead) {
  MemoryCheckpoint base, target;
  for (int i = 0; i < 50; ++i) {
    base.Tensor(absl::StrCat("w", i), Dtype::kInt8, {100}, "a");
    target.Tensor(absl::StrCat("w", i), Dtype::kInt8, {100}, "b");
  }
  const std::string whole = DiffOf(base, target);
  base.Tensor("more", Dtype::kInt8, {100}, "a");
  const uint64_t read = base.bytes_read();
  ExactDiffOptions options;
  options.max_index_bytes = 2000;
  std::string file;
  MemorySink sink(&file);
  const absl::Status refused = WriteExactDiff(base, target, options, sink).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("readers accept at most 2000"));
  EXPECT_EQ(base.bytes_read(), read);
  EXPECT_EQ(sink.size(), 0u);
}

TEST(ExactDiffTest, TheBoundOfAnIndexIsNeverBelowIt) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    RandomPair pair(seed);
    const std::string diff = DiffOf(pair.base, pair.target);
    const DiffIndexClaim claim = ClaimedDiffIndex(MemorySource(diff), ReadLimits());
    const uint64_t index_bytes = claim.bytes;
    ASSERT_GT(index_bytes, 0u);
    EXPECT_EQ(claim.entries, ReadDiffFile(MemorySource(diff), ReadLimits())->entries.size());
    ExactDiffOptions options;
    options.max_index_bytes = index_bytes - 1;
    std::string file;
    MemorySink sink(&file);
    EXPECT_FALSE(WriteExactDiff(pair.base, pair.target, options, sink).ok()) << "seed " << seed;
  }
}

TEST(DiffAssetTest, ADiffOnItsWayLiesInAFileWithoutAName) {
  cairn::testing::TempDir folder;
  RandomPair pair(3);
  ExactDiffReport report;
  const absl::StatusOr<std::unique_ptr<CheckpointReader>> asset =
      MakeDiffAsset(pair.base, pair.target, ExactDiffOptions(), folder.path(), &report);
  ASSERT_TRUE(asset.ok()) << asset.status();
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_TRUE(StoresDiff((*asset)->index()));
  EXPECT_EQ((*asset)->index().metadata.at(kDiffTargetDigestKey), report.target_content.ToHex());
  const absl::StatusOr<std::string> bytes = ReadAll(**asset, 0);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(bytes->size(), report.diff_bytes);
  const absl::StatusOr<std::unique_ptr<RecoverReader>> reader = Recover(pair.base, *bytes);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(Digest(**reader), report.target_content.ToHex());
}

MemoryCheckpoint Model(char fill, size_t pieces = 3) {
  MemoryCheckpoint model;
  model.Tensor("w", Dtype::kFloat32, {static_cast<int64_t>(pieces * (kDiffPieceBytes / 4))},
               std::string(pieces * kDiffPieceBytes, fill));
  model.Tensor("b", Dtype::kInt32, {4}, std::string(16, fill));
  model.OfValue("step", Value::Int(fill));
  return model;
}

TEST(ExactDiffTest, WhatIsEqualCostsNoBytesButItsDigests) {
  MemoryCheckpoint base = Model('a', 64), target = Model('a', 64);
  ExactDiffReport report;
  const std::string diff = DiffOf(base, target, &report);
  EXPECT_EQ(report.same_pieces, report.pieces);
  EXPECT_LT(diff.size(), 64u * 20 + 300);
}

TEST(ExactDiffTest, AnyBytesAtAnyPlaceCanBeRead) {
  MemoryCheckpoint base = Model('a'), target = Model('a');
  for (size_t i = 0; i < target.bytes(0).size(); i += 777) target.bytes(0)[i] = static_cast<char>(i);
  const auto reader = Recover(base, DiffOf(base, target));
  ASSERT_TRUE(reader.ok()) << reader.status();
  for (const uint64_t offset : {0u, 1u, 1'048'575u, 1'048'576u, 2'000'000u}) {
    for (const size_t length : {0u, 1u, 4u, 1'048'576u, 1'100'000u}) {
      std::string bytes(length, '?');
      ASSERT_TRUE((*reader)->ReadAt(0, offset, absl::MakeSpan(bytes)).ok());
      EXPECT_TRUE(bytes == target.bytes(0).substr(offset, length)) << offset << " " << length;
    }
  }
  std::string over(2, '?');
  EXPECT_TRUE(absl::IsOutOfRange((*reader)->ReadAt(1, 15, absl::MakeSpan(over))));
}

TEST(ExactDiffTest, AnotherBaseIsRefusedBeforeAnythingIsReadFromItsDiff) {
  MemoryCheckpoint base = Model('a'), target = Model('b'), wrong = Model('a');
  const std::string diff = DiffOf(base, target);
  wrong.bytes(0)[2'500'000] = 'x';
  const absl::Status bytes = Recover(wrong, diff).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(bytes)) << bytes;
  EXPECT_THAT(std::string(bytes.message()),
              AllOf(HasSubstr("made from another base"), HasSubstr("\"w\" from 2097152"), HasSubstr("\"team/run@1000\""),
                    HasSubstr(Digest(base))));
  MemoryCheckpoint less;
  less.Tensor("w", Dtype::kFloat32, {4}, "");
  EXPECT_THAT(std::string(Recover(less, diff).status().message()), HasSubstr("its \"w\" is float32 [4], expected"));
  MemoryCheckpoint empty;
  EXPECT_THAT(std::string(Recover(empty, diff).status().message()), HasSubstr("it lacks \"w\""));
}

TEST(ExactDiffTest, EveryCutAndEveryFlippedBitIsRefusedOrHarmless) {
  MemoryCheckpoint base, target;
  base.Tensor("w", Dtype::kFloat32, {64}, std::string(256, 'a'));
  target.Tensor("w", Dtype::kFloat32, {64}, std::string(256, 'b')).OfValue("step", Value::Int(7)).Asset("a.txt", "hello");
  const std::string diff = DiffOf(base, target);
  for (size_t cut = 0; cut < diff.size(); ++cut) {
    const absl::Status status = Recover(base, diff.substr(0, cut)).status();
    EXPECT_TRUE(absl::IsDataLoss(status) || (cut < 8 && absl::IsInvalidArgument(status))) << cut << ": " << status;
  }
  for (size_t bit = 0; bit < diff.size() * 8; ++bit) {
    std::string bad = diff;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto reader = Recover(base, bad);
    absl::Status status = reader.status();
    for (size_t i = 0; status.ok() && i < (*reader)->index().entries.size(); ++i) {
      const absl::StatusOr<std::string> bytes = ReadAll(**reader, i);
      status = bytes.status();
      // Some bits of a zstd frame mean nothing; then the target is the right one.
      EXPECT_TRUE(!status.ok() || *bytes == target.bytes(i)) << bit;
    }
  }
}

TEST(ExactDiffTest, ADamagedDeltaIsToldFromAWrongBase) {
  MemoryCheckpoint base = Model('a'), target = Model('b');
  target.bytes(0) = testing::PatternBytes(target.bytes(0).size(), 1);
  std::string diff = DiffOf(base, target);
  diff[100'000] = static_cast<char>(diff[100'000] ^ 1);
  const auto reader = Recover(base, diff);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const absl::Status status = ReadAll(**reader, 0).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("a.cairndiff: the diff is damaged: \"w\"")));
}

TEST(ExactDiffTest, RefusesEveryHostileDiffForItsOwnReason) {
  MemoryCheckpoint base;
  base.Tensor("w", Dtype::kUint8, {64}, testing::CairnDiffAttackBase());
  for (const testing::CairnDiffAttack& attack : testing::CairnDiffAttacks()) {
    EXPECT_EQ(ReadDiffFile(MemorySource(attack.bytes, "a.cairndiff"), ReadLimits()).ok(), attack.message.empty() || attack.in_pieces)
        << attack.name;
    const auto reader = Recover(base, attack.bytes);
    const absl::Status status = reader.ok() ? ReadAll(**reader, 0).status() : reader.status();
    if (attack.message.empty()) {
      EXPECT_TRUE(status.ok()) << attack.name << ": " << status;
      continue;
    }
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status))
        << attack.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("a.cairndiff"), HasSubstr(attack.message))) << attack.name;
  }
}

TEST(ContentDigestTest, DependsOnWhatIsSavedAndNotOnHow) {
  MemoryCheckpoint one, other;
  one.Tensor("a", Dtype::kFloat32, {2}, "12345678").OfValue("b", Value::Float(-0.0)).Asset("c.txt", "c");
  other.Asset("c.txt", "c").OfValue("b", Value::Float(-0.0)).Tensor("a", Dtype::kFloat32, {2}, "12345678");
  other.mutable_index().metadata["format"] = "pt";
  EXPECT_EQ(Digest(one), Digest(other));
  MemoryCheckpoint shape, zero, dtype;
  shape.Tensor("a", Dtype::kFloat32, {1, 2}, "12345678").OfValue("b", Value::Float(-0.0)).Asset("c.txt", "c");
  zero.Tensor("a", Dtype::kFloat32, {2}, "12345678").OfValue("b", Value::Float(0.0)).Asset("c.txt", "c");
  dtype.Tensor("a", Dtype::kInt32, {2}, "12345678").OfValue("b", Value::Float(-0.0)).Asset("c.txt", "c");
  EXPECT_NE(Digest(one), Digest(shape));
  EXPECT_NE(Digest(one), Digest(zero));
  EXPECT_NE(Digest(one), Digest(dtype));
}

TEST(CairnDiffFormatTest, IsACheckpointOfOneAssetThatSaysWhatItIs) {
  MemoryCheckpoint base = Model('a'), target = Model('b');
  const std::string diff = DiffOf(base, target);
  const auto tree = [&] { return std::shared_ptr<const SourceTree>(MemorySourceTree(diff)); };
  EXPECT_TRUE(CairnDiffFormat().Detect(*tree()));
  const auto reader = CairnDiffFormat().Open(tree(), {});
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_EQ((*reader)->index().entries.size(), 1u);
  EXPECT_EQ((*reader)->index().entries[0].path.ToString(), "delta.cairndiff");
  EXPECT_EQ(*ReadAll(**reader, 0), diff);
  EXPECT_EQ((*reader)->index().metadata.at(kDiffBaseKey), "team/run@1000");
  EXPECT_EQ((*reader)->index().metadata.at(kDiffBaseDigestKey), Digest(base));
}

}  // namespace
}  // namespace cairn
