"""load(into=...): arrays are filled where they are, and nothing is touched before everything has been compared."""

import collections
import dataclasses
import types

import numpy as np
import pytest

import cairn

Adam = collections.namedtuple("Adam", "count mu nu")


@dataclasses.dataclass
class State:
    step: int
    params: dict
    opt: tuple


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: np.ndarray
    step: int
    apply: object = dataclasses.field(default=None, metadata={"static": True})


def saved():
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [np.ones(2), 7], "empty": {}, "betas": (0.9, 0.95)}


def blank():
    return {"w": np.full((2, 3), -1, np.float32), "b": [np.zeros(2), 0], "empty": {}, "betas": (0.0, 0.0)}


@pytest.fixture
def ref(client):
    client.save("tests/into@1", saved(), overwrite=True)
    return "tests/into@1"


def test_arrays_are_filled_where_they_are_and_values_replaced(client, ref):
    tree = blank()
    w, inner, b = tree["w"], tree["b"], tree["b"][0]
    assert client.load(ref, into=tree) is tree
    assert tree["w"] is w and tree["b"] is inner and inner[0] is b
    np.testing.assert_array_equal(w, saved()["w"])
    np.testing.assert_array_equal(b, [1, 1])
    assert inner[1] == 7 and tree["betas"] == (0.9, 0.95) and tree["empty"] == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.empty((3, 2), np.float32).T,
        lambda: np.empty((2, 6), np.float32)[:, ::2],
        lambda: np.empty((2, 3), ">f4"),
        lambda: np.empty((2, 3), np.float32)[::-1],
    ],
    ids=["transposed", "strided", "big-endian", "backwards"],
)
def test_an_array_of_any_layout_can_be_filled(client, ref, make):
    w = make()
    client.load(ref, select="w", into={"w": w})
    np.testing.assert_array_equal(w, saved()["w"])


def test_a_bytearray_and_a_memoryview_can_be_filled(client):
    client.save("tests/into_buffers@1", {"a": np.uint8([1, 2, 3]), "b": np.int32([4, 5])})
    tree = {"a": bytearray(3), "b": memoryview(np.zeros(2, np.int32))}
    client.load("tests/into_buffers@1", into=tree)
    assert tree["a"] == b"\1\2\3" and tree["b"].tolist() == [4, 5]


def test_everything_that_does_not_fit_is_in_one_error_and_nothing_is_filled(client, ref):
    tree = blank()
    tree["w"] = np.full((3, 2), -1, np.float32)
    tree["b"] = [np.full(2, -1, np.float32), np.zeros(1)]
    tree["betas"] = np.zeros(2)
    tree["new"] = np.zeros(1)
    del tree["empty"]
    with pytest.raises(cairn.TreeMismatchError) as caught:
        client.load(ref, into=tree)
    error = caught.value
    assert isinstance(error, ValueError) and error.code == "INVALID_ARGUMENT" and error.metadata["ref"] == ref
    assert error.missing == ["new"] and error.unexpected == ["empty"]
    assert sorted(error.mismatched) == [
        '"b/[0]": expected float32[2], found float64[2]; dtype="match" casts floats to what the tree has',
        '"b/[1]": expected int64[1], found a value'.replace("int64", "float64"),
        '"betas": expected float64[2], found a value',
        '"w": expected float32[3, 2], found float32[2, 3]',
    ]
    assert all(line in str(error) for line in error.mismatched + error.missing + error.unexpected)
    assert (tree["w"] == -1).all() and (tree["b"][0] == -1).all()


def test_not_strict_takes_what_there_is(client, ref):
    tree = {"w": np.zeros((2, 3), np.float32), "other": np.full(2, -1.0)}
    client.load(ref, into=tree, strict=False)
    np.testing.assert_array_equal(tree["w"], saved()["w"])
    assert (tree["other"] == -1).all() and set(tree) == {"w", "other"}


def test_a_shape_that_differs_is_an_error_even_if_not_strict(client, ref):
    with pytest.raises(cairn.TreeMismatchError, match=r'"w": expected float32\[1\]'):
        client.load(ref, into={"w": np.zeros(1, np.float32)}, strict=False)


