#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/llama/llama_format.h"
#include "common/format/resuming_writer.h"
#include "common/io/resumable_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/llama_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Content {
  CheckpointIndex index;
  std::vector<std::string> bytes;
};

Content Whole(bool columns_of_embedding = false, const std::string& params_name = "params.json", const std::string& params = LlamaParamsText()) {
  Content content;
  for (const LlamaTensor& tensor : LlamaPart(0, 1, columns_of_embedding)) {
    content.bytes.push_back(LlamaBytes(tensor));
    content.index.entries.push_back(Entry::Tensor(KeyPath::Of({tensor.name}), tensor.dtype, tensor.shape, content.bytes.back().size()));
  }
  content.index.entries.push_back(Entry::Asset(KeyPath::Of({"tokenizer.model"}), 6));
  content.bytes.push_back("pieces");
  if (!params_name.empty()) {
    content.index.entries.push_back(Entry::Asset(KeyPath::Of({params_name}), params.size()));
    content.bytes.push_back(params);
  }
  return content;
}

absl::Status Write(const Content& content, const std::string& path, uint32_t parts, size_t piece = 13, const std::string& variant = "", bool overwrite = false) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path, {.overwrite = overwrite, .durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, LlamaFormat().Create(std::move(sink), {.variant = variant, .parts = parts}));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(content.index));
  for (const size_t entry : order) {
    CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
    for (size_t at = 0; at < content.bytes[entry].size(); at += piece) CAIRN_RETURN_IF_ERROR(writer->Append(content.bytes[entry].substr(at, piece)));
    CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
  }
  return writer->Finish();
}

std::string FileAt(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void ExpectHolds(const std::string& path, const Content& content) {
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, LlamaFormat().Open(std::move(source), {}));
  std::map<KeyPath, size_t> places;
  for (size_t i = 0; i < reader->index().entries.size(); ++i) places[reader->index().entries[i].path] = i;
  ASSERT_EQ(places.size(), content.index.entries.size());
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    const Entry& expected = content.index.entries[i];
    const size_t place = places.at(expected.path);
    EXPECT_EQ(reader->index().entries[place].shape, expected.shape) << expected.path.ToString();
    std::string bytes(expected.byte_size, '?');
    CAIRN_ASSERT_OK(reader->ReadAt(place, 0, absl::MakeSpan(bytes)));
    EXPECT_EQ(bytes, content.bytes[i]) << expected.path.ToString();
  }
}

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(folder)) names.push_back(file.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(LlamaParts, WhatIsCutIsWholeAgain) {
  TempDir dir;
  for (const size_t piece : {1u, 13u, 4096u}) {
    const std::string path = dir / absl::StrCat("model-", piece);
    CAIRN_ASSERT_OK(Write(Whole(), path, 2, piece));
    EXPECT_THAT(Names(path), ElementsAre("consolidated.00.pth", "consolidated.01.pth", "params.json", "tokenizer.model"));
    ExpectHolds(path, Whole());
  }
}

TEST(LlamaParts, WhatIsJoinedIsCutIntoTheSameFiles) {
  TempDir dir;
  for (const bool columns : {false, true}) {
    const std::string path = dir / absl::StrCat("model-", columns);
    std::filesystem::create_directory(path + "-parts");
    for (unsigned part = 0; part < 2; ++part) std::ofstream(absl::StrCat(path, "-parts/consolidated.0", part, ".pth")) << TorchFileOf(LlamaPart(part, 2, columns));
    std::ofstream(path + "-parts/params.json") << LlamaParamsText();
    CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path + "-parts"));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, LlamaFormat().Open(std::move(source), {}));
    Content content{.index = reader->index()};
    for (size_t i = 0; i < content.index.entries.size(); ++i) {
      content.bytes.emplace_back(content.index.entries[i].byte_size, '\0');
      CAIRN_ASSERT_OK(reader->ReadAt(i, 0, absl::MakeSpan(content.bytes.back())));
    }
    CAIRN_ASSERT_OK(Write(content, path, 2));
    for (const std::string name : {"consolidated.00.pth", "consolidated.01.pth"}) EXPECT_EQ(FileAt(path + "/" + name), FileAt(path + "-parts/" + name)) << name;
  }
}

TEST(LlamaParts, HeadsOfKeysAreRepeatedWhereThereAreMoreParts) {
  TempDir dir;
  Content content = Whole();
  // The vocabulary goes into four as well.
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    Entry& entry = content.index.entries[i];
    if (entry.kind != EntryKind::kTensor || entry.shape != Shape{10, 8}) continue;
    entry.shape = {12, 8};
    entry.byte_size = 96;
    content.bytes[i].resize(96, 'x');
  }
  content.bytes.back() = R"({"dim": 8, "n_heads": 4, "n_kv_heads": 2})";
  content.index.entries.back().byte_size = content.bytes.back().size();
  CAIRN_ASSERT_OK(Write(content, dir / "model", 4));
  ExpectHolds(dir / "model", content);
}

