#include "server/engine/manifest.h"

#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "server/engine/session_record.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

Extent ExtentOf(absl::string_view bytes, uint32_t object, uint64_t offset,
                DigestAlgorithm algorithm = DigestAlgorithm::kXxh3) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  return {DigestOf(bytes, algorithm), object, offset, size, size, ExtentEncoding::kRaw};
}

Manifest Example(DigestAlgorithm algorithm = DigestAlgorithm::kXxh3) {
  const auto ExtentOf = [algorithm](absl::string_view bytes, uint32_t object, uint64_t offset) {
    return testing::ExtentOf(bytes, object, offset, algorithm);
  };
  Manifest manifest;
  manifest.metadata = {{"framework", "jax"}, {"loss", "1.25"}};
  manifest.objects = {"session/0-aa", "session/1-bb"};
  const KeyPath weight = KeyPath::Of({"params", "w"});
  manifest.entries.push_back({Entry::Tensor(weight, Dtype::kBfloat16, {2, 3}, 12),
                              {{{{0, 0}, {2, 1}}, 4, {ExtentOf("abcd", 0, 0)}},
                               {{{0, 1}, {2, 2}}, 8, {ExtentOf("efg", 0, 4), ExtentOf("hijkl", 1, 0)}}}});
  manifest.entries.push_back({Entry::Tensor(KeyPath::Of({"empty"}), Dtype::kInt64, {0}, 0), {{{{0}, {0}}, 0, {}}}});
  manifest.entries.push_back({Entry::OfValue(KeyPath({std::string("opt"), int64_t{3}}), Value::Int(-5)), {}});
  manifest.entries.push_back({Entry::Asset(KeyPath::Of({"config.json"}), 2), {{{}, 2, {ExtentOf("{}", 1, 5)}}}});
  manifest.entries.push_back({Entry::Alias(KeyPath::Of({"tied"}), weight), {}});
  return manifest;
}

absl::StatusOr<std::string> GoldenFile(const std::string& name) {
  return ReadSmallFile(std::string(CAIRN_SOURCE_DIR) + "/tests/golden/manifest/" + name, 1 << 20);
}

// A delta against a delta against bytes as they are, and planes that need no base.
Manifest WithDeltas() {
  Manifest manifest = Example();
  const Digest digest = DigestOf("abcd", DigestAlgorithm::kXxh3);
  manifest.objects.push_back("parent/0-cc");
  manifest.bases = {ExtentOf("wxyz", 2, 0), {digest, 2, 100, 3, 4, ExtentEncoding::kDelta, 1}};
  manifest.entries[0].shards[0].extents = {{digest, 0, 0, 2, 4, ExtentEncoding::kDelta, 2}};
  manifest.entries[3].shards[0].extents = {{digest, 1, 5, 3, 2, ExtentEncoding::kDelta, 0}};
  return manifest;
}

void ExpectSame(const Manifest& a, const Manifest& b) {
  EXPECT_EQ(a.bases, b.bases);
  EXPECT_EQ(a.metadata, b.metadata);
  EXPECT_EQ(a.objects, b.objects);
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (size_t i = 0; i < a.entries.size(); ++i) {
    EXPECT_EQ(a.entries[i].entry.path, b.entries[i].entry.path);
    EXPECT_EQ(a.entries[i].entry.kind, b.entries[i].entry.kind);
    EXPECT_EQ(a.entries[i].entry.shape, b.entries[i].entry.shape);
    EXPECT_EQ(a.entries[i].entry.value, b.entries[i].entry.value);
    EXPECT_EQ(a.entries[i].entry.target, b.entries[i].entry.target);
    ASSERT_EQ(a.entries[i].shards.size(), b.entries[i].shards.size());
    for (size_t s = 0; s < a.entries[i].shards.size(); ++s) {
      EXPECT_EQ(a.entries[i].shards[s].box, b.entries[i].shards[s].box);
      EXPECT_EQ(a.entries[i].shards[s].extents, b.entries[i].shards[s].extents);
    }
  }
}

