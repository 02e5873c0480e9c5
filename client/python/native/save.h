#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "cairn/client.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/fork_guard.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// The class SaveWriter of _native.pyi. Its methods are called with the interpreter lock.
class SaveSessionWriter {
 public:
  SaveSessionWriter(std::unique_ptr<client::SaveWriter> writer, uint32_t number, nanobind::object progress);
  ~SaveSessionWriter();

  const client::SaveSession& session() const { return session_; }
  bool nothing_to_send() const { return nothing_to_send_; }

  void PutTensor(nanobind::handle path, const std::string& dtype, nanobind::handle shape, nanobind::handle memory,
                 nanobind::handle offset, nanobind::handle extent, nanobind::handle base);
  void PutValue(nanobind::handle path, nanobind::handle value);
  void PutAlias(nanobind::handle path, nanobind::handle target);
  void PutAsset(const std::string& name, nanobind::handle content);
  void Flush();
  const client::SaveSession& Finish();
  client::CheckpointInfo Commit();
  void Abort();
  void Cancel();
  client::PutProgress Progress();
  void Close();

  nanobind::object& progress_callable() { return progress_.callable(); }

 private:
  // Raises if closed or forked.
  std::shared_ptr<client::SaveWriter> Writer() const;
  // Runs `work(writer)` as an exclusive, blocking call.
  template <typename Work>
  auto Run(Work work);
  void FlushOnce();
  void Put(Entry entry, std::optional<Box> box, std::shared_ptr<client::EntryBytes> bytes);

  ForkSafe<client::SaveWriter> writer_;
  client::SaveSession session_;
  const bool nothing_to_send_;
  bool flushed_ = false;  // Before the writer is finished; no flush may follow.
  ProgressCallback progress_;
  client::PutProgress last_progress_;  // Once closed.
  std::atomic<bool> in_use_{false};
};

void BindSave(nanobind::module_& module);

}  // namespace cairn::python
