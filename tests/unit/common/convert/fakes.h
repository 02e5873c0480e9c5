#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/format/format.h"

namespace cairn::testing {

// A checkpoint in memory that remembers how it was read.
class FakeReader final : public CheckpointReader {
 public:
  void Add(Entry entry, std::string bytes = "") {
    index_.entries.push_back(std::move(entry));
    bytes_.push_back(std::move(bytes));
  }
  CheckpointIndex& mutable_index() { return index_; }
  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override {
    ++reads;
    largest_read = std::max<uint64_t>(largest_read, dst.size());
    first_offset.emplace(entry, offset);
    if (!fail_at.ok() && entry == fail_entry) return fail_at;
    if (offset > bytes_[entry].size() || dst.size() > bytes_[entry].size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("read at ", offset, "+", dst.size()));
    }
    if (!dst.empty()) std::memcpy(dst.data(), bytes_[entry].data() + offset, dst.size());
    return absl::OkStatus();
  }
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override {
    announced.assign(ranges.begin(), ranges.end());
    return absl::OkStatus();
  }

  size_t fail_entry = 0;
  absl::Status fail_at;
  int reads = 0;
  uint64_t largest_read = 0;
  std::map<size_t, uint64_t> first_offset;  // Where each entry was first read.
  std::vector<EntryRange> announced;

 private:
  CheckpointIndex index_;
  std::vector<std::string> bytes_;
};

// Takes a checkpoint into memory, in reverse order, and holds the caller to the order of calls.
class FakeWriter final : public CheckpointWriter {
 public:
  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    index_ = &index;
    std::vector<size_t> order;
    for (size_t i = index.entries.size(); i-- > 0;) {
      const EntryKind kind = index.entries[i].kind;
      if (kind == EntryKind::kTensor || kind == EntryKind::kAsset) order.push_back(i);
    }
    if (forget_last) order.pop_back();
    return order;
  }
  absl::StatusOr<uint64_t> StartEntry(size_t entry) override {
    current_ = index_->entries[entry].path.ToString();
    expected_ = index_->entries[entry].byte_size;
    written[current_] = durable.count(current_) ? durable.at(current_) : "";
    return written[current_].size();
  }
  absl::Status Append(absl::string_view bytes) override {
    ++appends;
    largest_append = std::max<uint64_t>(largest_append, bytes.size());
    appended += bytes.size();
    if (!fail_append.ok()) return fail_append;
    written[current_].append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status FinishEntry() override {
    if (written[current_].size() != expected_) {
      return absl::InvalidArgumentError(
          absl::StrCat("got ", written[current_].size(), " of ", expected_, " bytes"));
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    finished = true;
    return absl::OkStatus();
  }

  std::map<std::string, std::string> durable;  // What a broken save left, by shown path.
  bool forget_last = false;
  absl::Status fail_append;

  std::map<std::string, std::string> written;
  bool finished = false;
  int appends = 0;
  uint64_t appended = 0;
  uint64_t largest_append = 0;

 private:
  const CheckpointIndex* index_ = nullptr;
  std::string current_;
  uint64_t expected_ = 0;
};

}  // namespace cairn::testing