TEST(Manifest, ComesBackAsItWas) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(EncodeManifest(Example())));
  ExpectSame(decoded, Example());
}

// Later versions must read what this one wrote. If this test fails, the format has changed: raise the version and keep
// reading this file.
TEST(Manifest, TheGoldenFileOfVersion1IsRead) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string golden, GoldenFile("v1.manifest"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(golden));
  ExpectSame(decoded, Example(DigestAlgorithm::kSha256));
}

// An upgrade in the middle of a save: parts of the old version and of the new one in one manifest.
TEST(Manifest, ExtentsMayHaveEitherDigest) {
  Manifest mixed = Example();
  mixed.entries[3] = Example(DigestAlgorithm::kSha256).entries[3];
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(EncodeManifest(mixed)));
  ExpectSame(decoded, mixed);
}

TEST(Manifest, TheGoldenFileOfVersion2IsReadAndWrittenByteForByte) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string golden, GoldenFile("v2.manifest"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(golden));
  ExpectSame(decoded, Example());
  EXPECT_EQ(EncodeManifest(Example()), golden);
}

TEST(Manifest, TheGoldenFileOfVersion3IsReadAndWrittenByteForByte) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string golden, GoldenFile("v3.manifest"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(golden));
  ExpectSame(decoded, WithDeltas());
  EXPECT_EQ(EncodeManifest(WithDeltas()), golden);
}

TEST(Manifest, WhatHasNoDeltasIsWrittenForThoseWhoKnowNone) {
  EXPECT_EQ(EncodeManifest(Example())[8], 2);
  EXPECT_EQ(EncodeManifest(WithDeltas())[8], 3);
  Manifest planes = Example();
  planes.entries[3] = WithDeltas().entries[3];
  EXPECT_EQ(EncodeManifest(planes)[8], 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(EncodeManifest(planes)));
  ExpectSame(decoded, planes);
}

// Whoever follows references of a manifest that was read needs no care any more.
TEST(Manifest, DeltasThatCannotBeReadAreDamage) {
  const auto expect_damage = [](const Manifest& manifest, const std::string& what) {
    EXPECT_THAT(DecodeManifest(EncodeManifest(manifest)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(what)));
  };
  Manifest beyond = WithDeltas();
  beyond.entries[0].shards[0].extents[0].base = 3;
  expect_damage(beyond, "base number 3 of 2 before it");
  Manifest itself = WithDeltas();
  itself.bases[1].base = 2;
  expect_damage(itself, "base number 2 of 1 before it");
  Manifest circle = WithDeltas();
  circle.bases[0] = circle.bases[1];
  circle.bases[0].base = 2;
  expect_damage(circle, "base number 2 of 0 before it");
  Manifest other_length = WithDeltas();
  other_length.bases[0] = ExtentOf("wxyz?", 2, 0);
  expect_damage(other_length, "delta of 4 bytes against a base of 5");
  Manifest nothing = WithDeltas();
  nothing.bases[1].stored_bytes = 0;
  expect_damage(nothing, "delta of 0 bytes for 4");
  Manifest too_much = WithDeltas();
  too_much.bases[1].stored_bytes = 6;
  expect_damage(too_much, "delta of 6 bytes for 4");
  Manifest huge = WithDeltas();
  huge.bases[1].raw_bytes = (16u << 20) + 1;
  expect_damage(huge, "which may be 16777216");
  Manifest unknown = WithDeltas();
  unknown.bases[1].encoding = static_cast<ExtentEncoding>(2);
  expect_damage(unknown, "extent encoding 2 is not known");
  Manifest foreign = WithDeltas();
  foreign.bases[0].object = 3;
  expect_damage(foreign, "object number 3 of 3");
}

