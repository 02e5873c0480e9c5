#pragma once

#include <complex>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// A leaf of a saved tree that is no tensor, with the kind that it had in Python.
//
// Containers appear as values in two ways: an empty one is a leaf of its own; and a list or tuple whose children are
// entries is marked by a value at the container's own path with `items` empty and `length` the number of children
// (a dict needs no mark: it is what paths mean).
struct Value {
  // Stored in manifests and sent on the wire: append, never renumber.
  enum class Kind : uint8_t {
    kNone = 0,
    kBool = 1,
    kInt = 2,      // Fits int64.
    kBigInt = 3,   // Any size: decimal text in `text`.
    kFloat = 4,
    kComplex = 5,
    kString = 6,
    kBytes = 7,
    kList = 8,
    kTuple = 9,
    kDict = 10,
    kOpaque = 11,  // An object that no other kind holds: `text` is a pickle of it alone, which nobody here runs.
  };

  Kind kind = Kind::kNone;
  bool boolean = false;
  int64_t integer = 0;
  std::complex<double> number = 0;  // kFloat uses the real part.
  std::string text;                 // kString (UTF-8), kBytes, kBigInt, kOpaque.
  uint64_t length = 0;              // kList, kTuple whose children are entries.
  std::vector<Value> items;         // kList, kTuple.
  std::vector<std::pair<Value, Value>> pairs;  // kDict, in order.

  // Compares what the kind uses; floats by their bits, so that a NaN equals itself and -0.0 is not 0.0.
  bool operator==(const Value& other) const;

  // Out of line: pairs of an incomplete type, which clang looks into otherwise.
  Value();

  static Value None() { return {}; }
  static Value Bool(bool value);
  static Value Int(int64_t value);
  static Value Float(double value);
  static Value Complex(std::complex<double> value);
  static Value String(std::string value);
  static Value Bytes(std::string value);
  static Value Opaque(std::string pickle);
};

// A text a person can read: `3`, `"adam"`, `b"\x00"`, `(1, 2)`, `None`, `<opaque, 120 bytes>`.
std::string ValueToString(const Value& value);
// The same; what an opaque value is, `describe` tells from its pickle: `<opaque argparse.Namespace, 120 bytes>`.
std::string ValueToString(const Value& value, absl::FunctionRef<std::string(absl::string_view pickle)> describe);

// Our own encoding, used in manifests and on the wire (VALUE.md beside this file).
std::string EncodeValue(const Value& value);
// INVALID_ARGUMENT for anything that EncodeValue does not write, deeper than 64 levels included.
absl::StatusOr<Value> DecodeValue(absl::string_view bytes);

}  // namespace cairn
