#include "client/python/native/big_int.h"

#include <algorithm>
#include <vector>

namespace cairn::python {
namespace {

namespace nb = nanobind;

// Below the least limit that Python lets anybody set (640).
constexpr size_t kDigitsAtOnce = 600;

nb::object Checked(PyObject* result) {
  if (result == nullptr) throw nb::python_error();
  return nb::steal(result);
}

nb::object PowerOfTen(size_t digits) {
  const nb::object ten = Checked(PyLong_FromLong(10));
  const nb::object exponent = Checked(PyLong_FromSize_t(digits));
  return Checked(PyNumber_Power(ten.ptr(), exponent.ptr(), Py_None));
}

}  // namespace

std::string BigIntToDecimal(nb::handle number) {
  const nb::object base = PowerOfTen(kDigitsAtOnce);
  const nb::object zero = Checked(PyLong_FromLong(0));
  const int negative = PyObject_RichCompareBool(number.ptr(), zero.ptr(), Py_LT);
  if (negative < 0) throw nb::python_error();
  nb::object rest = Checked(PyNumber_Absolute(number.ptr()));
  std::vector<std::string> parts;  // The lowest first.
  do {
    const nb::object both = Checked(PyNumber_Divmod(rest.ptr(), base.ptr()));
    rest = nb::borrow(PyTuple_GetItem(both.ptr(), 0));
    parts.push_back(nb::str(nb::handle(PyTuple_GetItem(both.ptr(), 1))).c_str());
  } while (PyObject_IsTrue(rest.ptr()) == 1);
  std::string text = negative == 1 ? "-" : "";
  text += parts.back();
  for (auto part = parts.rbegin() + 1; part != parts.rend(); ++part) {
    text.append(kDigitsAtOnce - part->size(), '0').append(*part);
  }
  return text;
}

nb::object BigIntFromDecimal(const std::string& text) {
  const bool negative = !text.empty() && text.front() == '-';
  nb::object number = Checked(PyLong_FromLong(0));
  for (size_t at = negative ? 1 : 0; at < text.size();) {
    const size_t digits = std::min(kDigitsAtOnce, text.size() - at);
    const nb::object part = Checked(PyLong_FromString(text.substr(at, digits).c_str(), nullptr, 10));
    const nb::object shifted = Checked(PyNumber_Multiply(number.ptr(), PowerOfTen(digits).ptr()));
    number = Checked(PyNumber_Add(shifted.ptr(), part.ptr()));
    at += digits;
  }
  return negative ? Checked(PyNumber_Negative(number.ptr())) : number;
}

}  // namespace cairn::python
