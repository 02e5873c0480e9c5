#include "common/seed/seed_reader.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kSpec[] = R"(
symbols: {hidden: 48, layers: 2}
tensors:
  - embed [101, hidden]
  - layers.{layers}.w [hidden, hidden] = trunc_normal(std=0.02, depth=model)
  - layers.{layers}.u [3, 2, hidden] = kaiming_uniform
  - norm [hidden] = ones
  - step [] = uniform(a=-1, b=1)
  - nothing [0, hidden]
rules: {"*": normal(std=0.02)}
)";

std::unique_ptr<SeedReader> Make(const SeedReaderOptions& options, const std::string& spec = kSpec) {
  return SeedReader::Create(ExpandSeedSpec(SeedSpec::Parse(spec, "x.yaml").value()).value(), options).value();
}

std::string Bytes(CheckpointReader& reader, size_t entry) {
  std::string bytes(reader.index().entries[entry].byte_size, '\0');
  EXPECT_TRUE(reader.ReadAt(entry, 0, absl::MakeSpan(bytes.data(), bytes.size())).ok());
  return bytes;
}

std::string DigestOfAll(CheckpointReader& reader) {
  Digester digester(DigestAlgorithm::kSha256);
  for (size_t i = 0; i < reader.index().entries.size(); ++i) {
    digester.Update(absl::StrCat(reader.index().entries[i].path.ToString(), "\n"));
    digester.Update(Bytes(reader, i));
  }
  return digester.Finish().ToHex();
}

// A seed checkpoint that is made again must be the same one, on another machine and in ten years: never change these.
TEST(SeedReaderTest, ASeedGivesTheseBytesForever) {
  EXPECT_EQ(DigestOfAll(*Make({.seed = 42})), "f7b93275c795cfae64846d2a54724510e73fffc75be004d439844e0de7e7ffbe");
  EXPECT_EQ(DigestOfAll(*Make({.seed = 42, .dtype = Dtype::kBfloat16})), "d4cd59ee99279b823301565285afa6d91a4675f6cb668f48f4fdb70212353b76");
  EXPECT_EQ(DigestOfAll(*Make({.seed = 42, .dtype = Dtype::kFloat64})), "f14692cbda5da06905e67c9473580b9bdd2de4ac3bf0dc80483d48695e2a8960");
}

TEST(SeedReaderTest, AnotherSeedGivesOtherNumbers) {
  EXPECT_NE(Bytes(*Make({.seed = 1}), 0), Bytes(*Make({.seed = 2}), 0));
}

TEST(SeedReaderTest, TensorsOfOneShapeDiffer) {
  const auto reader = Make({.seed = 1});
  EXPECT_NE(Bytes(*reader, 1), Bytes(*reader, 2));
}

TEST(SeedReaderTest, ATensorDoesNotDependOnTheOthers) {
  EXPECT_EQ(Bytes(*Make({.seed = 7}, "tensors: [\"layers.1.w [48, 48] = normal(std=1)\"]"), 0),
            Bytes(*Make({.seed = 7}, "tensors: [\"a [5] = ones\", \"layers.1.w [48, 48] = normal(std=1)\"]"), 1));
}

TEST(SeedReaderTest, AnyPieceIsThatOfTheWhole) {
  for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBfloat16, Dtype::kFloat64, Dtype::kFloat8E4M3Fn}) {
    const auto reader = Make({.seed = 3, .dtype = dtype});
    for (size_t entry = 0; entry < reader->index().entries.size(); ++entry) {
      const std::string whole = Bytes(*reader, entry);
      for (const size_t length : {1, 3, 7, 64, 1000, 9001}) {
        for (size_t offset = 0; offset < whole.size(); offset += length * 5 + 1) {
          std::string piece(std::min(length, whole.size() - offset), '\0');
          CAIRN_ASSERT_OK(reader->ReadAt(entry, offset, absl::MakeSpan(piece.data(), piece.size())));
          ASSERT_EQ(piece, whole.substr(offset, length)) << entry << " " << offset << "+" << length;
        }
      }
    }
  }
}

TEST(SeedReaderTest, WhatLeavesTheTensorIsOutOfRange) {
  const auto reader = Make({});
  std::string bytes(8, '\0');
  EXPECT_THAT(reader->ReadAt(0, 101 * 48 * 4 - 4, absl::MakeSpan(bytes.data(), 8)), StatusIs(absl::StatusCode::kOutOfRange));
  CAIRN_EXPECT_OK(reader->ReadAt(0, 101 * 48 * 4, absl::Span<char>()));
}

TEST(SeedReaderTest, AssetsComeAlong) {
  const auto reader = Make({.assets = {{"config.json", "{...}"}}});
  EXPECT_EQ(reader->index().entries.back().kind, EntryKind::kAsset);
  EXPECT_EQ(Bytes(*reader, reader->index().entries.size() - 1), "{...}");
}

TEST(SeedReaderTest, OnlyFloatsCanBeMade) {
  EXPECT_THAT(SeedReader::Create({}, {.dtype = Dtype::kInt32}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a float type, found int32")));
}

}  // namespace
}  // namespace cairn
