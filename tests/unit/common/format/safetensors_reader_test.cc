#include "common/format/safetensors/safetensors_reader.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/format/safetensors/safetensors_index.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/safetensors_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/safetensors_files.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A file of one U8 tensor of two bytes per name.
std::string Shard(const std::vector<std::string>& names, absl::string_view metadata = "") {
  std::string header = metadata.empty() ? "{" : absl::StrCat("{\"__metadata__\":", metadata);
  std::string data;
  for (const std::string& name : names) {
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", name,
                    "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[", data.size(), ",",
                    data.size() + 2, "]}");
    data += name.substr(0, 1) + "!";
  }
  return SafetensorsFile(header + "}", data);
}

std::string Index(const std::string& weight_map) {
  return absl::StrCat("{\"metadata\":{},\"weight_map\":{", weight_map, "}}");
}

class SafetensorsReader : public ::testing::Test {
 protected:
  void Put(const std::string& name, const std::string& bytes) { WriteFile(dir_ / name, bytes); }
  TempDir dir_;
};

TEST_F(SafetensorsReader, ReadsAFolderOfShardsInTheOrderOfTheFiles) {
  Put("model.safetensors.index.json",
      Index(R"("b":"s2.safetensors","a":"s1.safetensors","c":"s2.safetensors")"));
  Put("s1.safetensors", Shard({"a"}, R"({"format":"pt"})"));
  Put("s2.safetensors", Shard({"c", "b"}, R"({"format":"pt"})"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(dir_.path()));
  EXPECT_THAT(Describe(read), ElementsAre("c uint8 [2]", "b uint8 [2]", "a uint8 [2]"));
  EXPECT_THAT(read.bytes, ElementsAre("c!", "b!", "a!"));
  EXPECT_THAT(read.index.metadata, ElementsAre(Pair("format", "pt")));
}

TEST_F(SafetensorsReader, ReadsAnIndexByItsOwnPath) {
  Put("model.safetensors.index.json", Index(R"("a":"s1.safetensors")"));
  Put("model.safetensors.index.fp16.json", Index(R"("b":"s2.safetensors")"));
  Put("s1.safetensors", Shard({"a"}));
  Put("s2.safetensors", Shard({"b"}));
  EXPECT_THAT(Describe(ReadSafetensors(dir_ / "model.safetensors.index.fp16.json").value()),
              ElementsAre("b uint8 [2]"));
  // The folder is read by the index of the plain name.
  EXPECT_THAT(Describe(ReadSafetensors(dir_.path()).value()), ElementsAre("a uint8 [2]"));
}

TEST_F(SafetensorsReader, KeepsADotInANameInOneSegment) {
  Put("model.safetensors", Shard({"model.layers.0/weight"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(dir_ / "model.safetensors"));
  EXPECT_EQ(read.index.entries[0].path, KeyPath::Of({"model.layers.0/weight"}));
}

TEST_F(SafetensorsReader, CarriesTheSmallFilesOfAFolderAsAssets) {
  Put("model.safetensors", Shard({"a"}));
  for (const char* name : {"config.json", "tokenizer.model", "merges.txt", "chat_template.jinja", "LICENSE"})
    Put(name, name);
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", ".gitattributes", "old.pt",
                           "flax_model.msgpack", "model.gguf", "optimizer.pth"}) {
    Put(name, name);
  }
  std::filesystem::create_directory(dir_ / "original");
  Put("original/params.json", "{}");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(dir_.path()));
  EXPECT_THAT(Describe(read), ElementsAre("a uint8 [2]", "LICENSE", "chat_template.jinja", "config.json",
                                          "merges.txt", "tokenizer.model"));
  EXPECT_THAT(read.bytes, ElementsAre("a!", "LICENSE", "chat_template.jinja", "config.json", "merges.txt",
                                      "tokenizer.model"));
  // One file by its own path is that file alone.
  EXPECT_EQ(ReadSafetensors(dir_ / "model.safetensors").value().index.entries.size(), 1u);
}