def test_a_selection_fills_what_it_chooses(client, ref):
    tree = blank()
    client.load(ref, select="b/", into=tree)
    assert tree["b"][1] == 7 and (tree["w"] == -1).all() and tree["betas"] == (0.0, 0.0)
    with pytest.raises(cairn.TreeMismatchError, match="missing in the checkpoint"):
        client.load(ref, select="b/", into={**blank(), "typo": np.zeros(1)})


def test_dtype_casts_and_match_casts_to_what_is_there(client, ref):
    tree = {"w": np.zeros((2, 3), np.float16), "b": [np.zeros(2, np.float16), 0]}
    client.load(ref, into=tree, dtype="float16", strict=False)
    np.testing.assert_array_equal(tree["w"], saved()["w"].astype(np.float16))
    tree = {"w": np.zeros((2, 3), np.float64), "b": [np.zeros(2, np.float16), 0]}
    client.load(ref, into=tree, dtype="match", strict=False)
    np.testing.assert_array_equal(tree["w"], saved()["w"])
    np.testing.assert_array_equal(tree["b"][0], [1, 1])
    with pytest.raises(cairn.TreeMismatchError, match="expected int32"):
        client.load(ref, into={"w": np.zeros((2, 3), np.int32)}, dtype="match", strict=False)


def test_a_read_only_array_is_refused(client, ref):
    w = np.zeros((2, 3), np.float32)
    w.flags.writeable = False
    with pytest.raises(cairn.TreeMismatchError, match='"w": cannot be filled: a read-only array'):
        client.load(ref, select="w", into={"w": w})


def test_a_scalar_is_replaced_by_one_of_its_type(client):
    client.save("tests/into_scalar@1", {"x": np.float32(2.5)})
    tree = {"x": np.float32(0)}
    client.load("tests/into_scalar@1", into=tree)
    assert tree["x"] == 2.5 and type(tree["x"]) is np.float32


def test_a_number_and_an_array_of_no_dimensions_stand_for_each_other(client):
    saved = {
        "i": np.int32(7),
        "f": np.float16(1.5),
        "b": np.bool_(True),
        "c": np.complex64(1j),
        "v": 300,
        "w": 2.5,
        "z": np.array(3),
    }
    client.save("tests/into_numbers@1", saved)
    tree = {"i": 0, "f": 0.0, "b": False, "c": 0j, "v": np.zeros((), np.int16), "w": np.float32(0), "z": 0}
    v = tree["v"]
    client.load("tests/into_numbers@1", into=tree)
    assert tree == {"i": 7, "f": 1.5, "b": True, "c": 1j, "v": 300, "w": 2.5, "z": 3}
    assert [type(x) for x in tree.values()] == [int, float, bool, complex, np.ndarray, np.float32, int]
    assert tree["v"] is v
    lossy = {
        **tree,
        "i": 0.0,
        "v": np.zeros((), np.int8),
        "w": np.zeros((), np.int32),
        "f": 1,
        "z": np.zeros(1, np.int64),
    }
    with pytest.raises(cairn.TreeMismatchError) as caught:
        client.load("tests/into_numbers@1", into=lossy)
    assert len(caught.value.mismatched) == 5


def test_objects_are_kept_and_what_is_frozen_is_made_anew(client):
    params = {"w": np.zeros(3)}
    client.save("tests/into_state@1", State(5, {"w": np.ones(3)}, (Adam(1, np.ones(3), np.ones(3)), ())))
    adam = Adam(0, np.zeros(3), np.zeros(3))
    state = State(0, params, (adam, ()))
    assert client.load("tests/into_state@1", into=state) is state
    assert state.step == 5 and state.params is params and params["w"].sum() == 3
    assert type(state.opt[0]) is Adam and state.opt[0].count == 1 and state.opt[0].mu is adam.mu and adam.mu.sum() == 3

    client.save("tests/into_frozen@1", Frozen(np.ones(2), 9))
    frozen = Frozen(np.zeros(2), 0, apply=print)
    back = client.load("tests/into_frozen@1", into=frozen)
    assert type(back) is Frozen and back.w is frozen.w and back.step == 9 and back.apply is print
    assert frozen.step == 0
    only_arrays = {"w": frozen.w}
    assert client.load("tests/into_frozen@1", select="w", into=only_arrays) is only_arrays


