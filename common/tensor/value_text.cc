// ValueToString of value.h.

#include <charconv>
#include <cmath>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"
#include "common/tensor/value.h"

namespace cairn {
namespace {

// The shortest text that reads back as the same number.
std::string Shortest(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), number).ptr;
  return std::string(text, end);
}

std::string FloatText(double number) {
  std::string text = Shortest(number);
  // So that it does not look like an int.
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string ComplexText(std::complex<double> number) {
  const std::string imaginary = Shortest(number.imag());
  return absl::StrCat("(", Shortest(number.real()), imaginary[0] == '-' ? "" : "+", imaginary, "j)");
}

std::string QuotedText(const std::string& text) {
  return absl::StrCat("\"", IsUtf8(text) ? absl::Utf8SafeCHexEscape(text) : absl::CHexEscape(text), "\"");
}

using Describe = absl::FunctionRef<std::string(absl::string_view)>;

std::string SequenceText(const Value& value, Describe describe) {
  const bool is_list = value.kind == Value::Kind::kList;
  if (value.items.empty() && value.length > 0) {
    return absl::StrCat(is_list ? "list" : "tuple", " of ", value.length,
                        value.length == 1 ? " entry" : " entries");
  }
  std::string text = is_list ? "[" : "(";
  for (size_t i = 0; i < value.items.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", ValueToString(value.items[i], describe));
  }
  if (!is_list && value.items.size() == 1) text += ",";
  return text + (is_list ? "]" : ")");
}

std::string DictText(const Value& value, Describe describe) {
  std::string text = "{";
  for (size_t i = 0; i < value.pairs.size(); ++i) {
    const auto& [key, item] = value.pairs[i];
    absl::StrAppend(&text, i == 0 ? "" : ", ", ValueToString(key, describe), ": ", ValueToString(item, describe));
  }
  return text + "}";
}

}  // namespace

std::string ValueToString(const Value& value) {
  return ValueToString(value, [](absl::string_view) { return std::string(); });
}

std::string ValueToString(const Value& value, Describe describe) {
  switch (value.kind) {
    case Value::Kind::kNone:
      return "None";
    case Value::Kind::kBool:
      return value.boolean ? "True" : "False";
    case Value::Kind::kInt:
      return absl::StrCat(value.integer);
    case Value::Kind::kBigInt:
      return value.text;
    case Value::Kind::kFloat:
      return FloatText(value.number.real());
    case Value::Kind::kComplex:
      return ComplexText(value.number);
    case Value::Kind::kString:
      return QuotedText(value.text);
    case Value::Kind::kBytes:
      return absl::StrCat("b\"", absl::CHexEscape(value.text), "\"");
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      return SequenceText(value, describe);
    case Value::Kind::kDict:
      return DictText(value, describe);
    case Value::Kind::kOpaque: {
      const std::string what = describe(value.text);
      return absl::StrCat("<opaque", what.empty() ? "" : " ", what, ", ", value.text.size(), " bytes>");
    }
  }
  return "invalid value";
}

}  // namespace cairn
