#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// Lets the garbage collector see the callback that a stream holds, which often refers to what holds the stream.
template <typename T>
int TraverseProgress(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nanobind::inst_ready(self)) return 0;
  Py_VISIT(nanobind::inst_ptr<T>(self)->progress_callable().ptr());
  return 0;
}
template <typename T>
int ClearProgress(PyObject* self) {
  if (nanobind::inst_ready(self)) nanobind::inst_ptr<T>(self)->progress_callable().reset();
  return 0;
}
template <typename T>
inline PyType_Slot kTraverseProgress[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(&TraverseProgress<T>)},
    {Py_tp_clear, reinterpret_cast<void*>(&ClearProgress<T>)},
    {0, nullptr},
};

}  // namespace cairn::python
