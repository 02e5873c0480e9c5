#include <filesystem>
#include <string>

#include "common/format/npz/npz_format.h"
#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/npz_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class NpzWriterTest : public ::testing::Test {
 protected:
  void AddTensor(KeyPath path, Dtype dtype = Dtype::kFloat32, Shape shape = {2}) {
    const uint64_t size = ByteSize(dtype, shape).value();
    index_.entries.push_back(Entry::Tensor(std::move(path), dtype, std::move(shape), size));
  }

  absl::Status Write(WriteOptions options = {}) const {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink,
                           CreateSinkTree(path_, {.overwrite = true, .durable = false}));
    CAIRN_ASSIGN_OR_RETURN(const auto writer, NpzFormat().Create(std::move(sink), options));
    CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(index_));
    for (const size_t entry : order) {
      CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
      CAIRN_RETURN_IF_ERROR(
          writer->Append(std::string(index_.entries[entry].byte_size, static_cast<char>('a' + entry))));
      CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
    }
    return writer->Finish();
  }

  absl::StatusOr<NpzContent> Read() const {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> tree, OpenSourceTree(path_));
    return ReadNpz(std::move(tree));
  }

  TempDir dir_;
  const std::string path_ = dir_ / "out.npz";
  CheckpointIndex index_;
};

TEST_F(NpzWriterTest, WhatItWritesIsReadBackInTheSameOrder) {
  AddTensor(KeyPath::Of({"z"}));
  AddTensor(KeyPath::Of({"a"}), Dtype::kInt64, {});
  AddTensor(KeyPath::Of({"m"}), Dtype::kBool, {0, 3});
  CAIRN_ASSERT_OK(Write());
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, Read());
  ASSERT_EQ(read.index.entries.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read.index.entries[i].path, index_.entries[i].path);
    EXPECT_EQ(read.index.entries[i].dtype, index_.entries[i].dtype);
    EXPECT_EQ(read.index.entries[i].shape, index_.entries[i].shape);
    EXPECT_EQ(read.bytes[i], std::string(index_.entries[i].byte_size, static_cast<char>('a' + i)));
  }
}

TEST_F(NpzWriterTest, TheSameCheckpointGivesTheSameBytes) {
  AddTensor(KeyPath::Of({"a"}));
  CAIRN_ASSERT_OK(Write());
  const std::string first = ReadSmallFile(path_, 1 << 20).value();
  CAIRN_ASSERT_OK(Write());
  EXPECT_EQ(ReadSmallFile(path_, 1 << 20).value(), first);
}

TEST_F(NpzWriterTest, DtypesWhoseNameWouldBeLostAreRefusedWithAdvice) {
  AddTensor(KeyPath::Of({"good"}));
  AddTensor(KeyPath::Of({"w"}), Dtype::kBfloat16);
  AddTensor(KeyPath::Of({"q"}), Dtype::kInt4);
  EXPECT_THAT(Write(), StatusIs(absl::StatusCode::kInvalidArgument,
                                AllOf(HasSubstr("\"w\" has dtype bfloat16"), HasSubstr("--dtype fp32"),
                                      HasSubstr("\"q\" has dtype int4"))));
  EXPECT_FALSE(std::filesystem::exists(path_));
  CAIRN_ASSERT_OK(Write({.drop_unsupported = true}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, Read());
  ASSERT_EQ(read.index.entries.size(), 1u);
  EXPECT_EQ(read.index.entries[0].path, KeyPath::Of({"good"}));
}

TEST_F(NpzWriterTest, PathsAreJoinedAndWhatCollidesIsRefused) {
  AddTensor(KeyPath(std::vector<KeyPath::Segment>{"layers", int64_t{7}, "w"}));
  CAIRN_ASSERT_OK(Write({.separator = "/"}));
  EXPECT_EQ(Read()->index.entries[0].path, KeyPath::Of({"layers/7/w"}));
  AddTensor(KeyPath::Of({"layers.7", "w"}));
  CAIRN_ASSERT_OK(Write({.separator = "/"}));
  EXPECT_THAT(Write(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("both named \"layers.7.w\"")));
}

TEST_F(NpzWriterTest, NamesThatNoArchiveShouldHoldAreRefused) {
  const std::pair<KeyPath, const char*> bad[] = {
      {KeyPath::Of({"/etc"}), "is absolute"},
      {KeyPath::Of({"a/../b"}), "leaves its folder"},
      {KeyPath::Of({std::string("a\0b", 3)}), "NUL byte"},
      {KeyPath::Of({"\xff"}), "not UTF-8"},
      {KeyPath::Of({std::string(65'536, 'n')}), "65536 bytes"},
      {KeyPath(), "is the root of the tree"},
  };
  for (const auto& [path, why] : bad) {
    index_.entries.clear();
    AddTensor(path);
    EXPECT_THAT(Write(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why))) << why;
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(NpzWriterTest, AFolderIsRefused) {
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path_ + "/"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, NpzFormat().Create(sink, {}));
  CAIRN_ASSERT_OK(writer->Begin(index_).status());
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a folder")));
}

}  // namespace
}  // namespace cairn::testing