TEST_F(SafetensorsReader, LeavesOutAFileTooLargeForAnAsset) {
  Put("model.safetensors", Shard({"a"}));
  Put("large.json", "");
  std::filesystem::resize_file(dir_ / "large.json", (64u << 20) + 1);
  EXPECT_EQ(ReadSafetensors(dir_.path()).value().index.entries.size(), 1u);
}

TEST_F(SafetensorsReader, RefusesAFolderInWhichTheCheckpointIsUnclear) {
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no .safetensors file")));
  Put("a.safetensors", Shard({"a"}));
  Put("b.safetensors", Shard({"b"}));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a.safetensors, b.safetensors")));
  Put("x.safetensors.index.json", Index(R"("a":"a.safetensors")"));
  Put("y.safetensors.index.json", Index(R"("b":"b.safetensors")"));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x.safetensors.index.json, y.safetensors.index.json")));
}

TEST_F(SafetensorsReader, RefusesAnIndexThatPointsOutOfTheFolder) {
  std::filesystem::create_directory(dir_ / "model");
  Put("secret.safetensors", Shard({"a"}));
  for (const std::string& file :
       {std::string("../secret.safetensors"), dir_ / "secret.safetensors", std::string("")}) {
    Put("model/model.safetensors.index.json", Index(absl::StrCat("\"a\":\"", file, "\"")));
    EXPECT_THAT(ReadSafetensors(dir_ / "model"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("inside the folder")));
  }
}

TEST_F(SafetensorsReader, RefusesAnIndexThatDoesNotFitTheShards) {
  Put("s.safetensors", Shard({"a"}));
  Put("t.safetensors", Shard({"a", "b"}));
  const std::string index = "model.safetensors.index.json";
  Put(index, Index(R"("a":"s.safetensors","c":"s.safetensors")"));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("places tensor \"c\"")));
  Put(index, Index(R"("a":"none.safetensors")"));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.safetensors")));
  Put(index, Index(R"("b":"s.safetensors")"));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("places tensor \"b\"")));
}

