#include "client/python/native/borrowed.h"

#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/python/native/blocking_call.h"
#include "common/base/status_macros.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

// What waits to be let go: exported buffers and callables.
class Waiting {
 public:
  static Waiting& Get() {
    static Waiting* const waiting = new Waiting();
    return *waiting;
  }

  bool any() const { return any_.load(std::memory_order_relaxed); }

  void Add(std::unique_ptr<Py_buffer> view, PyObject* object) {
    {
      absl::MutexLock lock(&mu_);
      if (view != nullptr) views_.push_back(std::move(view));
      if (object != nullptr) objects_.push_back(object);
      any_ = true;
    }
    // A thread of gRPC's: nobody may come by soon.
    if (BlockingCall::Current() == nullptr && Py_IsInitialized()) Py_AddPendingCall(&ReleasePending, nullptr);
  }

  void Release() {
    std::vector<std::unique_ptr<Py_buffer>> views;
    std::vector<PyObject*> objects;
    {
      absl::MutexLock lock(&mu_);
      views.swap(views_);
      objects.swap(objects_);
      any_ = false;
    }
    // Runs the owners' destructors: any Python code, without our lock.
    for (const std::unique_ptr<Py_buffer>& view : views) PyBuffer_Release(view.get());
    for (PyObject* object : objects) Py_DECREF(object);
  }

 private:
  static int ReleasePending(void*) {
    Get().Release();
    return 0;
  }

  absl::Mutex mu_;
  std::atomic<bool> any_{false};
  std::vector<std::unique_ptr<Py_buffer>> views_ ABSL_GUARDED_BY(mu_);
  std::vector<PyObject*> objects_ ABSL_GUARDED_BY(mu_);
};

// Owns an exported buffer.
class ExportedBuffer {
 public:
  explicit ExportedBuffer(std::unique_ptr<Py_buffer> view) : view_(std::move(view)) {}
  ExportedBuffer(const ExportedBuffer&) = delete;
  ExportedBuffer& operator=(const ExportedBuffer&) = delete;
  ~ExportedBuffer() { Waiting::Get().Add(std::move(view_), nullptr); }

 private:
  std::unique_ptr<Py_buffer> view_;
};

std::string TypeName(nb::handle object) { return Py_TYPE(object.ptr())->tp_name; }

// Takes the pending Python error away and returns its text.
std::string TakePythonError() {
  const nb::python_error error;
  return nb::str(error.value()).c_str();
}

// The address of a Py_buffer may matter to its exporter, so it stays where it was filled.
absl::StatusOr<std::unique_ptr<Py_buffer>> Export(nb::handle memory, bool writable, absl::string_view what) {
  if (!PyObject_CheckBuffer(memory.ptr())) {
    PyErr_Format(PyExc_TypeError, "%s: expected an object with the buffer protocol, found %s", std::string(what).c_str(),
                 TypeName(memory).c_str());
    throw nb::python_error();
  }
  auto view = std::make_unique<Py_buffer>();
  // Dimensions without strides: C-contiguous memory only.
  if (PyObject_GetBuffer(memory.ptr(), view.get(), PyBUF_ND | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) != 0) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) throw nb::python_error();  // KeyboardInterrupt and its like.
    return absl::InvalidArgumentError(absl::StrCat(what, ": a ", TypeName(memory), " cannot be used as ",
                                                   writable ? "writable, " : "", "C-contiguous bytes: ", TakePythonError()));
  }
  if (view->itemsize > 1 && view->format != nullptr && std::strpbrk(view->format, ">!") != nullptr) {
    std::string format = view->format;
    PyBuffer_Release(view.get());
    return absl::InvalidArgumentError(absl::StrCat(what, ": elements are big-endian (buffer format \"", format,
                                                   "\"), expected little-endian; swap their bytes first"));
  }
  return view;
}

absl::Status CheckSize(uint64_t found, uint64_t expected, absl::string_view what) {
  if (found == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": the memory has ", found, " bytes, expected ", expected, " by dtype and shape"));
}

// Bytes that a Python callable makes.
class LazyBytes final : public client::EntryBytes {
 public:
  LazyBytes(nb::handle callable, uint64_t size, std::string what)
      : callable_(nb::borrow(callable).release().ptr()), size_(size), what_(std::move(what)) {}
  ~LazyBytes() override {
    bytes_.reset();
    if (callable_ != nullptr) Waiting::Get().Add(nullptr, callable_);
  }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(Make());
    return bytes_->ReadAt(offset, dst);
  }

  Buffer Borrow(uint64_t offset, uint64_t length) override {
    if (!Make().ok()) return Buffer();  // ReadAt comes next and says why.
    return bytes_->Borrow(offset, length);
  }

 private:
  absl::Status Make() {
    if (bytes_ != nullptr) return absl::OkStatus();
    BlockingCall* const call = BlockingCall::Current();
    if (call == nullptr) return absl::InternalError(absl::StrCat(what_, ": bytes were wanted outside of a call"));
    absl::Status status;
    const bool ran = call->RunPython([&] {
      const nb::object memory = nb::borrow(callable_)();
      absl::StatusOr<Buffer> made = BorrowBytes(memory, what_);
      status = made.status();
      if (status.ok()) status = CheckSize(made->size(), size_, what_);
      if (!status.ok()) return;
      bytes_ = EntryBytes::Of(*std::move(made));
      Py_CLEAR(callable_);
    });
    return ran ? status : absl::CancelledError(absl::StrCat(what_, ": making its bytes has raised an exception"));
  }

  PyObject* callable_;  // Null once it was called.
  const uint64_t size_;
  const std::string what_;
  std::shared_ptr<client::EntryBytes> bytes_;
};

}  // namespace

void ReleaseBorrowed() {
  if (AnyToRelease()) Waiting::Get().Release();
}

bool AnyToRelease() { return Waiting::Get().any(); }

absl::StatusOr<Buffer> BorrowBytes(nb::handle memory, absl::string_view what) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<Py_buffer> view, Export(memory, /*writable=*/false, what));
  const absl::string_view bytes(static_cast<const char*>(view->buf), view->len);
  return Buffer(bytes, std::make_shared<const ExportedBuffer>(std::move(view)));
}

WritableBytes::WritableBytes(std::unique_ptr<Py_buffer> view)
    : view_(std::move(view)), span_(static_cast<char*>(view_->buf), view_->len) {}

WritableBytes::~WritableBytes() {
  if (view_ != nullptr) PyBuffer_Release(view_.get());
}

absl::StatusOr<WritableBytes> WritableBytes::Of(nb::handle memory, absl::string_view what) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<Py_buffer> view, Export(memory, /*writable=*/true, what));
  return WritableBytes(std::move(view));
}

absl::StatusOr<std::shared_ptr<client::EntryBytes>> BytesOf(nb::handle memory, uint64_t size, std::string what) {
  if (!PyObject_CheckBuffer(memory.ptr()) && PyCallable_Check(memory.ptr())) {
    return std::make_shared<LazyBytes>(memory, size, std::move(what));
  }
  CAIRN_ASSIGN_OR_RETURN(Buffer bytes, BorrowBytes(memory, what));
  CAIRN_RETURN_IF_ERROR(CheckSize(bytes.size(), size, what));
  return client::EntryBytes::Of(std::move(bytes));
}

}  // namespace cairn::python
