#include "client/python/native/save.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/python/native/borrowed.h"
#include "client/python/native/errors.h"
#include "client/python/native/exclusive.h"
#include "client/python/native/traverse.h"
#include "client/python/native/values.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "nanobind/stl/string.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

constexpr char kWhat[] = "SaveWriter";

bool NothingToSend(const client::SaveSession& session, uint32_t writer) {
  const std::vector<uint32_t>& finished = session.finished_writers;
  return session.state == client::SessionState::kCommitted ||
         std::find(finished.begin(), finished.end(), writer) != finished.end();
}

// An asset that lies in a file.
class FileBytes final : public client::EntryBytes {
 public:
  explicit FileBytes(std::unique_ptr<ByteSource> file) : file_(std::move(file)) {}
  uint64_t size() const { return file_->size(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override { return file_->ReadAt(offset, dst); }

 private:
  const std::unique_ptr<ByteSource> file_;
};

absl::StatusOr<std::unique_ptr<FileBytes>> OpenFile(nb::handle path) {
  const nb::object name = nb::steal(PyOS_FSPath(path.ptr()));
  if (!name.is_valid()) throw nb::python_error();
  const nb::object encoded = nb::steal(PyUnicode_Check(name.ptr()) ? PyUnicode_EncodeFSDefault(name.ptr())
                                                                  : PyObject_Bytes(name.ptr()));
  if (!encoded.is_valid()) throw nb::python_error();
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFileSource(PyBytes_AsString(encoded.ptr())));
  return std::make_unique<FileBytes>(std::move(file));
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Where nobody was reached, or the caller gave up, it does not matter what was saved.
absl::Status Named(const absl::Status& status, const std::string& ref) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ? status : Annotate(status, ref);
}

// Raises with the entry's name.
template <typename T>
T OrRaiseFor(absl::StatusOr<T> result, const std::string& what) {
  if (!result.ok()) Raise(Annotate(result.status(), what));
  return *std::move(result);
}

}  // namespace

SaveSessionWriter::SaveSessionWriter(std::unique_ptr<client::SaveWriter> writer, uint32_t number, nb::object progress)
    : writer_(std::shared_ptr<client::SaveWriter>(std::move(writer))),
      session_(writer_.get()->session()),
      nothing_to_send_(NothingToSend(session_, number)),
      progress_(std::move(progress), [this](const nb::object& callable) { callable(Progress()); }) {}

SaveSessionWriter::~SaveSessionWriter() {
  if (!writer_.forked()) Close();
}

std::shared_ptr<client::SaveWriter> SaveSessionWriter::Writer() const {
  if (writer_.forked()) Raise(ForkedError(kWhat));
  std::shared_ptr<client::SaveWriter> writer = writer_.get();
  if (writer == nullptr) {
    Raise(absl::FailedPreconditionError(absl::StrCat(session_.ShownRef(), ": this SaveWriter is closed")));
  }
  return writer;
}

template <typename Work>
auto SaveSessionWriter::Run(Work work) {
  const std::shared_ptr<client::SaveWriter> writer = Writer();
  const Exclusive exclusive(in_use_, kWhat);
  auto result = RunBlocking(
      &progress_, [&] { return work(*writer); }, [&] { writer->Cancel(); });
  // The daemon knows the session's number alone.
  if (!result.ok()) result = Named(StatusOf(result), session_.ShownRef());
  return result;
}

void SaveSessionWriter::Put(Entry entry, std::optional<Box> box, std::shared_ptr<client::EntryBytes> bytes) {
  OrRaise(Run([&](client::SaveWriter& writer) {
    if (box.has_value()) return writer.PutShard(std::move(entry), *std::move(box), std::move(bytes));
    return writer.Put(std::move(entry), std::move(bytes));
  }));
}

void SaveSessionWriter::PutTensor(nb::handle path, const std::string& dtype_name, nb::handle shape_numbers,
                                  nb::handle memory, nb::handle offset, nb::handle extent, nb::handle base) {
  KeyPath key = ToKeyPath(path);
  const std::string what = Shown(key);
  const Dtype dtype = ToDtype(dtype_name, what);
  Shape shape = ToShape(shape_numbers, absl::StrCat(what, ", shape"));
  const uint64_t whole_bytes = OrRaiseFor(ByteSize(dtype, shape), what);
  uint64_t bytes = whole_bytes;
  std::optional<Box> box;
  if (offset.is_none() != extent.is_none()) {
    Raise(absl::InvalidArgumentError(absl::StrCat(what, ": a box needs both offset and extent")));
  }
  if (!offset.is_none()) {
    box = Box{ToShape(offset, absl::StrCat(what, ", offset")), ToShape(extent, absl::StrCat(what, ", extent"))};
    OrRaise(Annotate(CheckBox(*box, shape), what));
    bytes = OrRaiseFor(ByteSize(dtype, box->extent), what);
  }
  std::shared_ptr<client::EntryBytes> source = OrRaise(BytesOf(memory, bytes, what));
  if (!base.is_none()) {
    source = client::EntryBytes::WithBase(std::move(source), OrRaise(BytesOf(base, bytes, absl::StrCat(what, " of the parent"))));
  }
  Put(Entry::Tensor(std::move(key), dtype, std::move(shape), whole_bytes), std::move(box), std::move(source));
}

