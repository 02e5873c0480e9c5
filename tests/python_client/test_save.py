"""Saving: when a checkpoint is visible, whose bytes it has, and how it goes on after a break."""

import concurrent.futures
import functools
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import cairn
from cairn import session_key, tree


def big(seed=0, mib=8):
    return {"x": np.random.default_rng(seed).integers(0, 2**62, mib << 17), "step": seed}


def test_what_a_save_says(client):
    result = client.save("tests/result@1", {"w": np.arange(10.0), "n": 1}, tag=["best", "first"])
    assert result.ref == "tests/result@1" and result.nbytes == 80 and result.skipped_bytes == 0
    assert result.checkpoint.ref == "tests/result@1" and sorted(result.checkpoint.tags) == ["best", "first"]
    assert "saved" in str(result)


@pytest.mark.parametrize("ref", ["tests/x", "tests/x@best", "uid:abc", "tests//x@1", "@1", ""])
def test_a_save_needs_a_name_and_a_step(client, ref):
    with pytest.raises(cairn.InvalidArgumentError):
        client.save(ref, {})


def test_a_step_is_taken_once_unless_it_is_overwritten(client):
    client.save("tests/taken@1", {"x": 1})
    with pytest.raises(cairn.AlreadyExistsError) as caught:
        client.save("tests/taken@1", {"x": 2})
    assert "tests/taken@1" in str(caught.value)
    client.save("tests/taken@1", {"x": 2}, overwrite=True, tag="t")
    assert client.load("tests/taken@1") == client.load("tests/taken@t") == {"x": 2}


def test_saving_the_same_again_is_no_error_and_sends_nothing(client):
    first = client.save("tests/again@1", big(1), resume=True)
    second = client.save("tests/again@1", big(1), resume=True)
    assert second.checkpoint == first.checkpoint and second.skipped_bytes == second.nbytes


def test_what_was_removed_is_saved_again(client):
    first = client.save("tests/removed@1", big(2), resume=True)
    client.rm("tests/removed@1")
    second = client.save("tests/removed@1", big(2), resume=True)
    assert second.checkpoint != first.checkpoint
    np.testing.assert_array_equal(client.load("tests/removed@1")["x"], big(2)["x"])


def test_what_was_overwritten_by_others_is_not_taken_for_saved(client):
    client.save("tests/over@1", {"x": 1})
    client.save("tests/over@1", {"x": 2}, overwrite=True)
    with pytest.raises(cairn.AlreadyExistsError):
        client.save("tests/over@1", {"x": 1})
    client.save("tests/over@1", {"x": 1}, overwrite=True)
    assert client.load("tests/over@1") == {"x": 1}


def test_metadata_parent_and_assets(client, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"vocab": 3}')
    parent = client.save("tests/family@1", {"x": 1}).checkpoint
    child = client.save(
        "tests/family@2",
        {"x": 2},
        parent=parent,
        metadata={"loss": "0.25", "note": "é"},
        assets={
            "config.json": b"{}",
            "tok/tokenizer.json": tmp_path / "tokenizer.json",
            "empty": b"",
            "x": b"as a tensor",
        },
    ).checkpoint
    assert child.parent == parent.uid and child.metadata == {"loss": "0.25", "note": "é"}
    assert dict(child.assets) == {
        "config.json": b"{}", "tok/tokenizer.json": b'{"vocab": 3}', "empty": b"", "x": b"as a tensor",
    }  # fmt: skip
    with pytest.raises(KeyError):
        child.assets["missing"]
    written = child.assets.save(tmp_path / "out")
    assert (tmp_path / "out" / "tok" / "tokenizer.json").read_text() == '{"vocab": 3}' and len(written) == 4
    assert client.load("tests/family@2") == {"x": 2}
    with pytest.raises(cairn.InvalidArgumentError, match="expected texts"):
        client.save("tests/family@3", {}, metadata={"loss": 0.25})
    with pytest.raises(FileNotFoundError):
        client.save("tests/family@3", {}, assets={"a": tmp_path / "missing"})


def test_progress_ends_at_the_whole(client):
    seen = []
    result = client.save("tests/progress@1", big(3), progress=seen.append)
    assert seen[-1].bytes == seen[-1].total == result.nbytes and seen[-1].fraction == 1.0
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)
    client.load("tests/progress@1", progress=seen.append)
    assert seen[-1].bytes == seen[-1].total == result.nbytes and "100%" in str(seen[-1])


def test_progress_true_writes_a_line(client, capsys):
    client.save("tests/progress@2", big(4, 1), progress=True)
    assert "save tests/progress@2  100%" in capsys.readouterr().err


