#include "common/format/resuming_writer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/format/all_formats.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlock = 64u << 10;
constexpr uint64_t kWindow = 300'000;  // Ends within elements and blocks.

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A checkpoint of large tensors and small ones.
struct Model {
  Model() {
    const std::vector<int64_t> sizes = {700'000, 3, 0, 1'000'000, 70'000, 1, 2'500'000};
    for (size_t i = 0; i < sizes.size(); ++i) {
      index.entries.push_back(Entry::Tensor(KeyPath::Parse(absl::StrCat("layer", i)).value(), Dtype::kFloat16, {sizes[i]}, 2 * sizes[i]));
      std::string& content = bytes.emplace_back(2 * sizes[i], '\0');
      for (size_t k = 0; k < content.size(); ++k) content[k] = static_cast<char>((k * (i + 3) + k / 977) & 0x3f);
      total += content.size();
    }
  }
  CheckpointIndex index;
  std::vector<std::string> bytes;
  uint64_t total = 0;
};

struct Outcome {
  bool finished = false;
  uint64_t given = 0;  // Bytes that the writer asked for.
};

class ResumingWriterTest : public ::testing::TestWithParam<const char*> {
 protected:
  // Gives the writer at most `most` bytes.
  absl::StatusOr<Outcome> Write(const std::string& path, uint64_t most) {
    auto opened = ResumableTree::Open(path, {.identity = "1", .durable = false, .block_bytes = kBlock});
    if (!opened.ok()) return opened.status();
    const std::shared_ptr<ResumableTree> tree = *std::move(opened);
    auto created = FormatByName(GetParam()).value()->Create(tree, {});
    if (!created.ok()) return created.status();
    const std::unique_ptr<CheckpointWriter> writer = ResumeWriting(*std::move(created), tree, false);
    auto order = writer->Begin(model_.index);
    if (!order.ok()) return order.status();
    Outcome outcome;
    for (const size_t entry : *order) {
      auto start = writer->StartEntry(entry);
      if (!start.ok()) return start.status();
      absl::string_view bytes = model_.bytes[entry];
      for (bytes.remove_prefix(*start); !bytes.empty();) {
        // In memory of its own, as what a reader fills.
        const std::string window(bytes.substr(0, std::min({kWindow, most - outcome.given, uint64_t{bytes.size()}})));
        if (window.empty()) return outcome;
        if (absl::Status appended = writer->Append(window); !appended.ok()) return appended;
        outcome.given += window.size();
        bytes.remove_prefix(window.size());
      }
      if (absl::Status finished = writer->FinishEntry(); !finished.ok()) return finished;
    }
    if (absl::Status finished = writer->Finish(); !finished.ok()) return finished;
    outcome.finished = true;
    return outcome;
  }

  const Model model_;
  testing::TempDir folder_;
};

TEST_P(ResumingWriterTest, MakesTheSameFileWhereverItWasInterruptedAndAsksForLess) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Outcome whole, Write(folder_ / "whole", model_.total));
  ASSERT_TRUE(whole.finished);
  EXPECT_EQ(whole.given, model_.total);
  const std::string expected = ReadAll(folder_ / "whole");
  for (const uint64_t most : {uint64_t{10'000}, uint64_t{2'900'000}, uint64_t{4'700'000}, model_.total - 1}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Outcome first, Write(folder_ / "out", most));
    EXPECT_FALSE(first.finished);
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    // Interrupted again, on its way through what is kept or a bit behind it.
    CAIRN_ASSERT_OK_AND_ASSIGN(const Outcome again, Write(folder_ / "out", 1'000));
    EXPECT_FALSE(again.finished);
    CAIRN_ASSERT_OK_AND_ASSIGN(const Outcome last, Write(folder_ / "out", model_.total));
    EXPECT_TRUE(last.finished);
    EXPECT_EQ(ReadAll(folder_ / "out"), expected) << most;
    // What a writer copies into a buffer with other bytes is asked for again.
    const uint64_t copied = 800'000;
    EXPECT_LE(last.given, model_.total - most + copied + 2 * kBlock) << most;
    fs::remove(folder_ / "out");
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ResumingWriterTest, ::testing::Values("easylm", "flax", "safetensors", "torch", "npz", "lightning"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace cairn
