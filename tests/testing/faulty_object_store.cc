#include "tests/testing/faulty_object_store.h"

#include <type_traits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"

namespace cairn::testing {

class FaultyObjectStore::Counter {
 public:
  void Arm(ObjectStoreFault fault) {
    absl::MutexLock lock(&mu_);
    fault_ = std::move(fault);
    calls_ = 0;
  }

  int64_t calls() const {
    absl::MutexLock lock(&mu_);
    return calls_;
  }

  // Counts a call and does `work`, or fails, or both. The lock is not held during the work.
  template <typename Work>
  std::invoke_result_t<Work> Call(Work work) {
    absl::Status status;
    bool after_work = false;
    {
      absl::MutexLock lock(&mu_);
      if (++calls_ == fault_.call) {
        status = fault_.status;
        after_work = fault_.after_work;
      }
    }
    if (status.ok()) return work();
    if (after_work) (void)work();
    return status;
  }

 private:
  mutable absl::Mutex mu_;
  ObjectStoreFault fault_ ABSL_GUARDED_BY(mu_);
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
};

class FaultyObjectStore::Writer final : public ObjectWriter {
 public:
  Writer(std::unique_ptr<ObjectWriter> writer, std::shared_ptr<Counter> counter)
      : writer_(std::move(writer)), counter_(std::move(counter)) {}

  absl::Status Append(absl::Span<const Buffer> pieces) override {
    return Do([&] { return writer_->Append(pieces); });
  }
  uint64_t size() const override { return writer_->size(); }
  absl::Status Seal() override {
    return Do([&] { return writer_->Seal(); });
  }

 private:
  template <typename Work>
  absl::Status Do(Work work) {
    // The call counts even where the writer is dead: it was made.
    const absl::Status status = counter_->Call([&] { return dead_.ok() ? work() : dead_; });
    if (dead_.ok() && !status.ok()) dead_ = status;
    return status;
  }

  const std::unique_ptr<ObjectWriter> writer_;
  const std::shared_ptr<Counter> counter_;
  absl::Status dead_;
};

FaultyObjectStore::FaultyObjectStore(std::shared_ptr<ObjectStore> store, ObjectStoreFault fault)
    : store_(std::move(store)), counter_(std::make_shared<Counter>()) {
  Arm(std::move(fault));
}

FaultyObjectStore::~FaultyObjectStore() = default;

void FaultyObjectStore::Arm(ObjectStoreFault fault) { counter_->Arm(std::move(fault)); }
int64_t FaultyObjectStore::calls() const { return counter_->calls(); }

absl::StatusOr<std::unique_ptr<ObjectWriter>> FaultyObjectStore::Create(absl::string_view key,
                                                                        uint64_t size_hint) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ObjectWriter> writer,
                         counter_->Call([&] { return store_->Create(key, size_hint); }));
  return std::make_unique<Writer>(std::move(writer), counter_);
}

absl::Status FaultyObjectStore::Read(absl::string_view key, uint64_t offset, absl::Span<char> dst) {
  return counter_->Call([&] { return store_->Read(key, offset, dst); });
}

absl::StatusOr<uint64_t> FaultyObjectStore::Size(absl::string_view key) {
  return counter_->Call([&] { return store_->Size(key); });
}

absl::Status FaultyObjectStore::Delete(absl::string_view key) {
  return counter_->Call([&] { return store_->Delete(key); });
}

absl::StatusOr<std::vector<ObjectStore::ObjectInfo>> FaultyObjectStore::List(absl::string_view prefix,
                                                                             absl::string_view start_after,
                                                                             size_t limit) {
  return counter_->Call([&] { return store_->List(prefix, start_after, limit); });
}

absl::StatusOr<uint64_t> FaultyObjectStore::RemoveLeftovers() {
  return counter_->Call([&] { return store_->RemoveLeftovers(); });
}

absl::StatusOr<ObjectStore::Space> FaultyObjectStore::GetSpace() {
  return counter_->Call([&] { return store_->GetSpace(); });
}

std::string FaultyObjectStore::Describe() const { return absl::StrCat("faulty ", store_->Describe()); }

}  // namespace cairn::testing
