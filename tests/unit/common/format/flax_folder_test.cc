// Folders of shards, as Hugging Face laid them out for Flax models.

#include <filesystem>
#include <fstream>
#include <set>

#include "common/io/posix_file.h"
#include "tests/attacks/flax_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/flax_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kShards[] = CAIRN_SOURCE_DIR "/tests/golden/flax/shards";

KeyPath Path(const std::string& shown) { return KeyPath::Parse(shown).value(); }

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenPath(const std::string& path) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> tree, OpenSourceTree(path));
  return FlaxFormat().Open(std::move(tree), {});
}

void WriteFile(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

absl::Status WriteFolder(const std::string& path, const Content& content, const WriteOptions& options,
                         bool overwrite = false) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> tree,
                         CreateSinkTree(path, {.overwrite = overwrite, .durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, FlaxFormat().Create(std::move(tree), options));
  return WriteThrough(*writer, content, 7);
}

std::set<std::string> FilesIn(const std::string& path) {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(path)) names.insert(file.path().filename());
  return names;
}

// An index document that places each leaf.
std::string IndexOf(const std::vector<std::pair<std::string, std::string>>& places) {
  std::string text = "{\"weight_map\": {";
  for (const auto& [leaf, file] : places) {
    absl::StrAppend(&text, text.back() == '{' ? "" : ", ", "\"", leaf, "\": \"", file, "\"");
  }
  return text + "}}";
}

std::string Byte(const std::string& payload) { return PackedArray("uint8", {1}, payload); }

TEST(FlaxFolder, IsReadAsOneTreeWithTheFilesBesideIt) {
  for (const std::string& path : {std::string(kShards), absl::StrCat(kShards, "/flax_model.msgpack.index.json")}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const SourceTree> tree, OpenSourceTree(path));
    EXPECT_TRUE(FlaxFormat().Detect(*tree));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(path));
    std::vector<ListedTensor> listing = ListingOf(GoldenFlax("shards.txt"));
    // The shards are in the order in which they were cut, the listing in that of the names.
    std::vector<std::string> expected;
    for (const ListedTensor& tensor : listing) expected.push_back(tensor.key);
    std::rotate(expected.begin(), expected.end() - 1, expected.end());
    std::rotate(listing.begin(), listing.end() - 1, listing.end());
    const auto lm_head = expected.begin() + 1;
    std::rotate(lm_head, lm_head + 1, expected.end());
    std::rotate(listing.begin() + 1, listing.begin() + 2, listing.end());
    std::vector<std::string> found = ShownPaths(*reader);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.back(), "config.json");
    found.pop_back();
    EXPECT_EQ(found, expected);
    ExpectListed(*reader, listing);
  }
}

TEST(FlaxFolder, AShardAloneIsATree) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(absl::StrCat(kShards, "/flax_model-00001-of-00003.msgpack")));
  EXPECT_THAT(ShownPaths(*reader), ElementsAre("transformer/wte/embedding"));
}

TEST(FlaxFolder, IsCutInTheOrderOfTheTree) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto golden, OpenFlaxBytes(GoldenFlax("params")));
  CAIRN_ASSERT_OK_AND_ASSIGN(Content content, ReadContent(*golden));
  content.Add(Entry::Asset(Path("config.json"), 19), GoldenFlax("shards/config.json"));
  CAIRN_ASSERT_OK(WriteFolder(dir / "out", content, {.max_shard_bytes = 60}));
  EXPECT_THAT(FilesIn(dir / "out"),
              ElementsAre("config.json", "flax_model-00001-of-00003.msgpack", "flax_model-00002-of-00003.msgpack",
                          "flax_model-00003-of-00003.msgpack", "flax_model.msgpack.index.json"));
  // As transformers' own loop over the same tree in the same order.
  for (const std::string& name : FilesIn(dir / "out")) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string written, ReadSmallFile(dir / ("out/" + name), 1 << 20));
    EXPECT_EQ(written, GoldenFlax("shards/" + name)) << name;
  }
}