def test_what_a_progress_callback_raises_ends_the_save(client):
    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough

    with pytest.raises(Enough):
        client.save("tests/stopped@1", big(5), progress=stop)
    assert client.ls("tests/stopped") == []
    client.save("tests/stopped@1", big(5))
    np.testing.assert_array_equal(client.load("tests/stopped@1")["x"], big(5)["x"])


# Several writers.


def test_writers_fill_one_checkpoint(client):
    whole = np.arange(24.0).reshape(6, 4)

    def write(rank):
        mine = {
            "w": cairn.Shard(whole[2 * rank : 2 * rank + 2], (6, 4), (2 * rank, 0)),
            f"only {rank}": np.full(3, rank),
            "step": 9,
        }
        return client.save("tests/writers@9", mine, writer=rank, writers=3, session_key="writers-9", tag="best")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(write, range(3)))
    assert sum(r.checkpoint is not None for r in results) >= 1
    back = client.load("tests/writers@best")
    np.testing.assert_array_equal(back["w"], whole)
    assert back["step"] == 9 and all(back[f"only {r}"][0] == r for r in range(3))


def test_nothing_is_visible_before_the_last_writer_has_finished(client):
    key = {"writers": 2, "session_key": "visible-1"}
    first = client.save("tests/visible@1", {"a": np.ones(2), "l": [cairn.ELSEWHERE, np.zeros(1)]}, writer=0, **key)
    assert first.checkpoint is None and client.ls("tests/visible") == []
    last = client.save("tests/visible@1", {"l": [np.ones(1), cairn.ELSEWHERE]}, writer=1, **key)
    assert last.checkpoint is not None
    back = client.load("tests/visible@1")
    assert back["l"][0][0] == 1 and back["l"][1][0] == 0


def test_holes_and_overlaps_are_refused_by_tensor_and_box(client):
    half = cairn.Shard(np.ones(2), (4,), (0,))
    with pytest.raises(cairn.FailedPreconditionError) as caught:
        client.save("tests/hole@1", {"w": half})
    assert caught.value.reason == "TENSOR_HOLE" and caught.value.metadata["path"] == "w"
    client.save("tests/hole@1", {"w": half}, writer=0, writers=2, session_key="overlap")
    with pytest.raises(cairn.FailedPreconditionError) as caught:
        client.save("tests/hole@1", {"w": np.ones(4)}, writer=1, writers=2, session_key="overlap")
    assert caught.value.reason == "TENSOR_OVERLAP"


def test_writers_that_have_the_same_tree_share_the_work(client):
    state = {"layers": [{"w": np.full(100 * (i + 1), i, np.float32)} for i in range(6)], "step": 3, "z": np.zeros(0)}
    state["tied"] = state["layers"][0]["w"]
    results = [
        client.save(
            "tests/shared@3", state, writer=r, writers=3, replicated=True, session_key="shared-3", assets={"a": b"once"}
        )
        for r in range(3)
    ]
    assert sum(r.nbytes for r in results) == 2100 * 4 + 4 and max(r.nbytes for r in results) <= 704 * 4
    back = client.load("tests/shared@3")
    assert back["step"] == 3 and back["tied"] is back["layers"][0]["w"] and back["layers"][5]["w"][0] == 5


def test_several_writers_need_a_key_and_a_number(client):
    with pytest.raises(cairn.InvalidArgumentError, match="session_key"):
        client.save("tests/nokey@1", {}, writer=0, writers=2)
    with pytest.raises(cairn.InvalidArgumentError, match="writer 2 of 2; expected 0 to 1"):
        client.save("tests/nokey@1", {}, writer=2, writers=2, session_key="k")


def test_a_session_may_be_committed_or_given_up_later(client):
    result = client.save("tests/later@1", {"x": 1}, commit=False)
    assert result.checkpoint is None and client.ls("tests/later") == []
    assert client.commit(result.session_id).ref == "tests/later@1"
    given_up = client.save("tests/later@2", {"x": 1}, commit=False)
    client.abort(given_up.session_id)
    with pytest.raises(cairn.FailedPreconditionError):
        client.commit(given_up.session_id)
    client.save("tests/later@2", {"x": 1})
    assert client.load("tests/later@2") == {"x": 1}


# Going on after a break.

