#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "server/store/object_store.h"

namespace cairn::testing {

// One call that goes wrong.
struct ObjectStoreFault {
  int64_t call = 0;         // Which one, counted from 1 since the fault was armed; 0 is none.
  absl::Status status;      // What the caller gets; not OK.
  bool after_work = false;  // The work is done nevertheless: a reply that was lost.
};

// Passes every call on to `store` and counts it: those of ObjectStore but Describe(), and Append() and Seal()
// of its writers. One call fails on demand. A writer that has failed is dead, as the contract says.
// Thread-safe.
class FaultyObjectStore final : public ObjectStore {
 public:
  // Shared, so that a test can look at the store underneath after the fault.
  explicit FaultyObjectStore(std::shared_ptr<ObjectStore> store, ObjectStoreFault fault = {});
  ~FaultyObjectStore() override;

  // Replaces the fault and counts from the beginning.
  void Arm(ObjectStoreFault fault);
  // Calls since the fault was armed. A test that fails each call in turn counts them in a run without a fault
  // first.
  int64_t calls() const;

  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view key, uint64_t size_hint) override;
  absl::Status Read(absl::string_view key, uint64_t offset, absl::Span<char> dst) override;
  absl::StatusOr<UniqueFd> OpenAsFile(absl::string_view key) override { return store_->OpenAsFile(key); }  // Not counted.
  absl::StatusOr<uint64_t> Size(absl::string_view key) override;
  absl::Status Delete(absl::string_view key) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               size_t limit) override;
  absl::StatusOr<uint64_t> RemoveLeftovers() override;
  absl::StatusOr<Space> GetSpace() override;
  std::string Describe() const override;

 private:
  class Counter;
  class Writer;

  const std::shared_ptr<ObjectStore> store_;
  const std::shared_ptr<Counter> counter_;  // Shared with the writers, which may outlive the store.
};

}  // namespace cairn::testing
