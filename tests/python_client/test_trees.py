"""What comes back is what was saved: kinds, keys, order, and every bit of every number."""

import collections
import dataclasses
import enum
import itertools
import math
import pickle
import struct
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cairn

steps = itertools.count(1)


@pytest.fixture
def round_trip(client):
    def run(tree, **options):
        ref = f"tests/trees@{next(steps)}"
        client.save(ref, tree)
        return client.load(ref, **options)

    return run


def same(a, b):
    """Equal in kind, order, dtype and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(map(_key, a)) == list(map(_key, b)) and all(map(same, a.values(), b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    return a == b


def _key(key):
    return (type(key), key)


PLAIN_LEAVES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(10**40), 0.0, -0.0, math.inf, -math.inf, 5e-324, 0.1,
    complex(-0.0, 2.5), "", "text", "\N{SNOWMAN}", "a\0b", b"", b"\x00\xff",
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN_LEAVES, ids=repr)
def test_plain_values_come_back_as_they_were(round_trip, value):
    assert same(round_trip({"x": value}), {"x": value})


def test_opaque_objects_come_back_wherever_they_are(round_trip):
    opaque = cairn.Opaque(pickle.dumps({1, 2}, 2))
    tree = {"args": opaque, "list": [opaque, 1], "deep": [np.zeros(1), opaque], "keys": {opaque: None, (1, 2): opaque}}
    found = round_trip(tree)
    assert found["args"] == opaque and found["list"] == [opaque, 1] and found["deep"][1] == opaque
    assert found["keys"] == tree["keys"] and type(found["args"]) is cairn.Opaque
    assert pickle.loads(found["args"].pickle) == {1, 2}  # Only here, since we have made it ourselves.


def test_a_nan_keeps_its_bits(round_trip):
    (odd,) = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))
    assert same(round_trip({"x": odd}), {"x": odd})


@pytest.mark.parametrize(
    "tree",
    [
        {},
        [],
        (),
        {"a": {}, "b": [], "c": ()},
        [1, 2, 3],
        (1, 2.0, "three", None),
        [[1, 2], (3, [4])],
        {"a": [{"b": 1}, {"c": (2,)}]},
        {1: "int", "1": "str", -7: {0: "zero"}},
        {"a/b": 1, "[0]": 2, "": 3, "c.d": 4, "\\": 5, "*": 6, "\n": 7},
        {(1, 2): "tuple key", None: 1, True: 2, 1.5: [1, (2, {b"k": None})]},
        {"deep": {"keys": {2**70: "beyond int64"}}},
        [{"a": 1}],
        ({"a": (1,)},),
        [None],
        {"only": None},
        list(range(20_000)),
        ["x" * 1000] * 100,
    ],
    ids=lambda tree: repr(tree)[:40],
)
def test_containers_come_back_as_they_were(round_trip, tree):
    assert same(round_trip(tree), tree)


@pytest.mark.parametrize(
    "tree", [7, "root", None, [1, np.arange(3)], np.arange(3.0), (np.zeros(2),)], ids=lambda t: type(t).__name__
)
def test_the_root_may_be_anything(round_trip, tree):
    assert same(round_trip(tree), tree)


def test_arrays_within_every_kind_of_container(round_trip):
    tree = {"list": [np.arange(3), {"x": np.float32([1, 2])}], "tuple": (np.zeros((2, 0)), 1), 5: np.array(7)}
    assert same(round_trip(tree), tree)


def test_mappings_come_back_as_dicts_in_their_order(round_trip):
    tree = collections.OrderedDict([("z", np.zeros(1)), ("a", types.MappingProxyType({"x": 1}))])
    assert same(round_trip(tree), {"z": np.zeros(1), "a": {"x": 1}})


def test_subclasses_of_plain_values_come_back_as_those(round_trip):
    class Text(str):
        pass

    assert same(
        round_trip({"a": Text("x"), "b": np.str_("y"), "c": collections.UserDict(d=1)}),
        {"a": "x", "b": "y", "c": {"d": 1}},
    )


Point = collections.namedtuple("Point", "x y")
Nothing = collections.namedtuple("Nothing", "")


@dataclasses.dataclass
class State:
    step: int
    params: dict
    note: str = "default"


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: np.ndarray
    made: float = dataclasses.field(default=0.0, init=False)


@dataclasses.dataclass
class WithFunction:
    w: np.ndarray
    apply: object = dataclasses.field(default=None, metadata={"pytree_node": False})


def test_named_tuples_and_dataclasses_are_dicts_unless_their_class_is_given(round_trip):
    tree = {"p": Point(1, np.arange(2)), "s": State(3, {"w": np.zeros(1)}), "n": Nothing()}
    assert same(round_trip(tree), {
        "p": {"x": 1, "y": np.arange(2)},
        "s": {"step": 3, "params": {"w": np.zeros(1)}, "note": "default"},
        "n": {},
    })  # fmt: skip
    back = round_trip(tree, types=[Point, State, Nothing])
    assert type(back["p"]) is Point and same(tuple(back["p"]), (1, np.arange(2)))
    assert type(back["s"]) is State and back["s"].step == 3 and back["n"] == Nothing()
    assert type(round_trip(Point(1, 2), types=[Point])) is Point


@dataclasses.dataclass
class Doubling:
    x: int
    half: float = 0.0

    def __post_init__(self):
        self.half, self.x, self.made = self.x / 2, self.x * 2, True


def test_a_dataclass_comes_back_with_what_was_saved_whatever_its_init_does(round_trip):
    back = round_trip({"o": Doubling(3)}, types=[Doubling])["o"]
    assert (back.x, back.half, back.made) == (6, 1.5, True)


@dataclasses.dataclass
class Converting:
    inner: Doubling

    def __post_init__(self):
        if isinstance(self.inner, dict):
            self.inner = tuple(self.inner)


def test_what_init_makes_something_else_of_stays_so(round_trip):
    back = round_trip({"o": Converting({"x": 1, "half": 2})}, types=[Converting])["o"]
    assert back.inner == ("x", "half")
    assert round_trip({"o": Converting({"x": np.ones(1)})}, types=[Converting])["o"].inner == ("x",)


def test_a_class_may_have_moved_or_be_named_by_the_caller(round_trip):
    moved = type("State", (State,), {"__module__": "elsewhere"})
    moved = dataclasses.dataclass(moved)
    assert type(round_trip(State(1, {}), types=[moved])) is moved
    other = dataclasses.make_dataclass("Other", ["step", "params", "note"])
    assert type(round_trip(State(1, {}), types={f"{State.__module__}:State": other})) is other


def test_a_class_with_other_fields_is_refused_by_path(round_trip):
    smaller = dataclasses.make_dataclass("Smaller", ["step"])
    with pytest.raises(cairn.InvalidArgumentError, match=r'"s": .*Smaller has no field note, params'):
        round_trip({"s": State(1, {})}, types={f"{State.__module__}:State": smaller})
    larger = dataclasses.make_dataclass("Larger", ["step", "params", "note", "more"])
    with pytest.raises(cairn.InvalidArgumentError, match=r"cannot make .*more.*into="):
        round_trip({"s": State(1, {})}, types={f"{State.__module__}:State": larger})


def test_more_classes_than_metadata_can_hold_are_refused(client):
    with pytest.raises(
        cairn.InvalidArgumentError, match=r"3000 named tuples and dataclasses take \d+ bytes.*plain dicts"
    ):
        client.save("tests/many_classes@1", {f"a rather long name {i}": Point(i, i) for i in range(3000)})


def test_what_is_no_class_of_fields_is_refused_as_a_type(round_trip):
    with pytest.raises(cairn.InvalidArgumentError, match="no named tuple and no dataclass"):
        round_trip({}, types=[int])


def test_fields_that_init_does_not_take_come_back(round_trip):
    frozen = Frozen(np.arange(2))
    object.__setattr__(frozen, "made", 2.5)
    back = round_trip(frozen, types=[Frozen])
    assert type(back) is Frozen and back.made == 2.5


def test_static_fields_are_left_out(round_trip):
    back = round_trip(WithFunction(np.arange(2), apply=print), types=[WithFunction])
    assert type(back) is WithFunction and back.apply is None


def test_a_name_in_a_checkpoint_is_never_imported(client):
    client.save("tests/hostile@1", {"a": {"b": 1}}, metadata={"cairn.python.types": '{"dataclass os:system":["a"]}'})
    assert client.load("tests/hostile@1") == {"a": {"b": 1}}
    assert client.load("tests/hostile@1", types=[State]) == {"a": {"b": 1}}
    client.save("tests/hostile@2", {"a": 1}, metadata={"cairn.python.types": "[[["})
    assert client.load("tests/hostile@2", types=[State]) == {"a": 1}


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


def cyclic():
    tree = {"a": []}
    tree["a"].append(tree)
    return tree


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": {1, 2}}}, r'"a/b": a set, .*sorted'),
        ({"a": [print]}, r'"a/\[0\]": .*function'),
        ({"a": Colour.RED}, r'"a": .*Colour.*\.value'),
        ({"a": [Level.LOW]}, r'"a/\[0\]": .*Level.*\.value'),
        ({"a": object()}, r'"a": builtins\.object is neither'),
        ({"a": "\ud800"}, r'"a": .*surrogate'),
        ({"\ud800": np.zeros(1)}, r"the tree: the key .* is neither str nor int"),
        ({(1, 2): np.zeros(1)}, r"the tree: the key \(1, 2\) is neither str nor int"),
        ({"a": b"x" * (1 << 20)}, r'"a": bytes of 1048576.*asset'),
        ({"a": "x" * (1 << 20)}, r'"a": str of 1048576'),
        ({"a": cairn.Opaque(b"x" * (1 << 20))}, r'"a": <opaque unreadable pickle, 1048576 bytes> is too big'),
        ({"a": np.array([object()])}, r'"a": an array of dtype object'),
        ({"a": np.array(["x"])}, r'"a": an array of dtype <U1'),
        ({"a": np.zeros(2, "M8[s]")}, r'"a": an array of dtype datetime64'),
        ({"a": np.zeros(2, [("x", "f4")])}, r'"a": an array of dtype'),
        ({"a": np.zeros(2, np.longdouble)}, r'"a": an array of dtype float128'),
        ({"a": np.ma.array([1, 2], mask=[0, 1])}, r'"a": a masked array'),
        (cyclic(), r'"a/\[0\]": the tree contains itself'),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_what_cannot_be_saved_is_refused_with_its_path_before_anything_is_sent(client, tree, message):
    with pytest.raises(cairn.InvalidArgumentError, match=message):
        client.save("tests/refused@1", tree)
    assert client.ls("tests/refused") == []


def test_an_object_twice_in_a_tree_is_no_cycle(round_trip):
    shared = {"x": 1}
    assert round_trip({"a": shared, "b": [shared, shared]}) == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}]}


def test_part_of_a_list_is_a_dict_by_position(client):
    client.save("tests/part@1", {"l": [np.zeros(1), {"k": np.ones(1)}, 5], "p": Point(np.zeros(1), 2)})
    assert same(client.load("tests/part@1", select="l/[1]"), {"l": {1: {"k": np.ones(1)}}})
    assert same(client.load("tests/part@1", select="l"), {"l": [np.zeros(1), {"k": np.ones(1)}, 5]})
    assert same(client.load("tests/part@1", select="p/y", types=[Point]), {"p": {"y": 2}})


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=8),
    st.binary(max_size=8),
)
arrays = st.builds(
    lambda dtype, shape, seed: np.frombuffer(
        np.random.default_rng(seed).bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype
    ).reshape(shape),
    st.sampled_from(["<f4", "<f8", "<i8", "u1", "<f2", "<c8"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 1000),
)
keys = st.one_of(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1))
trees = st.recursive(
    st.one_of(plain, arrays),
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(keys, children, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_tree_comes_back(round_trip, tree):
    assert same(round_trip(tree), tree)