# The second array is turned, so it is copied when its turn comes: a moment when much of the first is in the daemon.
INTERRUPTED = """
    import pathlib, sys, time
    import numpy as np
    import cairn, cairn.arrays

    def content(at=0):
        x = np.random.default_rng(7).integers(0, 2**62, 24 << 17)
        x[at] += 1
        return {"x": x, "y": np.arange(6.0).reshape(2, 3).T}

    def interrupt(data_dir, end):
        def wait(array):
            if calls.pop():
                # For the fingerprint the bytes are wanted too, before anything is sent.
                return in_order(array)
            while sum(f.stat().st_size >= 1 << 20 for f in pathlib.Path(data_dir).rglob("*") if f.is_file()) < 4:
                time.sleep(0.01)
            end()

        calls = [False, True]
        in_order, cairn.arrays._in_order = cairn.arrays._in_order, wait
        return in_order
"""
helpers: dict = {}
exec(textwrap.dedent(INTERRUPTED), helpers)
content, interrupt = helpers["content"], helpers["interrupt"]


def test_the_same_save_by_another_process_goes_on_where_a_killed_one_stopped():
    with cairn.testing.server(object_bytes="1MiB") as server, server.client() as client:
        program = textwrap.dedent(INTERRUPTED) + (
            "import os\n"
            "interrupt(sys.argv[2], lambda: os._exit(9))\n"
            "cairn.Client(sys.argv[1]).save('tests/killed@1', content(), resume=True)\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", program, server.target, str(server.data_dir)], check=False, timeout=120
        )
        assert killed.returncode == 9 and client.ls() == []
        result = client.save("tests/killed@1", content(), resume=True)
        assert 0 < result.skipped_bytes < result.nbytes
        back = client.load("tests/killed@1")
        np.testing.assert_array_equal(back["x"], content()["x"])
        np.testing.assert_array_equal(back["y"], content()["y"])


def test_another_content_never_goes_on_with_the_bytes_of_an_earlier_one(monkeypatch):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with cairn.testing.server(object_bytes="1MiB") as server, server.client() as client:
        monkeypatch.setattr(cairn.arrays, "_in_order", cairn.arrays._in_order)
        interrupt(server.data_dir, stop)
        with pytest.raises(Stop):
            client.save("tests/changed@1", content(), resume=True)
        monkeypatch.undo()
        result = client.save("tests/changed@1", content(at=12345), resume=True)
        assert result.skipped_bytes == 0
        np.testing.assert_array_equal(client.load("tests/changed@1")["x"], content(at=12345)["x"])


def test_a_save_goes_on_over_a_crash_of_the_daemon():
    with (
        cairn.testing.server(object_bytes="1MiB", durable_writes=True) as server,
        server.client(retry_for=60) as client,
    ):
        crashed = []

        def crash(progress):
            if progress.bytes > 0 and not crashed:
                crashed.append(progress.bytes)
                server.kill()
                server.start()

        client.save("tests/crash@1", big(6, 24), progress=crash)
        assert crashed
        np.testing.assert_array_equal(client.load("tests/crash@1")["x"], big(6, 24)["x"])


def test_a_changed_element_changes_the_derived_key():
    words = np.random.default_rng(1).integers(0, 256, 3 * 4096 * 8 + 1001, np.uint8)
    changed = words.copy()
    changed[-1] ^= 1
    keys = {session_key.derive("n", 1, {}, tree.flatten({"x": x}), {}) for x in (words, words.copy(), changed)}
    assert len(keys) == 2


def test_a_save_that_nobody_can_go_on_with_leaves_no_open_session():
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.bytes > 0:
            raise Stop

    with cairn.testing.server(object_bytes="1MiB") as server, server.client() as client:
        with pytest.raises(Stop):
            client.save("tests/stopped@1", big(7, 24), progress=stop)
        assert client.info().open_sessions == 0
        with pytest.raises(Stop):
            client.save("tests/stopped@1", big(7, 24), progress=stop, resume=True)
        assert client.info().open_sessions == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"x": 0.0}, {"x": -0.0}), ({"x": 1}, {"x": True}), ({"x": 1}, {"x": 1.0}), ({"x": [1]}, {"x": (1,)}),
        ({"x": np.zeros(2)}, {"x": np.zeros((2, 1))}), ({"x": np.zeros(2)}, {"y": np.zeros(2)}),
        ({"x": np.zeros(2, "i8")}, {"x": np.zeros(2, "u8")}), ({"x": {}}, {"x": []}), ({"1": 1}, {1: 1}),
    ],
)  # fmt: skip
def test_trees_that_differ_have_other_keys(a, b):
    keys = {session_key.derive("n", 1, {}, tree.flatten(t), {}) for t in (a, b)}
    assert len(keys) == 2
    assert session_key.derive("n", 2, {}, tree.flatten(a), {}) not in keys
    assert session_key.derive("n", 1, {}, tree.flatten(a), {"f": b""}) not in keys


