#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/format/llama/llama_format.h"
#include "common/format/llama/llama_joined.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/llama_attacks.h"
#include "tests/testing/memory_folder.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Contents = std::map<std::string, std::pair<Shape, std::string>>;

Contents ReadContents(CheckpointReader& reader, size_t window = 1u << 20) {
  Contents contents;
  for (size_t i = 0; i < reader.index().entries.size(); ++i) {
    const Entry& entry = reader.index().entries[i];
    std::string bytes(entry.byte_size, '?');
    for (size_t at = 0; at < bytes.size(); at += window) {
      CAIRN_EXPECT_OK(reader.ReadAt(i, at, absl::MakeSpan(bytes).subspan(at, std::min(window, bytes.size() - at))));
    }
    contents[entry.path.ToString()] = {entry.shape, bytes};
  }
  return contents;
}

std::map<std::string, std::string> Model(unsigned parts, bool columns_of_embedding = false) {
  std::map<std::string, std::string> files = {{"params.json", LlamaParamsText()}};
  for (unsigned part = 0; part < parts; ++part) files[absl::StrCat("consolidated.0", part, ".pth")] = TorchFileOf(LlamaPart(part, parts, columns_of_embedding));
  return files;
}

std::unique_ptr<CheckpointReader> Open(std::map<std::string, std::string> files, const std::string& variant = "") {
  return LlamaFormat().Open(std::make_shared<MemoryFolder>(std::move(files)), {.variant = variant}).value();
}

// What the tensors of all parts are together, by the plainest means.
std::string Joined(const std::string& name, unsigned parts, size_t axis, unsigned every = 1, bool columns_of_embedding = false) {
  std::vector<std::string> slices;
  Shape shape;
  for (unsigned part = 0; part < parts; part += every) {
    for (const LlamaTensor& tensor : LlamaPart(part, parts, columns_of_embedding)) {
      if (tensor.name != name) continue;
      slices.push_back(LlamaBytes(tensor));
      shape = tensor.shape;
    }
  }
  if (axis == 0) return absl::StrJoin(slices, "");
  std::string whole;
  const auto columns = static_cast<size_t>(shape[1]);
  for (int64_t row = 0; row < shape[0]; ++row) {
    for (const std::string& slice : slices) whole += slice.substr(static_cast<size_t>(row) * columns, columns);
  }
  return whole;
}

TEST(LlamaJoin, JoinsEveryTensorAlongItsOwnAxis) {
  const Contents whole = ReadContents(*Open(Model(2)));
  const std::vector<std::pair<std::string, size_t>> joins = {
      {"tok_embeddings.weight", 0},           {"output.weight", 0},
      {"layers.0.attention.wq.weight", 0},    {"layers.0.attention.wk.weight", 0},
      {"layers.0.attention.wv.weight", 0},    {"layers.0.attention.wo.weight", 1},
      {"layers.0.feed_forward.w1.weight", 0}, {"layers.0.feed_forward.w2.weight", 1},
      {"layers.0.feed_forward.w3.weight", 0}};
  for (const auto& [name, axis] : joins) EXPECT_EQ(whole.at(name).second, Joined(name, 2, axis)) << name;
  EXPECT_THAT(whole.at("layers.0.attention.wo.weight").first, ElementsAre(8, 8));
  EXPECT_THAT(whole.at("layers.0.feed_forward.w2.weight").first, ElementsAre(8, 12));
  EXPECT_THAT(whole.at("tok_embeddings.weight").first, ElementsAre(10, 8));
  EXPECT_THAT(whole.at("norm.weight").first, ElementsAre(8));
  EXPECT_EQ(whole.at("params.json").second, LlamaParamsText());
  EXPECT_EQ(whole.size(), LlamaPart(0, 2).size() + 1);
}

