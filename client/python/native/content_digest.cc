#include "client/python/native/content_digest.h"

#include "client/python/native/borrowed.h"
#include "client/python/native/errors.h"
#include "common/base/digest.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

nb::bytes ContentDigest(nb::handle memory) {
  ReleaseBorrowed();
  const Buffer bytes = OrRaise(BorrowBytes(memory, "content_digest"));
  Digest digest;
  {
    nb::gil_scoped_release unlocked;
    digest = DigestOf(bytes.bytes(), DigestAlgorithm::kXxh3);
  }
  return nb::bytes(digest.AsBytes().data(), digest.AsBytes().size());
}

}  // namespace

void BindContentDigest(nb::module_& module) {
  module.def("content_digest", &ContentDigest, nb::arg("memory"));
}

}  // namespace cairn::python
