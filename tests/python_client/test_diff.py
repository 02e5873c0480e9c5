"""Differences in Python: of refs, which the daemon compares, and of files, which this process does; the numbers against NumPy."""

import pathlib

import numpy as np
import pytest

import cairn


def tree(seed, **more):
    numbers = np.random.default_rng(seed)
    return {"a": {"w": numbers.standard_normal((40, 30), np.float32), "b": numbers.standard_normal(7)}, "n": np.arange(5), "lr": 0.1, **more}


@pytest.fixture
def pair(client, name):
    base, target = tree(1, gone=np.zeros(2)), tree(1, new=np.ones((2, 3)))
    target["a"]["w"][2, :5] += np.float32(0.25)
    target["a"]["w"][0, 0] = np.nan
    target["lr"] = 0.2
    client.save(f"{name}@1", base)
    client.save(f"{name}@2", target)
    return f"{name}@1", f"{name}@2", base, target


def test_a_report_has_every_entry_and_its_numbers(client, pair):
    first, second, base, target = pair
    report = client.diff(first, second)
    assert report.different
    assert {e.path: e.difference for e in report} == {
        "a/w": "changed", "a/b": "equal", "n": "equal", "lr": "value changed", "new": "added", "gone": "removed",
    }
    by_path = {e.path: e for e in report}
    w = by_path["a/w"]
    b, t = base["a"]["w"].astype(float), target["a"]["w"].astype(float)
    finite = np.isfinite(t)
    assert (w.kind, w.base.shape, w.target.dtype) == ("tensor", (40, 30), "float32")
    assert w.statistics.elements == 1200 and w.statistics.changed == 6 and w.statistics.target_nan == 1
    assert w.statistics.changed_share == 6 / 1200
    assert w.statistics.max_absolute == np.abs(t - b)[finite].max()
    assert w.statistics.norm == pytest.approx(np.linalg.norm((t - b)[finite]))
    assert by_path["lr"].base.value == 0.1 and by_path["lr"].target.value == 0.2
    assert by_path["new"].base is None and by_path["gone"].target is None
    # Known to be equal by its digest.
    assert by_path["n"].statistics is None
    assert report.counts == {"changed": 1, "equal": 2, "value changed": 1, "added": 1, "removed": 1}


def test_files_and_refs_compare_alike(client, pair, tmp_path):
    first, second, _, _ = pair
    client.convert(first, tmp_path / "base.msgpack")
    client.convert(second, tmp_path / "target.msgpack")
    there, here = client.diff(first, second), cairn.diff(tmp_path / "base.msgpack", tmp_path / "target.msgpack")
    mixed = client.diff(first, tmp_path / "target.msgpack")
    for report in (here, mixed):
        assert {e.path: e.difference for e in report} == {e.path: e.difference for e in there}
    changed = {e.path: e.statistics for e in here.differences}
    assert changed["a/w"] == {e.path: e.statistics for e in there.differences}["a/w"]
    # Files have no digests, so equal tensors were read too.
    assert {e.path: e for e in here}["n"].statistics.changed == 0


def test_a_tolerance_makes_entries_close(client, name):
    client.save(f"{name}@1", {"w": np.array([1.0, 2.0])})
    client.save(f"{name}@2", {"w": np.array([1.0, 2.5])})
    assert client.diff(f"{name}@1", f"{name}@2").different
    assert not client.diff(f"{name}@1", f"{name}@2", atol=0.5).different
    assert not client.diff(f"{name}@1", f"{name}@2", rtol=0.25).different
    close = client.diff(f"{name}@1", f"{name}@2", atol=0.1, rtol=0.21)
    assert not close.different and close[0].close and close.summary() == "1 entry: 1 changed (1 of them within the tolerance)"
    client.save(f"{name}@3", {"w": np.array([-0.0])})
    client.save(f"{name}@4", {"w": np.array([0.0])})
    assert client.diff(f"{name}@3", f"{name}@4").different
    assert not client.diff(f"{name}@3", f"{name}@4", atol=0).different
    with pytest.raises(cairn.InvalidArgumentError, match="atol"):
        client.diff(f"{name}@1", f"{name}@2", atol=-1)


def test_a_selection_applies_to_both(client, pair):
    report = client.diff(pair[0], pair[1], select=["a/", "!a/w"])
    assert [e.path for e in report] == ["a/b"] and not report.different
    with pytest.raises(cairn.InvalidArgumentError, match="matches nothing"):
        client.diff(pair[0], pair[1], select="no/such")


def test_a_report_shows_itself(client, pair):
    report = client.diff(pair[0], pair[1])
    assert "a/w" in str(report) and "6 of 1200" in str(report) and "a/b" not in str(report)
    assert "<table>" in report._repr_html_() and report.summary() in repr(report)
    assert len(report) == 6 and report[0] in report and len(report[:2]) == 2
    client.save(pair[0].replace("@1", "@7"), {"<script>": np.ones(1)})
    assert "<script>" not in client.diff(pair[0], pair[0].replace("@1", "@7"))._repr_html_()


def test_progress_is_told(client, name):
    client.save(f"{name}@1", {"w": np.zeros(2_000_000)})
    client.save(f"{name}@2", {"w": np.ones(2_000_000)})
    seen = []
    client.diff(f"{name}@1", f"{name}@2", progress=seen.append)
    assert seen[-1].bytes == seen[-1].total == 32_000_000