TEST(LlamaJoin, EmbeddingsOfTheFirstGenerationsAreJoinedByColumns) {
  const Contents whole = ReadContents(*Open(Model(2, true)));
  EXPECT_THAT(whole.at("tok_embeddings.weight").first, ElementsAre(10, 8));
  EXPECT_EQ(whole.at("tok_embeddings.weight").second, Joined("tok_embeddings.weight", 2, 1, 1, true));
  EXPECT_THAT(whole.at("rope.freqs").first, ElementsAre(1));
}

TEST(LlamaJoin, ShapesDecideWithoutParams) {
  for (const bool columns : {false, true}) {
    std::map<std::string, std::string> files;
    for (unsigned part = 0; part < 2; ++part) {
      std::vector<LlamaTensor> tensors = LlamaPart(part, 2, columns);
      // As many keys as queries: nothing else is to be told.
      for (LlamaTensor& tensor : tensors) {
        if (tensor.name.find("attention.wk") != std::string::npos || tensor.name.find("attention.wv") != std::string::npos) tensor.shape = {4, 8};
      }
      files[absl::StrCat("consolidated.0", part, ".pth")] = TorchFileOf(tensors);
    }
    const Contents whole = ReadContents(*Open(files));
    EXPECT_EQ(whole.at("tok_embeddings.weight").second, Joined("tok_embeddings.weight", 2, columns ? 1 : 0, 1, columns));
    EXPECT_THAT(whole.at("layers.0.attention.wk.weight").first, ElementsAre(8, 8));
  }
}

TEST(LlamaJoin, MissingPartsShowInTheHeadsWithoutParams) {
  for (const unsigned parts : {2u, 4u}) {
    std::map<std::string, std::string> files;
    for (unsigned part = 0; part < parts / 2; ++part) files[absl::StrCat("consolidated.0", part, ".pth")] = TorchFileOf(LlamaPart(part, parts));
    EXPECT_THAT(LlamaFormat().Open(std::make_shared<MemoryFolder>(files), {}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("of ", parts, " parts, and the others are missing"))));
  }
}