TEST(LlamaParts, EmbeddingsAreCutByColumnsForTheFirstGenerations) {
  TempDir dir;
  CAIRN_ASSERT_OK(Write(Whole(), dir / "three", 2));
  CAIRN_ASSERT_OK(Write(Whole(), dir / "two", 2, 13, "llama2"));
  CAIRN_ASSERT_OK(Write(Whole(true), dir / "rope", 2));
  EXPECT_NE(FileAt(dir / "three/consolidated.00.pth"), FileAt(dir / "two/consolidated.00.pth"));
  ExpectHolds(dir / "two", Whole());
  ExpectHolds(dir / "rope", Whole(true));
}

TEST(LlamaParts, AConfigurationOfHuggingFaceTellsOfHeadsToo) {
  TempDir dir;
  const std::string config = R"({"hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 10})";
  CAIRN_ASSERT_OK(Write(Whole(false, "config.json", config), dir / "model", 2));
}

TEST(LlamaParts, WhatCannotBeCutIsRefusedByNameAndLeavesNothing) {
  TempDir dir;
  const std::string path = dir / "model";
  EXPECT_THAT(Write(Whole(), path, 3), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("evenly")));
  EXPECT_THAT(Write(Whole(), path, 101), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 100")));
  EXPECT_THAT(Write(Whole(false, ""), path, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("params.json or config.json")));
  EXPECT_THAT(Write(Whole(false, "params.json", "garbage"), path, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("params.json")));
  Content other = Whole();
  other.index.entries[0].path = KeyPath::Of({"model.embed_tokens.weight"});
  EXPECT_THAT(Write(other, path, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.embed_tokens.weight")));
  Content wrong = Whole();
  wrong.bytes[0].pop_back();
  EXPECT_THAT(Write(wrong, path, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 of 80 bytes are missing")));
  EXPECT_THAT(Names(dir.path()), ElementsAre());
}

TEST(LlamaParts, TwoNamesOfATensorMustBeCutAlike) {
  TempDir dir;
  Content content = Whole();
  const auto output = std::find_if(content.index.entries.begin(), content.index.entries.end(),
                                   [](const Entry& entry) { return entry.path == KeyPath::Of({"output.weight"}); });
  ASSERT_NE(output, content.index.entries.end());
  content.bytes[static_cast<size_t>(output - content.index.entries.begin())].clear();
  *output = Entry::Alias(output->path, KeyPath::Of({"tok_embeddings.weight"}));
  CAIRN_EXPECT_OK(Write(content, dir / "three", 2));
  EXPECT_THAT(Write(content, dir / "two", 2, 13, "llama2"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"output.weight\" is another name of \"tok_embeddings.weight\""), HasSubstr("write one part"))));
  EXPECT_FALSE(std::filesystem::exists(dir / "two"));
}

TEST(LlamaParts, FewerPartsThanAFolderHoldsAreRefused) {
  TempDir dir;
  const std::string path = dir / "model";
  CAIRN_ASSERT_OK(Write(Whole(), path, 2));
  EXPECT_THAT(Write(Whole(), path, 1, 13, "", true), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("consolidated.01.pth")));
  CAIRN_ASSERT_OK(Write(Whole(), path, 2, 13, "", true));
  ExpectHolds(path, Whole());
}

TEST(LlamaParts, AnInterruptedWriterGoesOnFromTheFilesThatAreThere) {
  TempDir dir;
  const Content content = Whole();
  for (const bool last : {false, true}) {
    std::shared_ptr<ResumableTree> tree = ResumableTree::Open(dir / "model", {.identity = "one", .durable = false}).value();
    const std::unique_ptr<CheckpointWriter> writer = ResumeWriting(LlamaFormat().Create(tree, {.parts = 2}).value(), tree, true);
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<size_t> order, writer->Begin(content.index));
    for (size_t i = 0; i < order.size(); ++i) {
      if (!last && i == 4) break;
      CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t from, writer->StartEntry(order[i]));
      // params.json is always asked for: it tells how the rest is cut.
      const bool tokenizer = content.index.entries[order[i]].path == KeyPath::Of({"tokenizer.model"});
      EXPECT_EQ(from, last && tokenizer ? 6u : 0u);
      CAIRN_ASSERT_OK(writer->Append(content.bytes[order[i]].substr(from)));
      CAIRN_ASSERT_OK(writer->FinishEntry());
    }
    if (last) {
      CAIRN_ASSERT_OK(writer->Finish());
    }
  }
  ExpectHolds(dir / "model", content);
}

TEST(LlamaParts, OnePartHoldsAnyTree) {
  TempDir dir;
  Content content = Whole();
  content.index.entries[0].path = KeyPath::Of({"model", "anything"});
  CAIRN_ASSERT_OK(Write(content, dir / "model", 0));
  ExpectHolds(dir / "model", content);
  EXPECT_THAT(Names(dir / "model"), ElementsAre("consolidated.00.pth", "params.json", "tokenizer.model"));
}

}  // namespace
}  // namespace cairn::testing
