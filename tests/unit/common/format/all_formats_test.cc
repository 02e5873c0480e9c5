#include "common/format/all_formats.h"

#include <filesystem>
#include <fstream>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(AllFormats, HaveNamesAndPrefixesOfTheirOwn) {
  std::set<std::string> prefixes;
  for (const Format* format : AllFormats()) {
    EXPECT_TRUE(prefixes.insert(std::string(format->name())).second) << format->name();
    for (const std::string& variant : format->variants())
      EXPECT_TRUE(prefixes.insert(variant).second) << variant;
    EXPECT_EQ(FormatByName(format->name()).value(), format);
  }
}

TEST(AllFormats, AnUnknownNameIsAnsweredWithTheOnesThereAre) {
  EXPECT_THAT(FormatByName("tarball"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("tarball"), HasSubstr("safetensors"), HasSubstr("easylm"))));
}

TEST(AllFormats, WhatNoFormatKnowsIsDescribed) {
  EXPECT_THAT(
      DetectFormat(*MemorySourceTree("PK\x03\x04")),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("4 bytes"), HasSubstr("504b0304"))));
  EXPECT_THAT(DetectFormat(*MemorySourceTree("")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("an empty file")));
  TempDir dir;
  EXPECT_THAT(DetectFormat(*OpenSourceTree(dir.path()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a folder without files")));
  std::ofstream(dir / "notes.txt") << "hello";
  EXPECT_THAT(DetectFormat(*OpenSourceTree(dir.path()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a folder with notes.txt")));
}

TEST(AllFormats, WhatCanBeReadInTwoWaysIsRefusedWithBoth) {
  TempDir dir;
  std::ofstream(dir / "model.safetensors.index.json") << R"({"weight_map": {"a": "model.safetensors"}})";
  std::ofstream(dir / "pytorch_model.bin.index.json") << R"({"weight_map": {"a": "pytorch_model.bin"}})";
  EXPECT_THAT(DetectFormat(*OpenSourceTree(dir.path()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("2 ways"), HasSubstr("safetensors::"), HasSubstr("torch::"))));
}

TEST(AllFormats, ASpecialReadingIsPreferredToTheGeneralOne) {
  // How the files of torch.save once began.
  const std::string bytes = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e epoch pytorch-lightning_version";
  const std::pair<const char*, const char*> files[] = {
      {"lit_model.pth", "litgpt"}, {"consolidated.00.pth", "llama"}, {"pytorch_model.bin", "torch"}};
  for (const auto& [file, format] : files) {
    TempDir dir;
    std::ofstream(dir / file, std::ios::binary) << bytes;
    const absl::StatusOr<const Format*> found = DetectFormat(*OpenSourceTree(dir.path()).value());
    CAIRN_ASSERT_OK(found);
    EXPECT_EQ((*found)->name(), format);
  }
  TempDir dir;
  std::ofstream(dir / "last.ckpt", std::ios::binary) << bytes;
  EXPECT_EQ(DetectFormat(*OpenSourceTree(dir / "last.ckpt").value()).value()->name(), "lightning");
  // Two special ones are as many readings as ever.
  std::ofstream(dir / "lit_model.pth", std::ios::binary) << bytes;
  std::ofstream(dir / "consolidated.00.pth", std::ios::binary) << bytes;
  EXPECT_THAT(DetectFormat(*OpenSourceTree(dir.path()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("2 ways"), HasSubstr("litgpt::"), HasSubstr("llama::"))));
}

TEST(ParseFileSpec, TakesAPathWithOrWithoutAPrefix) {
  const FileSpec plain = ParseFileSpec("dir/model.safetensors").value();
  EXPECT_EQ(plain.format, nullptr);
  EXPECT_EQ(plain.path, "dir/model.safetensors");

  const FileSpec named = ParseFileSpec("safetensors::dir/x").value();
  ASSERT_NE(named.format, nullptr);
  EXPECT_EQ(named.format->name(), "safetensors");
  EXPECT_EQ(named.variant, "");
  EXPECT_EQ(named.path, "dir/x");

  const FileSpec variant = ParseFileSpec("trainstate_params::/data/a::b").value();
  ASSERT_NE(variant.format, nullptr);
  EXPECT_EQ(variant.format->name(), "easylm");
  EXPECT_EQ(variant.variant, "trainstate_params");
  EXPECT_EQ(variant.path, "/data/a::b");
}

TEST(ParseFileSpec, KnowsBothSpellingsOfFlax) {
  for (const std::string& prefix : {std::string("flax"), std::string("flax_params")}) {
    const FileSpec spec = ParseFileSpec(prefix + "::model").value();
    ASSERT_NE(spec.format, nullptr);
    EXPECT_EQ(spec.format->name(), "flax");
    EXPECT_EQ(spec.path, "model");
  }
}

TEST(ParseFileSpec, TakesAPathThatHoldsColons) {
  for (const std::string& path :
       {std::string("./a::b"), std::string("/data/a::b"), std::string("::b"), std::string("C:x")}) {
    const FileSpec spec = ParseFileSpec(path).value();
    EXPECT_EQ(spec.format, nullptr) << path;
    EXPECT_EQ(spec.path, path);
  }
}

TEST(ParseFileSpec, RefusesUnknownPrefixesAndEmptyPaths) {
  EXPECT_THAT(ParseFileSpec("tarball::x"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("tarball"), HasSubstr("params::"), HasSubstr("./"))));
  EXPECT_THAT(ParseFileSpec(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseFileSpec("params::"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(OpenCheckpointFile, DetectsTheFormatUnlessTheArgumentNamesIt) {
  TempDir dir;
  std::ofstream(dir / "weights", std::ios::binary) << std::string("\x08\0\0\0\0\0\0\0{}      ", 16);
  EXPECT_TRUE(OpenCheckpointFile(ParseFileSpec(dir / "weights").value(), {}).ok());
  EXPECT_TRUE(OpenCheckpointFile(ParseFileSpec("safetensors::" + (dir / "weights")).value(), {}).ok());
  EXPECT_THAT(OpenCheckpointFile(ParseFileSpec("params::" + (dir / "weights")).value(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenCheckpointFile(ParseFileSpec(dir / "none").value(), {}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace cairn