TEST(FlaxFolder, KeepsValuesAndTuplesAcrossShards) {
  TempDir dir;
  Content content;
  Value tuple;
  tuple.kind = Value::Kind::kTuple;
  tuple.length = 2;
  content.Add(Entry::OfValue(Path("step"), Value::Int(3)));
  content.Add(Entry::OfValue(Path("opt"), tuple));
  content.AddTensor(Path("opt/[0]/mu"), Dtype::kUint8, {8}, "01234567");
  content.AddTensor(Path("opt/[1]"), Dtype::kUint8, {8}, "abcdefgh");
  content.Add(Entry::OfValue(Path("empty"), [] {
    Value dict;
    dict.kind = Value::Kind::kDict;
    return dict;
  }()));
  CAIRN_ASSERT_OK(WriteFolder(dir / "out", content, {.max_shard_bytes = 10}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(dir / "out"));
  EXPECT_THAT(ShownPaths(*reader), ElementsAre("step", "opt/0/mu", "opt/1", "empty"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content read, ReadContent(*reader));
  EXPECT_EQ(read.bytes[2], "abcdefgh");
}

TEST(FlaxFolder, RefusesNamesThatAnIndexCannotTellApart) {
  for (const char* path : {"a\\/b", "a/[3]"}) {
    TempDir dir;
    Content content;
    content.AddTensor(Path(path), Dtype::kUint8, {8}, "01234567");
    content.AddTensor(Path("c"), Dtype::kUint8, {8}, "01234567");
    EXPECT_THAT(WriteFolder(dir / "out", content, {.max_shard_bytes = 10}),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(path), HasSubstr("write one file"))));
    EXPECT_TRUE(FilesIn(dir.path()).empty());
    CAIRN_EXPECT_OK(WriteFolder(dir / "one", content, {.max_shard_bytes = 100}));
  }
}

TEST(FlaxFolder, HasNoIndexForOneFileUnlessOthersLieThere) {
  TempDir dir;
  Content content;
  content.AddTensor(Path("a"), Dtype::kUint8, {1}, "x");
  CAIRN_ASSERT_OK(WriteFolder(dir / "out/", content, {}));
  EXPECT_THAT(FilesIn(dir / "out"), ElementsAre("flax_model.msgpack"));
  WriteFile(dir / "out/flax_model-00001-of-00002.msgpack", PackedMap({{PackedStr("old"), "\x01"}}));
  CAIRN_ASSERT_OK(WriteFolder(dir / "out/", content, {}, /*overwrite=*/true));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(dir / "out"));
  EXPECT_THAT(ShownPaths(*reader), ElementsAre("a"));
}

TEST(FlaxFolder, RefusesShardsThatDoNotFitTheirIndex) {
  TempDir dir;
  const std::string index = dir / "flax_model.msgpack.index.json";
  WriteFile(dir / "1.msgpack", PackedMap({{PackedStr("a"), Byte("x")}, {PackedStr("b"), Byte("y")}}));
  WriteFile(dir / "2.msgpack", PackedMap({{PackedStr("b"), Byte("z")}, {PackedStr("c"), Byte("w")}}));
  EXPECT_THAT(OpenPath(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr("found 2 such files"), HasSubstr("1.msgpack"))));

  // A copy elsewhere than the index says is not meant; what the index does not know is kept.
  WriteFile(index, IndexOf({{"a", "1.msgpack"}, {"b", "2.msgpack"}}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(dir.path()));
  EXPECT_THAT(ShownPaths(*reader), ElementsAre("a", "b", "c"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*reader));
  EXPECT_EQ(content.bytes[1], "z");

  WriteFile(index, IndexOf({{"a", "1.msgpack"}, {"c", "2.msgpack"}}));
  EXPECT_THAT(OpenPath(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr("\"b\""), HasSubstr("is also in 1.msgpack"))));
  WriteFile(index, IndexOf({{"a", "2.msgpack"}, {"b", "1.msgpack"}}));
  EXPECT_THAT(OpenPath(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the index places \"a\"")));
  WriteFile(index, IndexOf({{"a", "3.msgpack"}}));
  EXPECT_THAT(OpenPath(dir.path()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("3.msgpack")));
  WriteFile(index, IndexOf({{"a", "../1.msgpack"}}));
  EXPECT_THAT(OpenPath(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("..")));
}

TEST(FlaxFolder, ADictThatStandsInTwoShardsIsOne) {
  TempDir dir;
  WriteFile(dir / "1.msgpack",
            PackedMap({{PackedStr("a"), PackedMap({{PackedStr("x"), Byte("x")}})}, {PackedStr("e"), "\x80"}}));
  WriteFile(dir / "2.msgpack",
            PackedMap({{PackedStr("a"), PackedMap({{PackedStr("y"), Byte("y")}})}, {PackedStr("e"), "\x80"}}));
  WriteFile(dir / "flax_model.msgpack.index.json",
            IndexOf({{"a/x", "1.msgpack"}, {"a/y", "2.msgpack"}, {"e", "2.msgpack"}}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenPath(dir.path()));
  EXPECT_THAT(ShownPaths(*reader), ElementsAre("a/x", "e", "a/y"));
}

}  // namespace
}  // namespace cairn::testing
