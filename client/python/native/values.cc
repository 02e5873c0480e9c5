#include "client/python/native/values.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "client/python/native/big_int.h"
#include "client/python/native/errors.h"
#include "common/pickle/pickle_values.h"
#include "common/tensor/ref.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

constexpr int kMaxDepth = 60;  // The encoding takes 64.

std::string TypeName(nb::handle object) { return Py_TYPE(object.ptr())->tp_name; }

[[noreturn]] void RaiseType(const std::string& message) { throw nb::type_error(message.c_str()); }
[[noreturn]] void RaiseInvalid(const std::string& message) { Raise(absl::InvalidArgumentError(message)); }

std::string ToUtf8(nb::handle text, const std::string& what) {
  Py_ssize_t size = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (bytes != nullptr) return std::string(bytes, size);
  PyErr_Clear();
  RaiseInvalid(absl::StrCat(what, ": a string with lone surrogates, which no UTF-8 text can hold: ",
                            nb::repr(text).c_str()));
}

// Calls `take` with each item.
template <typename F>
void ForEach(nb::handle sequence, const std::string& what, F take) {
  if (PyUnicode_Check(sequence.ptr()) || PyBytes_Check(sequence.ptr())) {
    RaiseType(absl::StrCat(what, ": expected a sequence, found ", TypeName(sequence)));
  }
  const nb::object items = nb::steal(PySequence_Fast(sequence.ptr(), ""));
  if (!items.is_valid()) {
    PyErr_Clear();
    RaiseType(absl::StrCat(what, ": expected a sequence, found ", TypeName(sequence)));
  }
  // The length anew each time: converting an item may run code that changes a list.
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    take(nb::borrow(PySequence_Fast_GET_ITEM(items.ptr(), i)));
  }
}

int64_t ToInt64(nb::handle number, const std::string& what) {
  if (PyBool_Check(number.ptr())) RaiseType(absl::StrCat(what, ": expected an int, found bool"));
  const nb::object index = nb::steal(PyNumber_Index(number.ptr()));
  if (!index.is_valid()) {
    PyErr_Clear();
    RaiseType(absl::StrCat(what, ": expected an int, found ", TypeName(number)));
  }
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0) RaiseInvalid(absl::StrCat(what, ": an int beyond 64 bits"));
  return value;
}

Value IntValue(nb::handle object) {
  int overflow = 0;
  const int64_t number = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
  if (overflow == 0) return Value::Int(number);
  Value value;
  value.kind = Value::Kind::kBigInt;
  value.text = BigIntToDecimal(object);
  return value;
}

Value ToValueAt(nb::handle object, const std::string& what, int depth) {
  PyObject* const o = object.ptr();
  if (o == Py_None) return Value::None();
  if (PyBool_Check(o)) return Value::Bool(o == Py_True);
  if (PyLong_Check(o)) return IntValue(object);
  if (PyFloat_Check(o)) return Value::Float(PyFloat_AsDouble(o));
  if (PyComplex_Check(o)) return Value::Complex({PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o)});
  if (PyUnicode_Check(o)) return Value::String(ToUtf8(object, what));
  if (PyBytes_Check(o)) return Value::Bytes(std::string(PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o)));
  Value value;
  if (nb::isinstance<Children>(object)) {
    const Children& children = nb::cast<const Children&>(object);
    value.kind = children.kind;
    value.length = children.length;
    return value;
  }
  if (nb::isinstance<Opaque>(object)) return Value::Opaque(nb::cast<const Opaque&>(object).pickle);
  if (!PyList_Check(o) && !PyTuple_Check(o) && !PyDict_Check(o)) {
    RaiseType(absl::StrCat(what, ": a ", TypeName(object),
                           " is no value; expected None, bool, int, float, complex, str, bytes, list, tuple, dict or cairn.Opaque"));
  }
  if (depth == kMaxDepth) RaiseInvalid(absl::StrCat(what, ": containers are nested more than ", kMaxDepth, " deep"));
  if (PyDict_Check(o)) {
    value.kind = Value::Kind::kDict;
    // A copy: converting may run code that changes the dict.
    const nb::object items = nb::steal(PyMapping_Items(o));
    if (!items.is_valid()) throw nb::python_error();
    for (nb::handle item : nb::borrow<nb::list>(items)) {
      value.pairs.emplace_back(ToValueAt(item[0], what, depth + 1), ToValueAt(item[1], what, depth + 1));
    }
    return value;
  }
  value.kind = PyList_Check(o) ? Value::Kind::kList : Value::Kind::kTuple;
  ForEach(object, what, [&](const nb::object& item) { value.items.push_back(ToValueAt(item, what, depth + 1)); });
  return value;
}