TEST_F(SafetensorsReader, TakesACopyFromTheFileThatTheIndexNames) {
  Put("s.safetensors", Shard({"a", "s"}));
  Put("t.safetensors", Shard({"a", "t"}));
  const std::string index = "model.safetensors.index.json";
  Put(index, Index(R"("s":"s.safetensors","a":"t.safetensors")"));
  // "t" is in no index, but in a shard: kept, as the libraries that load such folders do.
  EXPECT_THAT(Describe(ReadSafetensors(dir_.path()).value()),
              ElementsAre("s uint8 [2]", "a uint8 [2]", "t uint8 [2]"));
  Put(index, Index(R"("s":"s.safetensors","t":"t.safetensors")"));
  EXPECT_THAT(ReadSafetensors(dir_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the index names neither")));
}

TEST_F(SafetensorsReader, KeepsMetadataThatDiffersBetweenShardsApart) {
  Put("model.safetensors.index.json", Index(R"("a":"s.safetensors","b":"t.safetensors")"));
  Put("s.safetensors", Shard({"a"}, R"({"format":"pt","part":"1"})"));
  Put("t.safetensors", Shard({"b"}, R"({"format":"pt","part":"2"})"));
  EXPECT_THAT(ReadSafetensors(dir_.path()).value().index.metadata,
              ElementsAre(Pair("format", "pt"), Pair("part", "1"), Pair("part@t.safetensors", "2")));
}

TEST_F(SafetensorsReader, RefusesIndexDocumentsThatAreNone) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "not JSON"},
      {"[]", "expected an object"},
      {"{}", "lacks \"weight_map\""},
      {R"({"weight_map":[]})", "expected an object, found an array"},
      {R"({"weight_map":null})", "expected an object, found null"},
      {R"({"weight_map":{"a":1}})", "expected the name of a file for \"a\", found a number"},
      {R"({"weight_map":{"a":{"b":"c"}}})", "found an object"},
      {R"({"weight_map":{"a":"s","a":"s"}})", "appears twice"},
      {R"({"weight_map":{},"weight_map":{}})", "appears twice"},
      {R"({"weight_map":{}}x)", "not JSON"},
      {R"({"metadata":[[[[[[[[[[)", "not JSON"},
  };
  for (const auto& [text, message] : cases) {
    Put("model.safetensors.index.json", text);
    EXPECT_THAT(ReadSafetensors(dir_.path()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
}

TEST_F(SafetensorsReader, ObeysTheLimitsAcrossFiles) {
  Put("model.safetensors.index.json", Index(R"("a":"s.safetensors","b":"t.safetensors")"));
  Put("s.safetensors", Shard({"a"}));
  Put("t.safetensors", Shard({"b"}));
  Put("config.json", "{}");
  CAIRN_EXPECT_OK(ReadSafetensors(dir_.path(), {.max_entries = 3, .max_files = 2}));
  EXPECT_THAT(ReadSafetensors(dir_.path(), {.max_files = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more files")));
  EXPECT_THAT(ReadSafetensors(dir_.path(), {.max_entries = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 2")));
  EXPECT_THAT(ReadSafetensors(dir_.path(), {.max_entries = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1")));
  EXPECT_THAT(ReadSafetensors(dir_.path(), {.max_header_bytes = 10}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SafetensorsReader, ReadsMoreShardsThanItHoldsOpen) {
  std::string map;
  for (int i = 0; i < 200; ++i) {
    Put(absl::StrCat("s", i, ".safetensors"), Shard({absl::StrCat("t", i)}));
    absl::StrAppend(&map, i == 0 ? "" : ",", "\"t", i, "\":\"s", i, ".safetensors\"");
  }
  Put("model.safetensors.index.json", Index(map));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const SourceTree> tree, OpenSourceTree(dir_.path()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, SafetensorsFormat().Open(tree, {}));
  size_t open = 0;
  for (const auto& link : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (absl::StartsWith(std::filesystem::read_symlink(link.path(), ignored).string(), dir_.path())) ++open;
  }
  EXPECT_LE(open, 64u);
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < 200; ++i) {
      std::string bytes(2, '\0');
      CAIRN_ASSERT_OK(reader->ReadAt(i, 0, absl::MakeSpan(bytes)));
      EXPECT_EQ(bytes, "t!");
    }
  }
  // The first shard is closed by now: what replaces it is noticed.
  Put("s0.safetensors", Shard({"t0", "t1"}));
  std::string bytes(2, '\0');
  EXPECT_THAT(reader->ReadAt(0, 0, absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("s0.safetensors")));
}

TEST_F(SafetensorsReader, FollowsTheLinksOfAHubCache) {
  std::filesystem::create_directories(dir_ / "blobs");
  std::filesystem::create_directories(dir_ / "snapshots/main");
  Put("blobs/0123", Shard({"a"}));
  std::filesystem::create_symlink("../../blobs/0123", dir_ / "snapshots/main/model.safetensors");
  EXPECT_THAT(Describe(ReadSafetensors(dir_ / "snapshots/main").value()), ElementsAre("a uint8 [2]"));
}

TEST_F(SafetensorsReader, DetectsByContent) {
  const auto detect = [](const std::string& path) {
    return SafetensorsFormat().Detect(*OpenSourceTree(path).value());
  };
  Put("weights", Shard({"a"}));
  EXPECT_TRUE(detect(dir_ / "weights"));
  Put("liar.safetensors", "PK\x03\x04 this is a zip archive");
  EXPECT_FALSE(detect(dir_ / "liar.safetensors"));
  EXPECT_FALSE(detect(dir_.path()));
  Put("model.safetensors.index.json", Index(R"("a":"s.safetensors")"));
  EXPECT_TRUE(detect(dir_ / "model.safetensors.index.json"));
  EXPECT_TRUE(detect(dir_.path()));
  Put("pytorch_model.bin.index.json", Index(R"("a":"pytorch_model-1.bin")"));
  EXPECT_FALSE(detect(dir_ / "pytorch_model.bin.index.json"));
}

}  // namespace
}  // namespace cairn::testing
