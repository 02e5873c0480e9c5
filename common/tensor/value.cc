#include "common/tensor/value.h"

#include <bit>
#include <utility>

namespace cairn {
namespace {

uint64_t Bits(double number) { return std::bit_cast<uint64_t>(number); }

}  // namespace

bool Value::operator==(const Value& other) const {
  if (kind != other.kind) return false;
  switch (kind) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return boolean == other.boolean;
    case Kind::kInt:
      return integer == other.integer;
    case Kind::kFloat:
      return Bits(number.real()) == Bits(other.number.real());
    case Kind::kComplex:
      return Bits(number.real()) == Bits(other.number.real()) &&
             Bits(number.imag()) == Bits(other.number.imag());
    case Kind::kBigInt:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kOpaque:
      return text == other.text;
    case Kind::kList:
    case Kind::kTuple:
      return length == other.length && items == other.items;
    case Kind::kDict:
      return pairs == other.pairs;
  }
  return false;
}

Value::Value() = default;

Value Value::Bool(bool value) {
  Value made;
  made.kind = Kind::kBool;
  made.boolean = value;
  return made;
}

Value Value::Int(int64_t value) {
  Value made;
  made.kind = Kind::kInt;
  made.integer = value;
  return made;
}

Value Value::Float(double value) {
  Value made;
  made.kind = Kind::kFloat;
  made.number = value;
  return made;
}

Value Value::Complex(std::complex<double> value) {
  Value made;
  made.kind = Kind::kComplex;
  made.number = value;
  return made;
}

Value Value::String(std::string value) {
  Value made;
  made.kind = Kind::kString;
  made.text = std::move(value);
  return made;
}

Value Value::Opaque(std::string pickle) {
  Value made;
  made.kind = Kind::kOpaque;
  made.text = std::move(pickle);
  return made;
}

Value Value::Bytes(std::string value) {
  Value made;
  made.kind = Kind::kBytes;
  made.text = std::move(value);
  return made;
}

}  // namespace cairn