nb::object FromSequence(const Value& value, const std::string& what) {
  if (value.items.empty() && value.length > 0) return nb::cast(Children{value.kind, value.length});
  nb::list items;
  for (const Value& item : value.items) items.append(FromValue(item, what));
  if (value.kind == Value::Kind::kTuple) return nb::tuple(items);
  return items;
}

nb::object FromDict(const Value& value, const std::string& what) {
  nb::dict dict;
  for (const auto& [key, item] : value.pairs) {
    const nb::object k = FromValue(key, what);
    if (PyObject_Hash(k.ptr()) == -1) {
      PyErr_Clear();
      RaiseInvalid(absl::StrCat(what, ": a dict has the key ", ValueToString(key), ", which no dict of Python can have"));
    }
    if (PyDict_Contains(dict.ptr(), k.ptr()) != 0) {
      RaiseInvalid(absl::StrCat(what, ": a dict has the key ", ValueToString(key),
                                " beside another one that is equal to it in Python"));
    }
    dict[k] = FromValue(item, what);
  }
  return dict;
}

}  // namespace

std::string Shown(const KeyPath& path) { return absl::StrCat("entry \"", path.ToString(), "\""); }

KeyPath ToKeyPath(nb::handle path) {
  if (!PyTuple_Check(path.ptr())) RaiseType(absl::StrCat("key path: expected a tuple, found ", TypeName(path)));
  KeyPath result;
  ForEach(path, "key path", [&](const nb::object& segment) {
    if (PyUnicode_Check(segment.ptr())) {
      result.Append(ToUtf8(segment, "key path"));
    } else if (PyLong_Check(segment.ptr()) && !PyBool_Check(segment.ptr())) {
      result.Append(ToInt64(segment, "key path"));
    } else {
      RaiseType(absl::StrCat("key path: expected segments of str or int, found ", TypeName(segment), " after \"",
                             result.ToString(), "\""));
    }
  });
  return result;
}

nb::object FromKeyPath(const KeyPath& path) {
  nb::list segments;
  for (const KeyPath::Segment& segment : path.segments()) {
    if (const std::string* key = std::get_if<std::string>(&segment)) {
      segments.append(FromText(*key));
    } else {
      segments.append(nb::int_(std::get<int64_t>(segment)));
    }
  }
  return nb::tuple(segments);
}

std::vector<KeyPath> ToKeyPaths(nb::handle paths) {
  std::vector<KeyPath> result;
  ForEach(paths, "paths", [&](const nb::object& path) { result.push_back(ToKeyPath(path)); });
  return result;
}

Shape ToShape(nb::handle numbers, const std::string& what) {
  Shape shape;
  ForEach(numbers, what, [&](const nb::object& number) { shape.push_back(ToInt64(number, what)); });
  return shape;
}

nb::object FromShape(const Shape& shape) {
  nb::list numbers;
  for (const int64_t number : shape) numbers.append(nb::int_(number));
  return nb::tuple(numbers);
}

nb::object FromBox(const Box& box) { return nb::make_tuple(FromShape(box.offset), FromShape(box.extent)); }

Dtype ToDtype(const std::string& name, const std::string& what) {
  const std::optional<Dtype> dtype = ParseDtype(name);
  if (dtype.has_value()) return *dtype;
  std::string names;
  for (const Dtype known : AllDtypes()) absl::StrAppend(&names, names.empty() ? "" : ", ", DtypeName(known));
  RaiseInvalid(absl::StrCat(what, ": expected a dtype (", names, "), found \"", name, "\""));
}