def test_other_mappings_stay_what_they_are(client):
    client.save("tests/into_mappings@1", {"o": {"x": np.ones(1), "n": 1}, "p": {"n": 2}})
    tree = {"o": collections.OrderedDict(x=np.zeros(1), n=0), "p": types.MappingProxyType({"n": 0})}
    back = client.load("tests/into_mappings@1", into=tree)
    assert type(back["o"]) is collections.OrderedDict and back["o"]["n"] == 1 and back["o"]["x"][0] == 1
    assert type(back["p"]) is types.MappingProxyType and back["p"]["n"] == 2


def test_tied_arrays_are_filled_once(client):
    w = np.arange(4.0)
    client.save("tests/into_tied@1", {"a": w, "b": w})
    target = np.zeros(4)
    client.load("tests/into_tied@1", into={"a": target, "b": target})
    np.testing.assert_array_equal(target, w)
    apart = {"a": np.zeros(4), "b": np.zeros(4)}
    client.load("tests/into_tied@1", into=apart)
    np.testing.assert_array_equal(apart["b"], w)


def test_memory_that_is_tied_only_in_the_tree_is_refused_unless_the_bytes_are_equal(client):
    client.save("tests/into_untied@1", {"a": np.arange(4.0), "b": np.arange(4.0), "c": np.ones(4)})
    target = np.zeros(4)
    client.load("tests/into_untied@1", select=["a", "b"], into={"a": target, "b": target})
    np.testing.assert_array_equal(target, np.arange(4.0))
    with pytest.raises(cairn.TreeMismatchError, match=r'"c": the same memory as "a", but they are two tensors'):
        client.load("tests/into_untied@1", select=["a", "c"], into={"a": target, "c": target})


def test_a_shard_takes_its_box(client):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    client.save("tests/into_shard@1", {"w": whole})
    piece = np.zeros((2, 3), np.float32)
    client.load("tests/into_shard@1", into={"w": cairn.Shard(piece, (4, 6), (1, 2))})
    np.testing.assert_array_equal(piece, whole[1:3, 2:5])
    turned = np.zeros((3, 2), np.float32).T
    client.load("tests/into_shard@1", into={"w": cairn.Shard(turned, (4, 6), (1, 2))})
    np.testing.assert_array_equal(turned, whole[1:3, 2:5])
    with pytest.raises(cairn.TreeMismatchError, match=r"expected float32\[5, 6\], found float32\[4, 6\]"):
        client.load("tests/into_shard@1", into={"w": cairn.Shard(piece, (5, 6), (1, 2))})


def test_a_shard_must_lie_within_its_tensor():
    with pytest.raises(cairn.InvalidArgumentError, match="does not lie in a tensor"):
        cairn.Shard(np.zeros((2, 2)), (4, 4), (3, 0))


def test_a_leaf_elsewhere_is_left_alone(client, ref):
    tree = {**blank(), "w": cairn.ELSEWHERE}
    client.load(ref, into=tree)
    assert tree["w"] is cairn.ELSEWHERE and tree["b"][1] == 7


def test_a_list_saved_as_one_value_goes_into_a_list_and_a_container_into_nothing_else(client, ref):
    tree = {**blank(), "betas": [1, 2, 3]}
    client.load(ref, into=tree)
    assert tree["betas"] == (0.9, 0.95)
    with pytest.raises(cairn.TreeMismatchError, match='"b": expected a int, found a list of 2'):
        client.load(ref, into={**blank(), "b": 1})
    with pytest.raises(cairn.TreeMismatchError, match=r'"w": expected a NoneType, found float32\[2, 3\]'):
        client.load(ref, into={**blank(), "w": None})


def test_into_excludes_what_it_says_already(client, ref):
    for options in ({"framework": "torch"}, {"boxes": {"w": np.s_[:1]}}, {"types": [Adam]}, {"device": "cpu"}):
        with pytest.raises(cairn.InvalidArgumentError, match="into= says already"):
            client.load(ref, into=blank(), **options)
    with pytest.raises(cairn.InvalidArgumentError, match="match"):
        client.load(ref, dtype="match")


