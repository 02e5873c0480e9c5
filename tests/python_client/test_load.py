"""Loading: which entries, which part of them, in which dtype and framework."""

import collections
import threading
import time

import numpy as np
import pytest

import cairn
import cairn.fetch


@pytest.fixture(scope="module")
def ref(server):
    rng = np.random.default_rng(5)
    tree = {
        "params": {
            "a": {"kernel": rng.random((8, 4), np.float32), "bias": np.zeros(4, np.float32)},
            "b": {"kernel": np.ones((2, 2))},
        },
        "opt": [np.arange(3), {"kernel": np.float16([1, 2])}],
        "step": 5,
        "odd/[name]*": np.ones(1),
    }
    with server.client() as client:
        client.save("tests/load@1", tree, overwrite=True, tag="best")
    return "tests/load@1"


def paths(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix}
    return {p for k, v in tree.items() for p in paths(v, f"{prefix}/{k}" if prefix else str(k))}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("params/a/bias", {"params/a/bias"}),
        ("params/a/", {"params/a/kernel", "params/a/bias"}),
        ("**/kernel", {"params/a/kernel", "params/b/kernel", "opt/1/kernel"}),
        (["params/", "!**/bias"], {"params/a/kernel", "params/b/kernel"}),
        (["step", "opt/[0]"], {"step", "opt/0"}),
        (r"odd\/\[name\]\*", {"odd/[name]*"}),
    ],
    ids=str,
)
def test_a_selection_keeps_its_place_in_the_tree(client, ref, select, expected):
    assert paths(client.load(ref, select=select)) == expected


def test_a_pattern_that_matches_nothing_is_an_error(client, ref):
    with pytest.raises(cairn.NotFoundError, match='nothing matches "parms/"'):
        client.load(ref, select="parms/")


def test_refs_of_every_kind(client, ref):
    shown = client.show(ref)
    for other in ("tests/load@best", "tests/load@latest", "tests/load", f"uid:{shown.uid}", shown):
        assert client.load(other, select="step") == {"step": 5}
    assert shown.load(select="step") == {"step": 5}


def test_floats_are_cast_and_integers_are_not(client, ref):
    back = client.load(ref, dtype="bfloat16")
    assert back["params"]["a"]["kernel"].dtype.name == back["params"]["b"]["kernel"].dtype.name == "bfloat16"
    assert back["opt"][0].dtype == np.int64 and back["step"] == 5
    for wrong, message in (("int8", "is no float"), ("float31", "is no dtype")):
        with pytest.raises(cairn.InvalidArgumentError, match=message):
            client.load(ref, dtype=wrong)


def test_boxes_are_parts_and_the_rest_is_whole(client, ref):
    whole = client.load(ref)
    back = client.load(
        ref, boxes={"params/a/kernel": np.s_[2:5, 1:], ("opt", 0): slice(-2, None), "params/b/kernel": np.s_[..., :1]}
    )
    np.testing.assert_array_equal(back["params"]["a"]["kernel"], whole["params"]["a"]["kernel"][2:5, 1:])
    np.testing.assert_array_equal(back["opt"][0], [1, 2])
    np.testing.assert_array_equal(back["params"]["b"]["kernel"], np.ones((2, 1)))
    np.testing.assert_array_equal(back["params"]["a"]["bias"], whole["params"]["a"]["bias"])
    assert client.load(ref, select="params/a/kernel", boxes={"params/a/kernel": np.s_[:2]}, dtype="float64")["params"][
        "a"
    ]["kernel"].shape == (2, 4)


@pytest.mark.parametrize(
    ("boxes", "kind", "message"),
    [
        ({"nope": np.s_[:1]}, cairn.NotFoundError, 'no tensor "nope"'),
        ({"step": np.s_[:1]}, cairn.NotFoundError, 'no tensor "step"'),
        ({"params/a/kernel": np.s_[:1, :1, :1]}, cairn.InvalidArgumentError, r"shape \(8, 4\)"),
        ({"params/a/kernel": np.s_[::2]}, cairn.InvalidArgumentError, "step 1"),
        ({"params/a/kernel": 3}, cairn.InvalidArgumentError, "slices of step 1"),
    ],
    ids=str,
)
def test_boxes_that_make_no_sense_are_refused(client, ref, boxes, kind, message):
    with pytest.raises(kind, match=message):
        client.load(ref, boxes=boxes)
    with pytest.raises(cairn.InvalidArgumentError, match="not among what select chooses"):
        client.load(ref, select="step", boxes={"params/a/kernel": np.s_[:1]})