std::optional<Dtype> ToFloatDtype(const std::optional<std::string>& name) {
  if (!name.has_value()) return std::nullopt;
  const std::optional<Dtype> dtype = ParseDtype(*name);
  if (dtype.has_value() && IsFloat(*dtype)) return dtype;
  RaiseInvalid(absl::StrCat("expected a float dtype (float32, bfloat16, float16, float8_e4m3fn, ...), found \"", *name,
                            "\""));
}

Value ToValue(nb::handle object, const std::string& what) { return ToValueAt(object, what, 0); }

nb::object FromValue(const Value& value, const std::string& what) {
  switch (value.kind) {
    case Value::Kind::kNone:
      return nb::none();
    case Value::Kind::kBool:
      return nb::bool_(value.boolean);
    case Value::Kind::kInt:
      return nb::int_(value.integer);
    case Value::Kind::kBigInt:
      return BigIntFromDecimal(value.text);
    case Value::Kind::kFloat:
      return nb::float_(value.number.real());
    case Value::Kind::kComplex:
      return nb::steal(PyComplex_FromDoubles(value.number.real(), value.number.imag()));
    case Value::Kind::kString:
      return FromText(value.text);
    case Value::Kind::kBytes:
      return nb::bytes(value.text.data(), value.text.size());
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      return FromSequence(value, what);
    case Value::Kind::kDict:
      return FromDict(value, what);
    case Value::Kind::kOpaque:
      return nb::cast(Opaque{value.text});
  }
  Raise(absl::InternalError(absl::StrCat(what, ": a value of an unknown kind")));
}

std::vector<std::string> ToStrings(nb::handle strings, const std::string& what) {
  std::vector<std::string> result;
  ForEach(strings, what, [&](const nb::object& text) {
    if (!PyUnicode_Check(text.ptr())) RaiseType(absl::StrCat(what, ": expected str, found ", TypeName(text)));
    result.push_back(ToUtf8(text, what));
  });
  return result;
}

std::map<std::string, std::string> ToMetadata(nb::handle mapping) {
  std::map<std::string, std::string> metadata;
  if (mapping.is_none()) return metadata;
  const nb::object items = nb::steal(PyMapping_Items(mapping.ptr()));
  if (!items.is_valid()) {
    PyErr_Clear();
    RaiseType(absl::StrCat("metadata: expected a mapping, found ", TypeName(mapping)));
  }
  ForEach(items, "metadata", [&](const nb::object& item) {
    const nb::object key = item[0], value = item[1];
    if (!PyUnicode_Check(key.ptr()) || !PyUnicode_Check(value.ptr())) {
      RaiseType(absl::StrCat("metadata: expected str by str, found ", TypeName(value), " by ", TypeName(key)));
    }
    metadata.emplace(ToUtf8(key, "metadata"), ToUtf8(value, "metadata"));
  });
  return metadata;
}

nb::object FromMetadata(const std::map<std::string, std::string>& metadata) {
  nb::dict dict;
  for (const auto& [key, value] : metadata) dict[FromText(key)] = FromText(value);
  return dict;
}

nb::object FromText(const std::string& text) {
  return nb::steal(PyUnicode_DecodeUTF8(text.data(), text.size(), "replace"));
}