void SaveSessionWriter::PutValue(nb::handle path, nb::handle value) {
  KeyPath key = ToKeyPath(path);
  Value made = ToValue(value, Shown(key));
  Put(Entry::OfValue(std::move(key), std::move(made)), std::nullopt, nullptr);
}

void SaveSessionWriter::PutAlias(nb::handle path, nb::handle target) {
  Put(Entry::Alias(ToKeyPath(path), ToKeyPath(target)), std::nullopt, nullptr);
}

void SaveSessionWriter::PutAsset(const std::string& name, nb::handle content) {
  KeyPath key = KeyPath::Of(absl::StrSplit(name, '/'));
  std::shared_ptr<client::EntryBytes> bytes;
  uint64_t size = 0;
  if (PyObject_CheckBuffer(content.ptr())) {
    Buffer buffer = OrRaise(BorrowBytes(content, absl::StrCat("asset \"", name, "\"")));
    size = buffer.size();
    bytes = client::EntryBytes::Of(std::move(buffer));
  } else {
    std::unique_ptr<FileBytes> file = OrRaiseFor(OpenFile(content), absl::StrCat("asset \"", name, "\""));
    size = file->size();
    bytes = std::move(file);
  }
  Put(Entry::Asset(std::move(key), size), std::nullopt, std::move(bytes));
}

void SaveSessionWriter::Flush() {
  OrRaise(Run([](client::SaveWriter& writer) { return writer.Flush(); }));
  const Exclusive exclusive(in_use_, kWhat);
  try {
    progress_.Call();
  } catch (...) {
    Cancel();
    throw;
  }
}

// The last word of the callback comes before the commit: what it raises must not come out of a save that has succeeded.
void SaveSessionWriter::FlushOnce() {
  if (std::exchange(flushed_, true)) return;
  Flush();
}

const client::SaveSession& SaveSessionWriter::Finish() {
  FlushOnce();
  session_ = OrRaise(Run([](client::SaveWriter& writer) { return writer.Finish(); }));
  return session_;
}

client::CheckpointInfo SaveSessionWriter::Commit() {
  FlushOnce();
  client::SaveSession session;
  client::CheckpointInfo checkpoint = OrRaise(Run([&](client::SaveWriter& writer) {
    absl::StatusOr<client::CheckpointInfo> result = writer.Commit();
    session = writer.session();
    return result;
  }));
  session_ = std::move(session);
  return checkpoint;
}

void SaveSessionWriter::Abort() {
  OrRaise(Run([](client::SaveWriter& writer) { return writer.Abort(); }));
}

void SaveSessionWriter::Cancel() {
  if (writer_.forked()) Raise(ForkedError(kWhat));
  const std::shared_ptr<client::SaveWriter> writer = writer_.get();
  const nb::gil_scoped_release release;
  if (writer != nullptr) writer->Cancel();
}

client::PutProgress SaveSessionWriter::Progress() {
  if (writer_.forked()) Raise(ForkedError(kWhat));
  const std::shared_ptr<client::SaveWriter> writer = writer_.get();
  if (writer == nullptr) return last_progress_;
  const nb::gil_scoped_release release;
  return writer->progress();
}

void SaveSessionWriter::Close() {
  if (writer_.forked()) return;
  const Exclusive exclusive(in_use_, kWhat);
  std::shared_ptr<client::SaveWriter> writer = writer_.Take();
  if (writer == nullptr) return;
  last_progress_ = writer->progress();
  {
    const nb::gil_scoped_release release;
    writer.reset();  // Waits for gRPC.
  }
  ReleaseBorrowed();
}

void BindSave(nb::module_& module) {
  nb::class_<SaveSessionWriter>(module, kWhat, nb::is_final(), nb::type_slots(kTraverseProgress<SaveSessionWriter>),
                                "One writer's part of a save. One thread at a time.")
      .def_prop_ro("session", [](const SaveSessionWriter& w) { return w.session(); })
      .def_prop_ro("nothing_to_send", &SaveSessionWriter::nothing_to_send)
      .def("put_tensor", &SaveSessionWriter::PutTensor, nb::arg("path"), nb::arg("dtype"), nb::arg("shape"),
           nb::arg("memory"), nb::kw_only(), nb::arg("offset") = nb::none(), nb::arg("extent") = nb::none(),
           nb::arg("base") = nb::none())
      .def("put_value", &SaveSessionWriter::PutValue, nb::arg("path"), nb::arg("value").none())
      .def("put_alias", &SaveSessionWriter::PutAlias, nb::arg("path"), nb::arg("target"))
      .def("put_asset", &SaveSessionWriter::PutAsset, nb::arg("name"), nb::arg("content"))
      .def("flush", &SaveSessionWriter::Flush)
      .def("finish", [](SaveSessionWriter& w) { return w.Finish(); })
      .def("commit", &SaveSessionWriter::Commit)
      .def("abort", &SaveSessionWriter::Abort)
      .def("cancel", &SaveSessionWriter::Cancel)
      .def("progress", &SaveSessionWriter::Progress)
      .def("close", &SaveSessionWriter::Close);
}

}  // namespace cairn::python
