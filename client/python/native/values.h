#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/tensor/checkpoint_index.h"
#include "common/tensor/dtype.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"
#include "common/tensor/value.h"
#include "nanobind/nanobind.h"

// Between Python objects and the project's own types. All of it needs the interpreter lock; what does not fit raises
// TypeError (another type) or INVALID_ARGUMENT, naming `what`.
namespace cairn::python {

// The class Children of _native.pyi.
struct Children {
  Value::Kind kind = Value::Kind::kList;  // Or kTuple.
  uint64_t length = 1;
};

// The class Opaque of _native.pyi.
struct Opaque {
  std::string pickle;
};

KeyPath ToKeyPath(nanobind::handle path);
nanobind::object FromKeyPath(const KeyPath& path);
std::vector<KeyPath> ToKeyPaths(nanobind::handle paths);

// A sequence of anything that counts as an int.
Shape ToShape(nanobind::handle numbers, const std::string& what);
nanobind::object FromShape(const Shape& shape);
// (offset, extent).
nanobind::object FromBox(const Box& box);

Dtype ToDtype(const std::string& name, const std::string& what);
// Nothing for None.
std::optional<Dtype> ToFloatDtype(const std::optional<std::string>& name);

Value ToValue(nanobind::handle object, const std::string& what);
nanobind::object FromValue(const Value& value, const std::string& what);

std::vector<std::string> ToStrings(nanobind::handle strings, const std::string& what);
// Of a mapping or None.
std::map<std::string, std::string> ToMetadata(nanobind::handle mapping);
nanobind::object FromMetadata(const std::map<std::string, std::string>& metadata);

// A server's text need not be valid UTF-8: what is not becomes U+FFFD.
nanobind::object FromText(const std::string& text);

// `entry "a/b"`.
std::string Shown(const KeyPath& path);

void BindValues(nanobind::module_& module);

}  // namespace cairn::python
