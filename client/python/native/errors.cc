#include "client/python/native/errors.h"

#include <string>

#include "common/base/error_info.h"
#include "nanobind/eval.h"
#include "nanobind/stl/string.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

// An exception with attributes is a Python class.
constexpr char kStatusError[] = R"(
class StatusError(Exception):
    """A failure of the client or the daemon. ``args`` is ``(code, message, reason, metadata)``."""

    def __init__(self, code, message, reason="", metadata=None):
        metadata = dict(metadata or {})
        super().__init__(code, message, reason, metadata)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata

    def __str__(self):
        return f"{self.code}: {self.message}"
)";

// Owned for ever: the interpreter may be gone when static objects are destroyed.
PyObject* factory = nullptr;
PyObject* status_error = nullptr;

}  // namespace

void Raise(const absl::Status& status) {
  const ErrorInfo info = GetErrorInfo(status);
  nb::dict metadata;
  for (const auto& [key, value] : info.metadata) metadata[nb::cast(key)] = nb::cast(value);
  // A server's message need not be valid UTF-8.
  const auto text = [](absl::string_view bytes) {
    return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), bytes.size(), "replace"));
  };
  const nb::object code = text(absl::StatusCodeToString(status.code()));
  const nb::object error =
      nb::borrow(factory)(code, text(status.message()), text(info.reason), metadata);
  if (!PyExceptionInstance_Check(error.ptr())) {
    PyErr_Format(PyExc_TypeError, "the error factory returned %R, which is no exception", error.ptr());
  } else {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  }
  throw nb::python_error();
}

void BindErrors(nb::module_& module) {
  nb::dict scope = nb::cast<nb::dict>(module.attr("__dict__"));
  nb::exec(nb::str(kStatusError), scope);
  status_error = nb::object(module.attr("StatusError")).release().ptr();
  factory = nb::borrow(status_error).release().ptr();
  module.def(
      "set_error_factory",
      [](nb::object made) {
        PyObject* const old = factory;
        factory = made.is_none() ? nb::borrow(status_error).release().ptr() : made.release().ptr();
        Py_DECREF(old);
      },
      nb::arg("factory").none(),
      "Sets what makes exceptions out of (code, message, reason, metadata). None: StatusError.");
}

}  // namespace cairn::python
