#include "client/python/native/load.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/native/borrowed.h"
#include "client/python/native/errors.h"
#include "client/python/native/exclusive.h"
#include "client/python/native/traverse.h"
#include "client/python/native/values.h"
#include "common/base/pages_ahead.h"
#include "nanobind/stl/optional.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

constexpr char kWhat[] = "LoadStream";

}  // namespace

EntryStream::EntryStream(std::unique_ptr<client::GetStream> stream, nb::object progress)
    : stream_(std::shared_ptr<client::GetStream>(std::move(stream))),
      checkpoint_(stream_.get()->checkpoint()),
      entries_(stream_.get()->entries()),
      total_bytes_(stream_.get()->total_bytes()),
      progress_(std::move(progress),
                [this](const nb::object& callable) { callable(bytes_done(), total_bytes_); }) {}

EntryStream::~EntryStream() {
  if (!stream_.forked()) Close();
}

std::shared_ptr<client::GetStream> EntryStream::Stream() const {
  if (stream_.forked()) Raise(ForkedError(kWhat));
  std::shared_ptr<client::GetStream> stream = stream_.get();
  if (stream == nullptr) {
    Raise(absl::FailedPreconditionError(absl::StrCat(checkpoint_.ShownRef(), ": this LoadStream is closed")));
  }
  return stream;
}

template <typename Work>
auto EntryStream::Run(Work work) {
  const std::shared_ptr<client::GetStream> stream = Stream();
  const Exclusive exclusive(in_use_, kWhat);
  return RunBlocking(
      &progress_, [&] { return work(*stream); }, [&] { stream->Cancel(); });
}

uint64_t EntryStream::bytes_done() const {
  if (stream_.forked()) Raise(ForkedError(kWhat));
  const std::shared_ptr<client::GetStream> stream = stream_.get();
  return stream == nullptr ? last_bytes_done_ : stream->bytes_done();
}

uint64_t EntryStream::bytes_received() const {
  if (stream_.forked()) Raise(ForkedError(kWhat));
  const std::shared_ptr<client::GetStream> stream = stream_.get();
  return stream == nullptr ? last_bytes_received_ : stream->bytes_received();
}

std::optional<EntryRecord> EntryStream::Next() {
  std::optional<client::GetEntry> next = OrRaise(Run([this](client::GetStream& stream) {
    current_.reset();
    return stream.Next();
  }));
  if (!next.has_value()) {
    progress_.Call();
    return std::nullopt;
  }
  EntryRecord record;
  record.bytes = next->bytes;
  if (next->entry.kind == EntryKind::kTensor) record.box = std::move(next->box);
  record.entry = std::move(next->entry);
  if (record.entry.kind == EntryKind::kTensor || record.entry.kind == EntryKind::kAsset) current_ = record;
  return record;
}

const EntryRecord& EntryStream::Unread() const {
  if (current_.has_value()) return *current_;
  Raise(absl::FailedPreconditionError(absl::StrCat(
      checkpoint_.ShownRef(), ": there are no bytes to read: next() gave no tensor or asset, or it was read already")));
}

void EntryStream::Fill(absl::Span<char> dst) {
  OrRaise(Run([&](client::GetStream& stream) {
    current_.reset();
    return stream.ReadInto(dst);
  }));
  if (bytes_done() == total_bytes_) progress_.Call();
}

void EntryStream::ReadInto(nb::handle memory) {
  const EntryRecord& entry = Unread();
  const std::string what = absl::StrCat(checkpoint_.ShownRef(), ": ", Shown(entry.entry.path));
  const WritableBytes bytes = OrRaise(WritableBytes::Of(memory, what));
  if (bytes.span().size() != entry.bytes) {
    Raise(absl::InvalidArgumentError(
        absl::StrCat(what, " has ", entry.bytes, " bytes, but the memory for it has ", bytes.span().size())));
  }
  Fill(bytes.span());
}

nb::object EntryStream::ReadBytes() {
  const uint64_t size = Unread().bytes;
  const nb::object bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, size));
  if (!bytes.is_valid()) throw nb::python_error();
  // Nobody else has seen the object yet.
  Fill(absl::MakeSpan(PyBytes_AS_STRING(bytes.ptr()), size));
  return bytes;
}

void EntryStream::Cancel() {
  if (stream_.forked()) Raise(ForkedError(kWhat));
  const std::shared_ptr<client::GetStream> stream = stream_.get();
  const nb::gil_scoped_release release;
  if (stream != nullptr) stream->Cancel();
}

void EntryStream::Close() {
  if (stream_.forked()) return;
  const Exclusive exclusive(in_use_, kWhat);
  std::shared_ptr<client::GetStream> stream = stream_.Take();
  if (stream == nullptr) return;
  last_bytes_done_ = stream->bytes_done();
  last_bytes_received_ = stream->bytes_received();
  current_.reset();
  const nb::gil_scoped_release release;
  stream.reset();  // Waits for gRPC.
}

void BindLoad(nb::module_& module) {
  module.def(
      "advise_huge_pages",
      [](nb::handle memory) { AdviseHugePages(OrRaise(WritableBytes::Of(memory, "advise_huge_pages")).span()); },
      nb::arg("memory"));
  nb::class_<EntryStream>(module, kWhat, nb::is_final(), nb::type_slots(kTraverseProgress<EntryStream>),
                          "Entries on their way to this process. One thread at a time.")
      .def_prop_ro("checkpoint", [](const EntryStream& s) { return s.checkpoint(); })
      .def_prop_ro("entries", &EntryStream::entries)
      .def_prop_ro("total_bytes", &EntryStream::total_bytes)
      .def_prop_ro("bytes_read", &EntryStream::bytes_done)
      .def_prop_ro("bytes_received", &EntryStream::bytes_received)
      .def("next", &EntryStream::Next)
      .def("__iter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__next__",
           [](EntryStream& stream) {
             std::optional<EntryRecord> next = stream.Next();
             if (!next.has_value()) throw nb::stop_iteration();
             return *std::move(next);
           })
      .def("read_into", &EntryStream::ReadInto, nb::arg("memory"))
      .def("read_bytes", &EntryStream::ReadBytes)
      .def("cancel", &EntryStream::Cancel)
      .def("close", &EntryStream::Close);
}

}  // namespace cairn::python
