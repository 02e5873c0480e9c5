#include "client/python/native/blocking_call.h"
#include "client/python/native/client.h"
#include "client/python/native/content_digest.h"
#include "client/python/native/convert.h"
#include "client/python/native/diff.h"
#include "client/python/native/dlpack.h"
#include "client/python/native/errors.h"
#include "client/python/native/files.h"
#include "client/python/native/load.h"
#include "client/python/native/records.h"
#include "client/python/native/save.h"
#include "client/python/native/values.h"
#include "nanobind/nanobind.h"

NB_MODULE(_native, module) {
  module.attr("__version__") = CAIRN_VERSION;
  // A client that a script leaves in a global is no mistake that its user should read about.
  nanobind::set_leak_warnings(false);
  cairn::python::RememberMainThread();
  cairn::python::BindErrors(module);
  cairn::python::BindValues(module);
  cairn::python::BindRecords(module);
  cairn::python::BindContentDigest(module);
  cairn::python::BindDlpack(module);
  cairn::python::BindSave(module);
  cairn::python::BindLoad(module);
  cairn::python::BindClient(module);
  cairn::python::BindConvert(module);
  cairn::python::BindFiles(module);
  cairn::python::BindDiff(module);
}