def test_boxes_of_a_tied_tensor_are_ones_own(client):
    w = np.arange(10.0)
    client.save("tests/tied_boxes@1", {"a": w, "b": w})
    back = client.load("tests/tied_boxes@1", boxes={"b": np.s_[:3]})
    assert back["a"].shape == (10,) and back["b"].tolist() == [0, 1, 2]


def test_several_streams_bring_the_same(client):
    tree = {f"t{i}": np.random.default_rng(i).random(50_000 + i) for i in range(40)}
    tree["list"] = [np.zeros(3), "value", np.float32([1])]
    client.save("tests/streams@1", tree)
    seen = []
    back = client.load("tests/streams@1", streams=4, progress=seen.append)
    assert list(back) == list(tree) and all(np.array_equal(back[f"t{i}"], tree[f"t{i}"]) for i in range(40))
    assert seen[-1].bytes == seen[-1].total == sum(a.nbytes for a in tree.values() if isinstance(a, np.ndarray)) + 28
    into = {
        k: np.zeros_like(v) if isinstance(v, np.ndarray) else [np.zeros(3), "", np.zeros(1, np.float32)]
        for k, v in tree.items()
    }
    client.load("tests/streams@1", streams=3, into=into)
    assert all(np.array_equal(into[f"t{i}"], tree[f"t{i}"]) for i in range(40)) and into["list"][1] == "value"
    with pytest.raises(cairn.InvalidArgumentError, match="streams"):
        client.load("tests/streams@1", streams=0)


def test_the_error_of_one_stream_ends_all(client):
    client.save("tests/streams_error@1", {f"t{i}": np.zeros(100_000) for i in range(20)})

    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough

    with pytest.raises(Enough):
        client.load("tests/streams_error@1", streams=4, progress=stop)


def test_the_other_streams_are_cancelled_and_not_waited_for(client, monkeypatch):
    client.save("tests/streams_cancel@1", {f"t{i}": np.zeros(1000 - i) for i in range(3)})
    ends = []

    class Broken(Exception):
        pass

    def receive(stream, job):
        if job.path == ("t0",):
            raise Broken
        deadline = time.monotonic() + 60
        try:
            while time.monotonic() < deadline:
                stream.next()
        except cairn.CancelledError as error:
            ends.append(error.code)
            raise

    monkeypatch.setattr(cairn.fetch, "_receive", receive)
    with pytest.raises(Broken):
        client.load("tests/streams_cancel@1", streams=3)
    assert ends == ["CANCELLED"] * 2


def test_thousands_of_entries_come_in_batches(client):
    tree = {f"layer.{i}": np.full(3, i) for i in range(4500)}
    client.save("tests/many@1", tree)
    back = client.load("tests/many@1")
    assert list(back) == list(tree) and all(back[k][0] == i for i, k in enumerate(tree))


def test_a_client_serves_many_threads_at_once(client):
    errors = []

    def work(n):
        try:
            for i in range(5):
                tree = {"x": np.full(1000, n * 10 + i), "n": n}
                client.save(f"tests/threads-{n}@{i}", tree)
                back = client.load(f"tests/threads-{n}@{i}")
                assert back["n"] == n and (back["x"] == n * 10 + i).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_an_unknown_framework_is_refused(client, ref):
    with pytest.raises(cairn.InvalidArgumentError, match='expected "numpy", "torch" or "jax"'):
        client.load(ref, framework="tensorflow")
    with pytest.raises(cairn.InvalidArgumentError, match="NumPy has none"):
        client.load(ref, device="cuda")


def test_another_checkpoint_under_the_same_ref_does_not_mix_in(client):
    client.save("tests/moving@1", {"x": np.zeros(3), "l": [1]})
    shown = client.show("tests/moving@1")
    client.save("tests/moving@1", {"y": np.ones(4)}, overwrite=True)
    assert list(client.load("tests/moving@1")) == ["y"]
    assert {e.path for e in shown.entries} == {"x", "l"}
    with pytest.raises(cairn.NotFoundError):
        shown.load()


Pair = collections.namedtuple("Pair", "first second")


def test_a_type_of_which_a_part_is_left_out_is_a_dict(client):
    client.save("tests/partial_type@1", [Pair(np.zeros(1), 2), Pair(3, 4)])
    back = client.load("tests/partial_type@1", select=["[0]/first", "[1]"], types=[Pair])
    assert back[1] == Pair(3, 4) and set(back[0]) == {"first"}


@pytest.mark.parametrize("box", [np.s_[0:9], np.s_[9:], np.s_[-9:1], slice(0.5, 1)])
def test_boxes_that_reach_beyond_the_tensor_are_refused(client, ref, box):
    with pytest.raises(cairn.InvalidArgumentError, match="does not lie within 8"):
        client.load(ref, boxes={"params/a/kernel": box})
