#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "cairn/connection.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/fork_guard.h"
#include "client/python/native/records.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// The class LoadStream of _native.pyi. Its methods are called with the interpreter lock.
class EntryStream {
 public:
  EntryStream(std::unique_ptr<client::GetStream> stream, nanobind::object progress);
  ~EntryStream();

  const client::CheckpointInfo& checkpoint() const { return checkpoint_; }
  uint64_t entries() const { return entries_; }
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t bytes_done() const;
  uint64_t bytes_received() const;

  std::optional<EntryRecord> Next();
  void ReadInto(nanobind::handle memory);
  nanobind::object ReadBytes();
  void Cancel();
  void Close();

  nanobind::object& progress_callable() { return progress_.callable(); }

 private:
  // Raises if closed or forked.
  std::shared_ptr<client::GetStream> Stream() const;
  template <typename Work>
  auto Run(Work work);
  // The entry whose bytes are to be read now; raises if there is none.
  const EntryRecord& Unread() const;
  void Fill(absl::Span<char> dst);

  ForkSafe<client::GetStream> stream_;
  const client::CheckpointInfo checkpoint_;
  const uint64_t entries_;
  const uint64_t total_bytes_;
  std::optional<EntryRecord> current_;  // Has bytes that were not read.
  uint64_t last_bytes_done_ = 0;        // Once closed,
  uint64_t last_bytes_received_ = 0;    // both.
  ProgressCallback progress_;
  std::atomic<bool> in_use_{false};
};

void BindLoad(nanobind::module_& module);

}  // namespace cairn::python