void BindValues(nb::module_& module) {
  nb::class_<Children>(module, "Children", nb::is_final(),
                       "The value at the path of a list or tuple whose children are entries of their own.")
      .def(
          "__init__",
          [](Children* self, const std::string& kind, int64_t length) {
            if (kind != "list" && kind != "tuple") {
              RaiseInvalid(absl::StrCat("expected \"list\" or \"tuple\", found \"", kind, "\""));
            }
            if (length < 1) RaiseInvalid(absl::StrCat("expected at least 1 child, found ", length));
            new (self) Children{kind == "list" ? Value::Kind::kList : Value::Kind::kTuple, static_cast<uint64_t>(length)};
          },
          nb::arg("kind"), nb::arg("length"))
      .def_prop_ro("kind", [](const Children& c) { return c.kind == Value::Kind::kList ? "list" : "tuple"; })
      .def_ro("length", &Children::length)
      .def(
          "__eq__",
          [](const Children& a, nb::handle other) -> nb::object {
            if (!nb::isinstance<Children>(other)) return nb::borrow(Py_NotImplemented);
            const Children& b = nb::cast<const Children&>(other);
            return nb::bool_(a.kind == b.kind && a.length == b.length);
          },
          nb::arg("other").none())
      .def("__hash__", [](const Children& c) { return c.length * 2 + (c.kind == Value::Kind::kList ? 0 : 1); })
      .def("__repr__", [](const Children& c) {
        return absl::StrCat("Children('", c.kind == Value::Kind::kList ? "list" : "tuple", "', ", c.length, ")");
      });

  const auto pickle_of = [](const Opaque& o) { return nb::bytes(o.pickle.data(), o.pickle.size()); };
  nb::class_<Opaque>(module, "Opaque", nb::is_final(),
                     "An object of a class that Cairn does not know, as the pickle that it came in.")
      .def(
          "__init__",
          [](Opaque* self, const nb::bytes& pickle) { new (self) Opaque{std::string(pickle.c_str(), pickle.size())}; },
          nb::arg("pickle"))
      .def_prop_ro("pickle", pickle_of)
      .def_prop_ro("description", [](const Opaque& o) { return FromText(DescribeOpaque(o.pickle)); })
      .def(
          "__eq__",
          [](const Opaque& a, nb::handle other) -> nb::object {
            if (!nb::isinstance<Opaque>(other)) return nb::borrow(Py_NotImplemented);
            return nb::bool_(a.pickle == nb::cast<const Opaque&>(other).pickle);
          },
          nb::arg("other").none())
      .def("__hash__", [pickle_of](const Opaque& o) { return PyObject_Hash(pickle_of(o).ptr()); })
      // All of it, since the key of a save is made of this.
      .def("__repr__", [pickle_of](const Opaque& o) { return absl::StrCat("Opaque(", nb::repr(pickle_of(o)).c_str(), ")"); })
      .def("__str__", [](const Opaque& o) { return FromText(ValueToString(Value::Opaque(o.pickle), DescribeOpaque)); })
      // For copies of trees that hold it.
      .def("__reduce__", [pickle_of](const Opaque& o) {
        return nb::make_tuple(nb::type<Opaque>(), nb::make_tuple(pickle_of(o)));
      });

  nb::dict dtypes;
  nb::set floats;
  for (const Dtype dtype : AllDtypes()) {
    const nb::object name = FromText(std::string(DtypeName(dtype)));
    dtypes[name] = BitWidth(dtype);
    if (IsFloat(dtype)) floats.add(name);
  }
  module.attr("DTYPES") = dtypes;
  module.attr("FLOAT_DTYPES") = nb::steal(PyFrozenSet_New(floats.ptr()));

  module.def(
      "parse_dtype",
      [](const std::string& name) -> nb::object {
        const std::optional<Dtype> dtype = ParseDtype(name);
        return dtype.has_value() ? FromText(std::string(DtypeName(*dtype))) : nb::none();
      },
      nb::arg("name"));
  module.def(
      "byte_size",
      [](const std::string& dtype, nb::handle shape) {
        return OrRaise(ByteSize(ToDtype(dtype, "dtype"), ToShape(shape, "shape")));
      },
      nb::arg("dtype"), nb::arg("shape"));
  module.def("format_path", [](nb::handle path) { return ToKeyPath(path).ToString(); }, nb::arg("path"));
  module.def(
      "parse_path", [](const std::string& text) { return FromKeyPath(OrRaise(KeyPath::Parse(text))); }, nb::arg("text"));
  module.def(
      "parse_ref",
      [](const std::string& text) {
        const Ref ref = OrRaise(Ref::Parse(text));
        return nb::make_tuple(ref.name, ref.step, ref.tag, ref.uid);
      },
      nb::arg("text"));
}

}  // namespace cairn::python