def test_a_step_is_stored_as_the_difference_to_the_previous_one_which_may_go(client):
    tree = {"w": np.random.default_rng(1).standard_normal(1 << 18, np.float32), "frozen": np.arange(1 << 16)}
    previous = client.save("tests/chain@1", tree, parent="previous").checkpoint
    assert previous.parent == ""
    for step in (2, 3):
        tree["w"][step::100] *= 1.01
        saved = client.save(f"tests/chain@{step}", tree, parent="previous").checkpoint
        assert saved.parent == previous.uid and saved.new_bytes < tree["w"].nbytes / 10
        previous = saved
    client.rm("tests/chain@1")
    client.rm("tests/chain@2")
    client.gc()
    loaded = client.load("tests/chain@3")
    assert all((loaded[name] == array).all() for name, array in tree.items())


@pytest.mark.parametrize("tag", ["a b", "", "1", "latest", ["fine", "b@d"]])
def test_a_tag_that_cannot_be_is_refused_before_anything_is_saved(client, name, tag):
    with pytest.raises(cairn.InvalidArgumentError, match=f"{name}@1.*tag"):
        client.save(f"{name}@1", {"x": np.zeros(1000)}, tag=tag)
    assert not client.ls(name)


def test_a_tag_is_refused_where_nothing_is_committed(client, name):
    with pytest.raises(cairn.InvalidArgumentError, match="tag.*commit=False"):
        client.save(f"{name}@1", {"x": 1}, tag="best", commit=False)


@pytest.mark.parametrize(
    ("more", "assets", "match"),
    [
        ({"k" * 5000: 1}, {}, r'"k{60,64}\.\.\.": a key path of 5000 bytes'),
        ({"d": functools.reduce(lambda tree, _: {"d": tree}, range(70), 1)}, {}, "nested deeper than 64"),
        ({"d": functools.reduce(lambda tree, _: {"d": tree}, range(5000), 1)}, {}, "nested deeper than 64"),
        ({"y": {"z": np.zeros((1,) * 33)}}, {}, '"y/z": 33 dimensions'),
        ({"i": 1 << 2_000_000}, {}, '"i": an int of 2000001 bits'),
        ({}, {"a": "/tmp"}, 'asset "a": /tmp: expected a regular file'),
        ({}, {"x" * 5000: b"1"}, "the name of an asset"),
        ({}, {"": b"1"}, "the name of an asset"),
        ({}, {"/".join("a" * 65): b"1"}, "the name of an asset.*nested deeper"),
    ],
    ids=["long key", "deep", "very deep", "rank", "big int", "folder", "long asset name", "asset without a name", "deep asset name"],
)
def test_what_cannot_be_saved_is_found_before_the_first_byte_is_sent(client, name, more, assets, match):
    seen = []
    with pytest.raises(cairn.InvalidArgumentError, match=match):
        client.save(f"{name}@1", {"big": np.ones(1 << 20), **more}, assets=assets, progress=seen.append)
    assert all(progress.done_bytes == 0 for progress in seen)


@pytest.mark.parametrize("wrong", [{"writers": 0}, {"progress": 3}, {"writer": "0"}])
def test_arguments_of_the_wrong_kind_are_named(client, name, wrong):
    with pytest.raises((cairn.InvalidArgumentError, TypeError), match=next(iter(wrong))):
        client.save(f"{name}@1", {"x": 1}, **wrong)


def test_assets_of_which_another_writer_has_the_files_are_not_looked_for(client, name):
    more = {"writers": 2, "replicated": True, "session_key": name, "assets": {"a": "/nowhere/at/all"}}
    result = client.save(f"{name}@1", {"x": np.ones(2), "y": np.ones(2)}, writer=np.int64(1), **more)
    assert result.checkpoint is None
    with pytest.raises(FileNotFoundError):
        client.save(f"{name}@1", {"x": np.ones(2), "y": np.ones(2)}, writer=0, **more)
    client.abort(result.session_id)


def test_tags_and_patterns_may_come_one_by_one(client, name):
    result = client.save(f"{name}@1", {"x": 1, "y": 2}, tag=(tag for tag in ("a", "b")))
    assert sorted(client.show(result.checkpoint).tags) == ["a", "b"]
    assert client.load(f"{name}@1", select=(path for path in ("x",))) == {"x": 1}
