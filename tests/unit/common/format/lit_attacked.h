#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/format/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/lit_attack_files.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {

// Opens it and reads everything that it says it has, up to a megabyte of each entry.
inline absl::Status ReadLitAttack(const Format& format, const LitAttack& attack, const std::string& lone_name, const ReadOptions& options) {
  TempDir dir;
  const std::filesystem::path folder = dir / "step-7";
  std::filesystem::create_directories(folder);
  for (const auto& [name, bytes] : attack.files) {
    const std::filesystem::path path = folder / (attack.is_file() ? lone_name : name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(attack.is_file() ? (folder / lone_name).string() : folder.string()));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, format.Open(std::move(source), options));
  CAIRN_RETURN_IF_ERROR(reader->index().Check());
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string read(std::min<uint64_t>(reader->index().entries[i].byte_size, 1u << 20), '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(read)));
  }
  return absl::OkStatus();
}

// Refused by name and at once, or not at all where there is nothing to refuse.
inline void ExpectLitRefusal(const Format& format, const LitAttack& attack, const std::string& lone_name, const std::string& variant) {
  const auto started = std::chrono::steady_clock::now();
  const absl::Status status = ReadLitAttack(format, attack, lone_name, {.limits = {.max_entries = 10'000}, .variant = variant});
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  if (attack.message.empty()) {
    CAIRN_EXPECT_OK(status);
    return;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsNotFound(status)) << status;
  EXPECT_THAT(status.message(), ::testing::HasSubstr(attack.message));
  EXPECT_THAT(status.message(), ::testing::HasSubstr(attack.is_file() ? lone_name : "step-7"));
}

// However much of a file of it is missing.
inline void ExpectLitRefusalWhereverItEnds(const Format& format, const LitAttack& good, const std::string& lone_name, const std::string& variant) {
  for (const auto& [name, bytes] : good.files) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      LitAttack cut = good;
      cut.files[name].resize(size);
      EXPECT_FALSE(ReadLitAttack(format, cut, lone_name, {.variant = variant}).ok()) << name << " cut to " << size;
    }
  }
}

}  // namespace cairn::testing