def test_an_exact_diff_of_refs_brings_the_target_back(client, pair, name):
    first, second, _, target = pair
    written = client.write_diff(first, second, f"{name}-delta@2", metadata={"why": "test"})
    assert written.path is None and written.checkpoint.metadata["why"] == "test"
    assert written.checkpoint.metadata["cairn.diff.base"] == first
    assert written.checkpoint.parent == client.show(first).uid
    done = client.recover(first, written.checkpoint, f"{name}-back@2")
    assert done.digest == written.target_digest and done.path is None
    assert not client.diff(second, done.checkpoint).different
    np.testing.assert_array_equal(done.checkpoint.load()["a"]["w"], target["a"]["w"])


@pytest.mark.parametrize("where", ["files", "mixed"])
def test_an_exact_diff_of_files_brings_the_target_back(client, pair, tmp_path, where, name):
    first, second, _, _ = pair
    client.convert(second, tmp_path / "target.msgpack")
    client.convert(first, tmp_path / "base.msgpack")
    base = tmp_path / "base.msgpack" if where == "files" else first
    written = client.write_diff(base, tmp_path / "target.msgpack", tmp_path / "d.cairndiff")
    assert written.path == tmp_path / "d.cairndiff" and written.nbytes == written.path.stat().st_size
    done = client.recover(base, written.path, tmp_path / "back.msgpack")
    assert done.digest == written.target_digest and done.path == tmp_path / "back.msgpack"
    assert not cairn.diff(tmp_path / "target.msgpack", done.path).different
    # From a file into the daemon, by way of this process.
    stored = client.write_diff(base, tmp_path / "target.msgpack", f"{name}-d@1")
    assert stored.target_digest == written.target_digest
    back = client.recover(base, stored.checkpoint, f"{name}-back@1")
    assert not client.diff(second, back.checkpoint).different
    with pytest.raises(cairn.AlreadyExistsError):
        client.write_diff(base, tmp_path / "target.msgpack", tmp_path / "d.cairndiff")
    client.write_diff(base, tmp_path / "target.msgpack", tmp_path / "d.cairndiff", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back.msgpack", "base.msgpack", "d.cairndiff", "target.msgpack"]


def test_an_arithmetic_diff_is_the_difference(client, name, tmp_path):
    base, target = {"w": np.array([1.0, 2.0], np.float32)}, {"w": np.array([1.5, 1.0], np.float32)}
    client.save(f"{name}@1", base)
    client.save(f"{name}@2", target)
    written = client.write_diff(f"{name}@1", f"{name}@2", f"{name}@3", mode="arithmetic")
    assert written.elements == 2 and written.inexact_elements == 0
    np.testing.assert_array_equal(client.load(f"{name}@3")["w"], [0.5, -1.0])
    client.recover(f"{name}@1", f"{name}@3", f"{name}@4", mode="arithmetic")
    np.testing.assert_array_equal(client.load(f"{name}@4")["w"], target["w"])
    client.write_diff(f"{name}@1", f"{name}@2", f"params::{tmp_path}/delta", mode="arithmetic")
    client.import_(tmp_path / "delta", f"{name}@5", format="params")
    assert {e.path: e.dtype for e in client.show(f"{name}@5").entries}["w"] == "bfloat16"
    half = client.write_diff(f"{name}@1", f"{name}@2", f"{name}@6", mode="arithmetic", dtype="float16")
    assert half.checkpoint.entries[0].dtype == "float16"


def test_another_base_and_a_damaged_diff_are_told_apart(client, pair, name, tmp_path):
    first, second, _, _ = pair
    client.write_diff(first, second, tmp_path / "d.cairndiff")
    client.write_diff(first, second, f"{name}-d@1")
    with pytest.raises(cairn.FailedPreconditionError, match=f"{first}.*content digest"):
        client.recover(second, tmp_path / "d.cairndiff", tmp_path / "x.msgpack")
    with pytest.raises(cairn.FailedPreconditionError, match=f"{first}.*content digest"):
        client.recover(second, f"{name}-d@1", f"{name}-x@1")
    with pytest.raises(cairn.FailedPreconditionError, match="no exact diff"):
        client.recover(first, second, f"{name}-x@1")
    with pytest.raises(cairn.NotFoundError, match=f"{name}-none"):
        client.recover(f"{name}-none@1", f"{name}-d@1", f"{name}-x@1")
    bad = bytearray((tmp_path / "d.cairndiff").read_bytes())
    bad[-70] ^= 1
    (tmp_path / "d.cairndiff").write_bytes(bad)
    with pytest.raises(cairn.DataLossError):
        client.recover(first, tmp_path / "d.cairndiff", tmp_path / "x.msgpack")
    with pytest.raises(cairn.NotFoundError):
        client.show(f"{name}-x@1")
    assert not (tmp_path / "x.msgpack").exists()


def test_a_ref_needs_a_client(tmp_path):
    with pytest.raises(cairn.InvalidArgumentError, match="needs a client"):
        cairn.diff("team/run@1", pathlib.Path("x"))
    with pytest.raises(cairn.InvalidArgumentError, match='"exact" or "arithmetic"'):
        cairn.write_diff(tmp_path / "a", tmp_path / "b", tmp_path / "c", mode="inexact")


def test_what_a_callback_raises_ends_a_diff_and_leaves_nothing(client, name, tmp_path):
    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough

    # So much that nothing is done before progress is told for the first time, a tenth of a second after the begin.
    random = np.random.default_rng(1)
    client.save(f"{name}@1", {"w": random.standard_normal(32_000_000, np.float32)})
    client.save(f"{name}@2", {"w": random.standard_normal(32_000_000, np.float32)})
    with pytest.raises(Enough):
        client.write_diff(f"{name}@1", f"{name}@2", f"{name}@3", progress=stop)
    with pytest.raises(Enough):
        client.write_diff(f"{name}@1", f"{name}@2", tmp_path / "d.cairndiff", progress=stop)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(cairn.NotFoundError):
        client.show(f"{name}@3")