TEST(Manifest, AChainHasAnEnd) {
  Manifest manifest = WithDeltas();
  while (manifest.bases.size() < 64) {
    manifest.bases.push_back(manifest.bases[1]);
    manifest.bases.back().base = static_cast<uint32_t>(manifest.bases.size() - 1);
  }
  manifest.entries[0].shards[0].extents[0].base = 64;
  CAIRN_EXPECT_OK(DecodeManifest(EncodeManifest(manifest)));
  manifest.bases.push_back(manifest.bases[1]);
  manifest.bases.back().base = 64;
  manifest.entries[0].shards[0].extents[0].base = 65;
  EXPECT_THAT(DecodeManifest(EncodeManifest(manifest)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("chain of more than 64 deltas")));
}

TEST(Manifest, EveryFlippedBitIsNoticed) {
  const std::string bytes = EncodeManifest(WithDeltas());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(DecodeManifest(damaged).ok()) << "byte " << i;
  }
}

TEST(Manifest, EveryTruncationIsNoticed) {
  const std::string bytes = EncodeManifest(WithDeltas());
  for (size_t i = 0; i < bytes.size(); ++i) EXPECT_FALSE(DecodeManifest(bytes.substr(0, i)).ok()) << i;
}

TEST(Manifest, ANewerVersionAsksForANewerProgram) {
  std::string bytes = EncodeManifest(Example());
  bytes[8] = 4;
  EXPECT_THAT(DecodeManifest(bytes), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("newer cairnd")));
}

TEST(Manifest, ExtentsThatDoNotFillTheirShardAreDamage) {
  Manifest manifest = Example();
  manifest.entries[0].shards[0].extents.clear();
  EXPECT_THAT(DecodeManifest(EncodeManifest(manifest)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("0 bytes of a shard of 4")));
}

TEST(SessionRecord, ComesBackAsItWas) {
  SessionRecord record;
  record.objects = {"s/0-1"};
  record.pieces.push_back({Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {9}, 9), Box{{0}, {9}}, 4, {ExtentOf("abcde", 0, 0)}, true});
  record.pieces.push_back({Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)), {}, 0, {}, true});
  CAIRN_ASSERT_OK_AND_ASSIGN(const SessionRecord decoded, DecodeSessionRecord(EncodeSessionRecord(record)));
  EXPECT_EQ(EncodeSessionRecord(decoded), EncodeSessionRecord(record));
  ASSERT_EQ(decoded.pieces.size(), 2u);
  EXPECT_EQ(decoded.pieces[0].start, 4u);
  EXPECT_TRUE(decoded.pieces[0].finished);
  EXPECT_EQ(decoded.pieces[0].extents, record.pieces[0].extents);
}

SessionRecord RecordWithDeltas() {
  SessionRecord record;
  record.objects = {"s/0-1", "parent/0-1"};
  record.bases = {ExtentOf("abcde", 1, 7)};
  record.pieces.push_back({Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {9}, 9), Box{{0}, {9}}, 4,
                           {{DigestOf("abcdf", DigestAlgorithm::kXxh3), 0, 0, 3, 5, ExtentEncoding::kDelta, 1}}, true});
  return record;
}

TEST(SessionRecord, DeltasComeBackAndRecordsWithoutThemAreAsBefore) {
  const SessionRecord record = RecordWithDeltas();
  EXPECT_EQ(EncodeSessionRecord(record)[0], 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(const SessionRecord decoded, DecodeSessionRecord(EncodeSessionRecord(record)));
  EXPECT_EQ(decoded.bases, record.bases);
  EXPECT_EQ(decoded.pieces[0].extents, record.pieces[0].extents);
  EXPECT_EQ(EncodeSessionRecord({})[0], 2);
}

TEST(SessionRecord, EveryTruncationIsDataLoss) {
  SessionRecord record;
  record.objects = {"s/0-1"};
  record.pieces.push_back({Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {9}, 9), Box{{0}, {9}}, 4, {ExtentOf("abcde", 0, 0)}, true});
  for (const std::string& bytes : {EncodeSessionRecord(record), EncodeSessionRecord(RecordWithDeltas())}) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_THAT(DecodeSessionRecord(bytes.substr(0, i)), StatusIs(absl::StatusCode::kDataLoss)) << i;
    }
  }
}

}  // namespace
}  // namespace cairn::testing
