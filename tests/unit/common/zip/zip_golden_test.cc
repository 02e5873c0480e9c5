// Archives of the real torch and of Python's zipfile (tests/golden/make_zip_golden.py).

#include <string>
#include <vector>

#include "common/io/memory_io.h"
#include "common/io/posix_file.h"
#include "common/zip/zip_reader.h"
#include "common/zip/zip_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/zip/zip_test_io.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;

std::string Golden(const std::string& name) {
  return ReadSmallFile(std::string(CAIRN_SOURCE_DIR "/tests/golden/zip/") + name, 1 << 20).value();
}

// Of the large golden file, as the generator's name for it says.
constexpr uint64_t kHole = 1088, kHoleSize = 0xffffffff;

TEST(ZipGolden, ReadsWhatTorchWrites) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(std::make_shared<MemorySource>(Golden("torch.pt"))));
  std::vector<std::string> names;
  for (const ZipEntry& entry : reader->entries()) names.push_back(entry.name);
  EXPECT_THAT(names, ElementsAre("torch/data.pkl", "torch/.format_version", "torch/.storage_alignment",
                                 "torch/byteorder", "torch/data/0", "torch/data/1", "torch/data/2", "torch/data/3",
                                 "torch/version", "torch/.data/serialization_id"));
  const auto content = [&](const char* name) { return reader->ReadEntry(reader->Find(name).value(), 1000).value(); };
  EXPECT_EQ(content("torch/version"), "3\n");
  EXPECT_EQ(content("torch/byteorder"), "little");
  EXPECT_EQ(content("torch/.storage_alignment"), "64");
  EXPECT_EQ(content("torch/data/1"), "");
  EXPECT_EQ(content("torch/data/2"), "\x80\x3f\x80\x3f\x80\x3f");
  EXPECT_EQ(content("torch/data/0").size(), 80u);
  EXPECT_EQ(reader->Find("torch/data/4"), std::nullopt);
  for (size_t i = 0; i < reader->entries().size(); ++i) EXPECT_EQ(reader->DataOffset(i).value() % 64, 0u) << i;
}

TEST(ZipGolden, WritesTheVeryBytesThatTorchWrites) {
  const std::pair<const char*, ZipWriterOptions> files[] = {
      {"torch.pt", {.layout = ZipLayout::kTorch}},
      {"torch_aligned_without_crc.pt", {.layout = ZipLayout::kTorch, .alignment = 256, .compute_crc = false}},
  };
  for (const auto& [name, options] : files) {
    const std::string golden = Golden(name);
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(std::make_shared<MemorySource>(golden)));
    std::string written;
    MemorySink sink(&written);
    ZipWriter writer(&sink, options);
    for (size_t i = 0; i < reader->entries().size(); ++i) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const std::string content, reader->ReadEntry(i, 1000));
      CAIRN_ASSERT_OK(writer.AddEntry(reader->entries()[i].name, content));
    }
    CAIRN_ASSERT_OK(writer.Finish());
    CAIRN_ASSERT_OK(sink.Close());
    EXPECT_TRUE(written == golden) << name;
  }
}

TEST(ZipGolden, ReadsWhatTorchWritesBeyondFourGigabytes) {
  const auto source = std::make_shared<SourceWithHole>(Golden("torch_large_1088_4294967295.bin"), kHole, kHoleSize);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(source));
  const size_t large = reader->Find("archive/data/1").value(), far = reader->Find("archive/data/2").value();
  EXPECT_EQ(reader->entries()[large].size, kHoleSize);
  EXPECT_EQ(reader->DataOffset(large).value(), kHole);
  EXPECT_GT(reader->entries()[far].header_offset, 0xffffffffu);
  EXPECT_EQ(reader->ReadEntry(far, 5).value(), std::string("\0\1\2\3\4", 5));
  EXPECT_EQ(reader->ReadEntry(reader->Find("archive/data/3").value(), 5).value(), "");
  EXPECT_EQ(reader->ReadEntry(reader->Find("archive/version").value(), 5).value(), "3\n");
  EXPECT_THAT(reader->ReadEntry(large, 1 << 20), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ZipGolden, WritesTheVeryBytesThatTorchWritesBeyondFourGigabytes) {
  const std::string golden = Golden("torch_large_1088_4294967295.bin");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             ZipReader::Open(std::make_shared<SourceWithHole>(golden, kHole, kHoleSize)));
  SinkWithHole sink;
  ZipWriter writer(&sink, {.layout = ZipLayout::kTorch});
  const std::string zeros(1 << 20, '\0');
  for (size_t i = 0; i < reader->entries().size(); ++i) {
    const ZipEntry& entry = reader->entries()[i];
    if (entry.size < (1 << 20)) {
      CAIRN_ASSERT_OK(writer.AddEntry(entry.name, reader->ReadEntry(i, 1 << 20).value()));
      continue;
    }
    CAIRN_ASSERT_OK(writer.StartEntry(entry.name, entry.size));
    EXPECT_EQ(writer.offset(), kHole);
    for (uint64_t rest = entry.size; rest > 0; rest -= std::min<uint64_t>(rest, zeros.size())) {
      CAIRN_ASSERT_OK(writer.Append(absl::string_view(zeros).substr(0, rest)));
    }
    CAIRN_ASSERT_OK(writer.FinishEntry());
  }
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_EQ(sink.size(), golden.size() + kHoleSize);
  EXPECT_TRUE(sink.kept() == golden);
}

TEST(ZipGolden, ReadsWhatPythonWritesToFilesAndPipes) {
  std::string bytes;
  for (int i = 0; i < 1024; ++i) bytes.push_back(static_cast<char>(i));
  for (const char* name : {"stored.zip", "deflated.zip", "stored_to_pipe.zip", "deflated_to_pipe.zip"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(std::make_shared<MemorySource>(Golden(name))));
    ASSERT_EQ(reader->entries().size(), 5u) << name;
    EXPECT_TRUE(reader->entries()[0].is_folder());
    const auto content = [&](const char* entry) { return reader->ReadEntry(reader->Find(entry).value(), 1 << 20); };
    EXPECT_EQ(content("folder/text").value().substr(0, 29), "A cairn is a pile of stones. ") << name;
    EXPECT_EQ(content("empty").value(), "") << name;
    EXPECT_EQ(content("é中").value(), bytes) << name;
    EXPECT_EQ(content("zip64").value(), "sixty-four") << name;
    EXPECT_TRUE(reader->entries()[3].utf8) << name;
  }
}

}  // namespace
}  // namespace cairn::testing
