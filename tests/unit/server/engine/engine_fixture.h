#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error_info.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint_engine.h"
#include "server/registry/sqlite_registry.h"
#include "server/store/memory_object_store.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/faulty_object_store.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {

// A tensor that is filled with a pattern of its own.
struct TestTensor {
  Entry entry;
  std::string bytes;
};

inline TestTensor MakeTensor(const std::string& name, Dtype dtype, Shape shape, uint32_t seed) {
  const uint64_t bytes = *ByteSize(dtype, shape);
  return {Entry::Tensor(*KeyPath::Parse(name), dtype, std::move(shape), bytes), PatternBytes(bytes, seed)};
}

// The bytes of a box of a row-major tensor.
inline std::string CutBox(const TestTensor& tensor, const Box& box) {
  const uint64_t item = static_cast<uint64_t>(BitWidth(tensor.entry.dtype)) / 8;
  std::string out;
  const size_t rank = box.extent.size();
  std::vector<int64_t> at(rank, 0);
  for (int64_t extent : box.extent) {
    if (extent == 0) return out;
  }
  while (true) {
    uint64_t position = 0;
    for (size_t d = 0; d < rank; ++d) {
      position = position * static_cast<uint64_t>(tensor.entry.shape[d]) + static_cast<uint64_t>(box.offset[d] + at[d]);
    }
    out += tensor.bytes.substr(position * item, item);
    size_t d = rank;
    while (d > 0 && ++at[d - 1] == box.extent[d - 1]) at[--d] = 0;
    if (d == 0) return out;
  }
}

// An engine over a memory store, whose calls can be made to fail, and a SQLite registry. Can be restarted.
class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : base_store_(NewMemoryObjectStore()) {
    options_.upload.extent_bytes = 1024;
    options_.upload.object_bytes = 8 * 1024;
    options_.download.cache_bytes = 4 * 1024;
    Restart();
  }

  // As after a crash: everything that the engine held in memory is gone.
  void Restart() {
    engine_.reset();
    auto registry = OpenSqliteRegistry({.path = directory_ / "registry.db", .durable = false});
    ASSERT_TRUE(registry.ok()) << registry.status();
    auto store = std::make_unique<FaultyObjectStore>(base_store_);
    faults_ = store.get();
    engine_ = std::make_unique<CheckpointEngine>(std::move(store), *std::move(registry), clock_, options_);
  }

  absl::StatusOr<std::string> Begin(const std::string& name, int64_t step, uint32_t writers = 1, bool overwrite = false) {
    SessionSpec spec;
    spec.name = name;
    spec.step = step;
    spec.writers = writers;
    spec.overwrite = overwrite;
    spec.client_key = name + "@" + std::to_string(step) + "#" + std::to_string(next_key_++);
    absl::StatusOr<Session> session = engine_->BeginSave(spec);
    if (!session.ok()) return session.status();
    return session->id;
  }

  // Sends bytes [start, start + bytes.size()) of the declared entry in chunks.
  static absl::Status Send(Upload& upload, uint64_t start, absl::string_view bytes, size_t chunk = 700) {
    for (size_t at = 0; at < bytes.size(); at += chunk) {
      const absl::string_view piece = bytes.substr(at, chunk);
      absl::Status sent = upload.Append(start + at, {Buffer::FromString(std::string(piece))});
      if (!sent.ok()) return sent;
    }
    return absl::OkStatus();
  }

  static absl::Status PutEntry(Upload& upload, const Entry& entry, const std::optional<Box>& box, absl::string_view bytes) {
    absl::Status status = upload.Declare(entry, box, 0);
    if (status.ok()) status = Send(upload, 0, bytes);
    if (status.ok()) status = upload.FinishEntry();
    return status;
  }

  absl::Status PutAll(const std::string& session, uint32_t writer, const std::vector<TestTensor>& tensors) {
    absl::StatusOr<std::unique_ptr<Upload>> upload = engine_->OpenUpload(session, writer);
    if (!upload.ok()) return upload.status();
    for (const TestTensor& tensor : tensors) {
      absl::Status put = PutEntry(**upload, tensor.entry, std::nullopt, tensor.bytes);
      if (!put.ok()) return put;
    }
    return (*upload)->Flush();
  }

  absl::StatusOr<CheckpointRow> Commit(const std::string& session, uint32_t writers = 1) {
    for (uint32_t writer = 0; writer < writers; ++writer) {
      absl::StatusOr<Session> finished = engine_->FinishWriter(session, writer);
      if (!finished.ok()) return finished.status();
    }
    return engine_->CommitSave(session);
  }

  absl::StatusOr<CheckpointRow> Save(const std::string& name, int64_t step, const std::vector<TestTensor>& tensors,
                                     bool overwrite = false) {
    absl::StatusOr<std::string> session = Begin(name, step, 1, overwrite);
    if (!session.ok()) return session.status();
    absl::Status put = PutAll(*session, 0, tensors);
    if (!put.ok()) return put;
    return Commit(*session);
  }

  // What a download gives, by shown path.
  absl::StatusOr<std::map<std::string, std::string>> Load(const std::string& ref_text, DownloadRequest request = {}) {
    absl::StatusOr<Ref> ref = Ref::Parse(ref_text);
    if (!ref.ok()) return ref.status();
    absl::StatusOr<std::unique_ptr<Download>> download = engine_->OpenDownload(*ref, std::move(request));
    if (!download.ok()) return download.status();
    return Drain(**download);
  }

  static absl::StatusOr<std::map<std::string, std::string>> Drain(Download& download) {
    std::map<std::string, std::string> loaded;
    std::string path;
    while (true) {
      absl::StatusOr<std::optional<Download::Piece>> piece = download.Next();
      if (!piece.ok()) return piece.status();
      if (!piece->has_value()) return loaded;
      if ((*piece)->start != nullptr) path = (*piece)->start->path.ToString();
      loaded[path] += std::string((*piece)->data.bytes());
    }
  }

  static std::map<std::string, std::string> Bytes(const std::vector<TestTensor>& tensors) {
    std::map<std::string, std::string> bytes;
    for (const TestTensor& tensor : tensors) bytes[tensor.entry.path.ToString()] = tensor.bytes;
    return bytes;
  }

  absl::StatusOr<GarbageReport> Collect(bool dry_run = false) {
    return engine_->CollectGarbage(dry_run, Cancellation(), nullptr);
  }

  size_t ObjectCount() { return base_store_->List("", "", 100'000)->size(); }

  TempDir directory_;
  FakeClock clock_;
  EngineOptions options_;
  std::shared_ptr<ObjectStore> base_store_;  // Outlives a restart.
  FaultyObjectStore* faults_ = nullptr;      // What the engine of the moment goes through.
  std::unique_ptr<CheckpointEngine> engine_;
  int next_key_ = 0;
};

}  // namespace cairn::testing