@pytest.mark.parametrize(
    "held",
    [{"opt": {}}, {"opt": []}, {"opt": [1.0, 2.0]}, {"opt": {None: 1, "mu": 2}}],
    ids=["empty dict", "empty list", "plain list", "dict that is one value"],
)
def test_arrays_are_never_replaced_by_a_container_that_is_one_value(client, name, held):
    client.save(f"{name}@1", {**held, "step": 5})
    mu = np.zeros(3)
    key = 0 if isinstance(held["opt"], list) else "mu"
    tree = {"opt": [mu] if key == 0 else {"mu": mu}, "step": 0}
    with pytest.raises(cairn.TreeMismatchError, match="missing in the checkpoint") as caught:
        client.load(f"{name}@1", into=tree)
    assert len(caught.value.missing) == 1 and caught.value.missing[0].startswith("opt")
    assert tree["opt"][key] is mu and tree["step"] == 0
    # Takes what there is, which is not that array.
    client.load(f"{name}@1", into=tree, strict=False)
    assert tree["opt"][key] is mu and tree["step"] == 5


def test_numbers_are_replaced_by_those_of_a_list_that_is_one_value(client, name):
    client.save(f"{name}@1", {"betas": [0.9, 0.95]})
    assert client.load(f"{name}@1", into={"betas": [0.0, np.float64(0.0)]}) == {"betas": [0.9, 0.95]}


def test_arrays_of_no_dimensions_take_the_numbers_of_a_list_that_is_one_value(client, name):
    client.save(f"{name}@1", {"betas": (0.5, 0.25, 3)})
    tree = {"betas": (np.zeros(()), np.zeros((), np.float32), 7)}
    first = tree["betas"][0]
    assert client.load(f"{name}@1", into=tree)["betas"] == (0.5, 0.25, 3)
    assert first == 0.5
    with pytest.raises(cairn.TreeMismatchError, match="missing in the checkpoint"):
        client.load(f"{name}@1", into={"betas": (np.zeros(()), np.zeros(2), 7)})


def test_arrays_in_a_dict_that_is_a_leaf_by_its_keys_are_never_replaced(client, name):
    client.save(f"{name}@1", {"s": {(0, 1): 1.5}})
    with pytest.raises(cairn.TreeMismatchError, match='"s": expected a dict with arrays in it'):
        client.load(f"{name}@1", into={"s": {(0, 1): np.zeros(3)}})


def test_memory_whose_elements_are_the_same_is_refused_before_anything_is_filled(client, name):
    torch = pytest.importorskip("torch")
    client.save(f"{name}@1", {"a": np.arange(3.0), "b": np.arange(6.0).reshape(2, 3)})
    a = np.zeros(3)
    for b in (
        torch.zeros(1, 3, dtype=torch.float64).expand(2, 3),
        np.lib.stride_tricks.as_strided(np.zeros(3), (2, 3), (0, 8)),
        np.lib.stride_tricks.as_strided(np.zeros(4), (2, 3), (8, 8)),
    ):
        with pytest.raises(cairn.TreeMismatchError, match='"b": cannot be filled: .*share memory'):
            client.load(f"{name}@1", into={"a": a, "b": b})
        assert not a.any()
    # All that slices and transposes make is fine.
    whole = np.zeros((8, 8, 8))
    client.load(f"{name}@1", into={"a": whole[1, ::3, 2], "b": whole[::-4, 3, 1:7:2]})
    np.testing.assert_array_equal(whole[1, ::3, 2], [0, 1, 2])


def test_a_cast_is_only_advised_where_it_helps(client, name):
    client.save(f"{name}@1", {"x": np.zeros(2, np.float32)})
    with pytest.raises(cairn.TreeMismatchError) as caught:
        client.load(f"{name}@1", into={"x": np.zeros(2, np.int32)}, dtype="match")
    assert 'dtype="match"' not in str(caught.value)


def test_a_tree_that_is_none_is_named(client, name):
    client.save(f"{name}@1", {"x": 1})
    with pytest.raises(cairn.TreeMismatchError, match="the tree itself"):
        client.load(f"{name}@1", into=None)
