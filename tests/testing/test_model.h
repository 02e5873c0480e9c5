#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/client.h"
#include "common/base/buffer.h"
#include "tests/testing/pattern_bytes.h"

namespace cairn::testing {

// A model that several writers save together: one tensor cut by rows among all of them, and some of each one's own.
// Everything follows from `seed` and `changes`, so whoever loads it knows what it must be.
class TestModel {
 public:
  // With one more of `changes` it is the same but for some bytes of a hundred.
  TestModel(uint64_t seed, uint32_t writers, uint64_t rows_per_writer = 100, uint64_t row_bytes = 4096, uint64_t changes = 0)
      : seed_(seed), writers_(writers), rows_(rows_per_writer), row_bytes_(row_bytes), changes_(changes) {}

  // Sends what is this writer's, and finishes it. What `parent`, if given, has in common with it need not travel.
  absl::Status Put(client::SaveWriter& save, uint32_t writer, const TestModel* parent = nullptr) const {
    const auto bytes_of = [&](auto&& bytes) {
      std::shared_ptr<client::EntryBytes> own = client::EntryBytes::Of(Buffer::FromString(bytes(*this)));
      if (parent == nullptr) return own;
      return client::EntryBytes::WithBase(std::move(own), client::EntryBytes::Of(Buffer::FromString(bytes(*parent))));
    };
    const int64_t rows = static_cast<int64_t>(rows_);
    absl::Status put = save.PutShard(
        Shared(), Box{{static_cast<int64_t>(writer) * rows, 0}, {rows, static_cast<int64_t>(row_bytes_)}},
        bytes_of([&](const TestModel& model) { return model.SharedRows(writer); }));
    // Deltas are small: without that all of them would become durable at once.
    if (parent != nullptr && put.ok()) put = save.Flush();
    for (int i = 0; i < 5 && put.ok(); ++i) {
      put = save.Put(Own(writer, i), bytes_of([&](const TestModel& model) { return model.OwnBytes(writer, i); }));
    }
    if (!put.ok()) return put;
    return save.Finish().status();
  }

  // Loads the checkpoint whole and compares every byte.
  absl::Status Check(const client::Client& client, const std::string& ref) const {
    auto stream = client.Load({.ref = ref});
    if (!stream.ok()) return stream.status();
    size_t seen = 0;
    while (true) {
      auto next = (*stream)->Next();
      if (!next.ok()) return next.status();
      if (!next->has_value()) break;
      std::string bytes((*next)->bytes, '\0');
      if (absl::Status read = (*stream)->ReadInto(absl::MakeSpan(bytes)); !read.ok()) return read;
      const std::string path = (*next)->entry.path.ToString();
      if (bytes != Expected(path)) return absl::DataLossError(absl::StrCat(ref, ": ", path, " is not what was saved"));
      ++seen;
    }
    if (seen != 1 + 5 * writers_) return absl::DataLossError(absl::StrCat(ref, ": ", seen, " entries"));
    return absl::OkStatus();
  }

 private:
  Entry Shared() const {
    return Entry::Tensor(KeyPath::Of({"shared"}), Dtype::kUint8,
                         {static_cast<int64_t>(rows_ * writers_), static_cast<int64_t>(row_bytes_)},
                         rows_ * writers_ * row_bytes_);
  }
  Entry Own(uint32_t writer, int i) const {
    const uint64_t size = OwnSize(i);
    return Entry::Tensor(KeyPath::Of({absl::StrCat("own", writer), absl::StrCat(i)}), Dtype::kUint8,
                         {static_cast<int64_t>(size)}, size);
  }
  static uint64_t OwnSize(int i) { return i == 0 ? 0 : i == 1 ? 7 : 30'000 * static_cast<uint64_t>(i); }
  std::string Bytes(uint64_t size, uint64_t seed) const {
    std::string bytes = PatternBytes(size, seed);
    for (uint64_t change = 1; change <= changes_ && size > 100; ++change) {
      for (uint64_t at = change * 7919 % 97; at < size; at += 97) bytes[at] = static_cast<char>(bytes[at] ^ (1 + change % 100));
    }
    return bytes;
  }
  std::string SharedRows(uint32_t writer) const { return Bytes(rows_ * row_bytes_, seed_ * 1000 + writer); }
  std::string OwnBytes(uint32_t writer, int i) const {
    return Bytes(OwnSize(i), seed_ * 1000 + 100 + writer * 10 + static_cast<uint64_t>(i));
  }
  std::string Expected(const std::string& path) const {
    if (path == "shared") {
      std::string all;
      for (uint32_t writer = 0; writer < writers_; ++writer) all += SharedRows(writer);
      return all;
    }
    for (uint32_t writer = 0; writer < writers_; ++writer) {
      for (int i = 0; i < 5; ++i) {
        if (path == absl::StrCat("own", writer, "/", i)) return OwnBytes(writer, i);
      }
    }
    return absl::StrCat("no entry ", path);
  }

  uint64_t seed_;
  uint32_t writers_;
  uint64_t rows_;
  uint64_t row_bytes_;
  uint64_t changes_;
};

}  // namespace cairn::testing
