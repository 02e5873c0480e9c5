#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {

// One Format under the suite of format_contract.cc. Instantiate it in a file of your own and link both:
//   INSTANTIATE_TEST_SUITE_P(Npz, FormatContract, ::testing::Values(FormatUnderTest{&NpzFormat, ""}),
//   NameOfFormat);
struct FormatUnderTest {
  const Format& (*format)();
  std::string variant;
};

std::string NameOfFormat(const ::testing::TestParamInfo<FormatUnderTest>& info);

// A checkpoint with its bytes, entry by entry (empty for entries that have none).
struct CheckpointContent {
  CheckpointIndex index;
  std::vector<std::string> bytes;

  void AddTensor(KeyPath path, Dtype dtype, Shape shape);
  void AddAsset(const std::string& name, std::string content);
  void Add(Entry entry);
};

// Bytes that are valid for any dtype, and differ from place to place.
std::string PatternFor(Dtype dtype, size_t size, unsigned seed);

class FormatContract : public ::testing::TestWithParam<FormatUnderTest> {
 protected:
  const Format& format() const { return GetParam().format(); }
  std::string path(const std::string& name = "checkpoint") const { return dir_ / name; }

  // Writes in pieces of `piece` bytes.
  absl::Status Write(const CheckpointContent& content, const std::string& path, WriteOptions options = {},
                     size_t piece = 1000) const;
  absl::StatusOr<std::unique_ptr<CheckpointReader>> Read(const std::string& path,
                                                         ReadLimits limits = {}) const;
  // Expects that `path` holds `content`, in any order.
  void ExpectHolds(const std::string& path, const CheckpointContent& content, size_t window = 1 << 20) const;
  void ExpectRoundTrip(const CheckpointContent& content, WriteOptions options = {}) const;
  // Nothing is in the folder of the test.
  void ExpectNothingLeft() const;

  TempDir dir_;
};

}  // namespace cairn::testing