TEST(LlamaJoin, TheVariantSaysHowEmbeddingsAreCutWhereNothingElseDoes) {
  std::map<std::string, std::string> files = {{"params.json", R"({"n_heads": 4, "n_kv_heads": 2, "head_dim": 2})"}};
  for (unsigned part = 0; part < 2; ++part) {
    std::vector<LlamaTensor> tensors = LlamaPart(part, 2, true);
    std::erase_if(tensors, [](const LlamaTensor& tensor) { return tensor.name == "norm.weight"; });
    files[absl::StrCat("consolidated.0", part, ".pth")] = TorchFileOf(tensors);
  }
  EXPECT_THAT(LlamaFormat().Open(std::make_shared<MemoryFolder>(files), {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be told")));
  EXPECT_EQ(ReadContents(*Open(files, "llama2")).at("tok_embeddings.weight").second, Joined("tok_embeddings.weight", 2, 1, 1, true));
}

TEST(LlamaJoin, HeadsOfKeysThatStandInSeveralPartsAreTakenOnce) {
  const Contents whole = ReadContents(*Open([] {
    std::map<std::string, std::string> files = Model(4);
    files["params.json"] = R"({"dim": 8, "n_heads": 4, "n_kv_heads": 2})";
    return files;
  }()));
  EXPECT_THAT(whole.at("layers.0.attention.wk.weight").first, ElementsAre(4, 8));
  EXPECT_EQ(whole.at("layers.0.attention.wk.weight").second, Joined("layers.0.attention.wk.weight", 4, 0, 2));
  EXPECT_THAT(whole.at("layers.0.attention.wq.weight").first, ElementsAre(8, 8));
}

TEST(LlamaJoin, CopiesOfHeadsThatDifferAreRefused) {
  std::map<std::string, std::string> files = Model(4);
  files["params.json"] = R"({"dim": 8, "n_heads": 4, "n_kv_heads": 2})";
  std::vector<LlamaTensor> last = LlamaPart(3, 4);
  for (LlamaTensor& tensor : last) {
    if (tensor.name == "layers.0.attention.wv.weight") ++tensor.fill;
  }
  files["consolidated.03.pth"] = TorchFileOf(last);
  const std::unique_ptr<CheckpointReader> reader = Open(files);
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string bytes(reader->index().entries[i].byte_size, '\0');
    const absl::Status read = reader->ReadAt(i, 0, absl::MakeSpan(bytes));
    if (reader->index().entries[i].path.ToString() != "layers.0.attention.wv.weight") {
      CAIRN_EXPECT_OK(read);
      continue;
    }
    EXPECT_THAT(read, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byte 0 differs between consolidated.02.pth and consolidated.03.pth")));
  }
}

TEST(LlamaJoin, ReadsAnyWindow) {
  const Contents whole = ReadContents(*Open(Model(2)));
  for (const size_t window : {1u, 3u, 7u, 64u}) EXPECT_EQ(ReadContents(*Open(Model(2)), window), whole) << window;
}

TEST(LlamaJoin, OnePartIsPassedThroughWhateverItHolds) {
  std::map<std::string, std::string> files = {{"consolidated.00.pth", TorchFileOf({{"anything.at.all", {2, 3}, 5}, {"norm.weight", {4}, 1}})},
                                              {"params.json", LlamaParamsText()},
                                              {"tokenizer.model", "pieces"}};
  const Contents whole = ReadContents(*Open(files));
  EXPECT_THAT(whole.at("anything.at.all").first, ElementsAre(2, 3));
  EXPECT_EQ(whole.at("tokenizer.model").second, "pieces");
  EXPECT_EQ(whole.size(), 4u);
}

TEST(LlamaJoin, OnlyTheFolderIsAModel) {
  TempDir dir;
  for (const auto& [name, bytes] : Model(2)) std::ofstream(dir / name, std::ios::binary) << bytes;
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SourceTree> tree, OpenSourceTree(dir.path()));
  EXPECT_TRUE(LlamaFormat().Detect(*tree));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const SourceTree> file, OpenSourceTree(dir / "consolidated.00.pth"));
  EXPECT_FALSE(LlamaFormat().Detect(*file));
  EXPECT_THAT(LlamaFormat().Open(file, {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected the folder")));
}

// Blocks, large rows and windows that meet no border of either.
TEST(LlamaJoined, PutsRowsTogetherWhateverTheirSize) {
  for (const auto& [rows, piece] : {std::pair<uint64_t, uint64_t>{5000, 300}, {3, 3u << 20}, {9, 1u << 20}, {1, 5000}}) {
    const LlamaPieces pieces{.rows = rows, .piece_bytes = piece, .slices = 3, .copies = 1};
    const auto at = [](uint64_t part, uint64_t offset) { return static_cast<char>((part * 31 + offset * 7 + offset / 1000) & 255); };
    LlamaJoined joined(pieces, [&](size_t part, uint64_t offset, absl::Span<char> dst) {
      EXPECT_LE(offset + dst.size(), pieces.rows * pieces.piece_bytes);
      for (size_t i = 0; i < dst.size(); ++i) dst[i] = at(part, offset + i);
      return absl::OkStatus();
    });
    std::string window(777'777, '\0');
    for (uint64_t offset = 0; offset < pieces.size(); offset += window.size()) {
      window.resize(std::min<uint64_t>(window.size(), pieces.size() - offset));
      CAIRN_ASSERT_OK(joined.ReadAt(offset, absl::MakeSpan(window)));
      for (size_t i = 0; i < window.size(); i += 97) {
        const uint64_t byte = offset + i;
        const uint64_t in_row = byte % pieces.row_bytes();
        ASSERT_EQ(window[i], at(in_row / piece, byte / pieces.row_bytes() * piece + in_row % piece)) << rows << " rows of " << piece << ", byte " << byte;
      }
    }
  }
}

}  // namespace
}  // namespace cairn::testing
