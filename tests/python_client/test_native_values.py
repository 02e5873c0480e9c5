"""The extension: values and key paths."""

import argparse
import collections
import copy
import enum
import math
import pickle
import sys

import pytest

from cairn import _native, errors

VALUES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**200), 0.5, -0.0, math.inf, 1 + 2j, "", "grün \U0001f600", b"", b"\x00\xff",
    [], (), {}, [1, [2, (3,)]], {"a": {}, 1: [], (1, "x"): None, None: 2.5, b"k": True}, [None, [[]], ({},)],
]  # fmt: skip


def put_and_get(native, name, value):
    writer = native.save(name, 1)
    writer.put_value(("v",), value)
    writer.commit()
    return native.load(name).next().value


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was(native, name, value):
    found = put_and_get(native, name, value)
    assert found == value and type(found) is type(value) and repr(found) == repr(value)


def test_a_nan_comes_back(native, name):
    assert math.isnan(put_and_get(native, name, math.nan))


def test_an_int_has_any_size(native, name):
    for step, number in enumerate([10**599, 10**600, 10**600 - 1, -(10**1200), 7**20000, -(2**100000) + 1, 10**5000 + 3]):
        writer = native.save(name, step)
        writer.put_value(("v",), number)
        writer.commit()
        assert native.load(f"{name}@{step}").next().value == number
    assert sys.get_int_max_str_digits() <= 5000  # Or the largest of them would prove nothing.


def test_subclasses_are_saved_as_what_they_derive_from(native, name):
    class Colour(enum.IntEnum):
        RED = 3

    Point = collections.namedtuple("Point", "x y")
    value = [Colour.RED, Point(1, 2), collections.OrderedDict(b=1, a=2), collections.defaultdict(list)]
    assert put_and_get(native, name, value) == [3, (1, 2), {"b": 1, "a": 2}, {}]


def test_a_dict_keeps_its_order(native, name):
    assert list(put_and_get(native, name, {"b": 1, "a": 2, 0: 3})) == ["b", "a", 0]


def test_marks_of_lists_and_tuples(native, name):
    mark = _native.Children("tuple", 2)
    assert put_and_get(native, name, mark) == mark != _native.Children("list", 2)
    assert (mark.kind, mark.length, repr(mark), hash(mark)) == ("tuple", 2, "Children('tuple', 2)", hash(_native.Children("tuple", 2)))
    assert mark != ("tuple", 2)
    for kind, length in [("set", 2), ("list", 0), ("list", -1)]:
        with pytest.raises(errors.InvalidArgumentError):
            _native.Children(kind, length)


def test_opaque_objects_come_back_and_are_never_made(native, name):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    trap = _native.Opaque(pickle.dumps(Trap(), 2))
    value = {"a": [trap, (trap,)], trap: 1}
    assert put_and_get(native, name, value) == value
    assert put_and_get(native, name + "-alone", trap).pickle == trap.pickle
    assert copy.deepcopy(trap) == trap != _native.Opaque(b"other") and len({trap, _native.Opaque(trap.pickle)}) == 1
    namespace = _native.Opaque(pickle.dumps(argparse.Namespace(lr=0.1), 2))
    assert namespace.description == "argparse.Namespace"
    assert str(namespace) == f"<opaque argparse.Namespace, {len(namespace.pickle)} bytes>"
    assert repr(namespace) == f"Opaque({namespace.pickle!r})" and namespace != namespace.pickle
    assert _native.Opaque(b"junk").description == "unreadable pickle"
    with pytest.raises(TypeError):
        _native.Opaque("text")


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_values_nest_sixty_deep(native, name):
    assert put_and_get(native, name, nested(60)) == nested(60)
    with pytest.raises(errors.InvalidArgumentError, match='entry "v": containers are nested more than 60 deep'):
        native.save(name, 2).put_value(("v",), nested(61))
    endless = []
    endless.append(endless)
    with pytest.raises(errors.InvalidArgumentError, match="nested"):
        native.save(name, 3).put_value(("v",), endless)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (object(), TypeError, 'entry "a/b": a object is no value'),
        ([{1, 2}], TypeError, 'entry "a/b": a set is no value'),
        (bytearray(b"x"), TypeError, "bytearray is no value"),
        ("\ud800", errors.InvalidArgumentError, "lone surrogates"),
    ],
    ids=["object", "set", "bytearray", "surrogate"],
)
def test_what_is_no_value_is_refused_with_its_path(native, name, value, error, message):
    writer = native.save(name, 1)
    with pytest.raises(error, match=message):
        writer.put_value(("a", "b"), value)
    writer.put_value(("a", "b"), 1)
    writer.commit()


@pytest.mark.parametrize("path", [("a",), ("a/b", "", 3), (-1, "[0]"), ("\\", "\n"), (2**63 - 1,), ("grün",)], ids=repr)
def test_a_path_comes_back_as_it_was(native, name, path):
    assert _native.parse_path(_native.format_path(path)) == path
    writer = native.save(name, 1)
    writer.put_value(path, 1)
    writer.commit()
    assert [entry.path for entry in native.list_entries(name)] == [path]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (("a", True), TypeError), (("a", 1.0), TypeError), ("abc", TypeError), (["a"], TypeError), (("a", None), TypeError),
        ((2**63,), errors.InvalidArgumentError), (("\udfff",), errors.InvalidArgumentError), ((), errors.InvalidArgumentError),
    ],
    ids=repr,
)  # fmt: skip
def test_a_path_that_is_none_is_refused(native, name, path, error):
    with pytest.raises(error):
        native.save(name, 1).put_value(path, 1)


def test_an_alias_names_its_target(native, name):
    writer = native.save(name, 1)
    writer.put_tensor(("a",), "uint8", (3,), b"abc")
    writer.put_alias(("b",), ("a",))
    writer.commit()
    tensor, alias = native.load(name)
    assert (alias.kind, alias.target, alias.bytes, alias.dtype, alias.value) == ("alias", ("a",), 0, None, None)
    assert (tensor.kind, tensor.target) == ("tensor", None)


def test_small_functions():
    assert _native.parse_dtype("F8_E4M3") == "float8_e4m3fn" and _native.parse_dtype("bf16") == "bfloat16"
    assert _native.parse_dtype("float23") is None
    assert _native.byte_size("float32", (2, 3)) == 24 and _native.byte_size("bool", []) == 1
    with pytest.raises(errors.InvalidArgumentError):
        _native.byte_size("float32", (2**62, 4))
    assert _native.parse_ref("a/b@3") == ("a/b", 3, "", "") and _native.parse_ref("a@best") == ("a", None, "best", "")
    assert _native.parse_ref("uid:x1")[3] == "x1"
    with pytest.raises(errors.InvalidArgumentError):
        _native.parse_ref("a@@b")
    assert {"float32", "bfloat16"} < _native.FLOAT_DTYPES and "int8" not in _native.FLOAT_DTYPES
