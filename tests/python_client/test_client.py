"""The rest of the client: the registry, errors, how things look, and what happens around a fork."""

import copy
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import cairn
from cairn import _native, errors


def test_ls_by_name_prefix_and_metadata(client):
    for ref in ("list/run@1", "list/run@2", "list/run/sub@1", "list/runner@1"):
        client.save(ref, {"x": ref}, metadata={"best": "yes" if ref.endswith("2") else "no"})
    assert [c.ref for c in client.ls("list/run")] == ["list/run@1", "list/run@2", "list/run/sub@1"]
    assert len(client.ls("list/")) == 4 and len(client.ls()) >= 4
    assert [c.ref for c in client.ls("list/", metadata={"best": "yes"})] == ["list/run@2"]


def test_tags_move_only_if_they_point_where_they_should(client):
    one, two = (client.save(f"tags/run@{i}", {"x": i}).checkpoint for i in (1, 2))
    assert client.tag("tags/run@1", "best", expected="").tags == ["best"]
    with pytest.raises(cairn.AbortedError):
        client.tag(two, "best", expected="")
    assert client.tag(two, "best", expected=one.uid) == two
    client.untag("tags/run", "best")
    with pytest.raises(cairn.NotFoundError):
        client.untag("tags/run", "best")
    client.untag("tags/run", "best", missing_ok=True)


def test_rm_and_gc(client):
    client.save("gone/run@1", {"x": np.random.default_rng(1).random(1 << 20)})
    assert client.rm("gone/run@1").ref == "gone/run@1"
    assert client.rm("gone/run@1", missing_ok=True) is None
    with pytest.raises(cairn.NotFoundError):
        client.rm("gone/run@1")
    assert client.gc(dry_run=True).deleted_bytes >= 0
    assert client.gc().purged_checkpoints >= 0


def test_verify_finds_damage(client):
    with cairn.testing.server() as server, server.client() as own:
        own.save("damaged@1", {"w": np.random.default_rng(1).random(200_000), "v": 1})
        assert own.verify("damaged@1", progress=lambda p: None).ok
        largest = max((p for p in server.data_dir.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 1
        os.chmod(largest, 0o644)
        largest.write_bytes(data)
        found = own.verify("damaged@1")
        assert not found.ok and found.problems[0].path == "w" and found.problems[0].message
        with pytest.raises(cairn.DataLossError) as caught:
            own.load("damaged@1")
        assert caught.value.metadata["path"] == "w" and "damaged@1" in str(caught.value) and '"w"' in str(caught.value)


def test_info(client):
    info = client.info()
    assert info.version and info.free_bytes > 0 and info.checkpoints == len(client.ls())


# Errors.


def test_every_code_has_a_class_and_says_more(client):
    with pytest.raises(cairn.NotFoundError) as caught:
        client.load("no/such@1")
    error = caught.value
    assert isinstance(error, LookupError) and error.code == "NOT_FOUND" and error.metadata == {"ref": "no/such@1"}
    assert str(error).startswith("NOT_FOUND: ") and error.message in str(error)
    for wrong in ("", "a b", "@", "x@-1", "uid:"):
        with pytest.raises(ValueError, match="INVALID_ARGUMENT"):
            client.show(wrong)


def test_standard_exceptions_are_bases():
    pairs = [
        (cairn.InvalidArgumentError, ValueError), (cairn.NotFoundError, LookupError), (cairn.UnavailableError, ConnectionError),
        (cairn.DeadlineExceededError, TimeoutError), (cairn.PermissionDeniedError, PermissionError),
        (cairn.UnimplementedError, NotImplementedError),
    ]  # fmt: skip
    assert all(issubclass(a, b) and issubclass(a, cairn.CairnError) for a, b in pairs)
    assert len(errors.BY_CODE) == 16 and all(k == v.code for k, v in errors.BY_CODE.items())


@pytest.mark.parametrize("kind", [*errors.BY_CODE.values(), cairn.TreeMismatchError], ids=lambda k: k.__name__)
def test_errors_survive_pickle_and_copy(kind):
    if kind is cairn.TreeMismatchError:
        error = kind("text", missing=["a"], unexpected=[], mismatched=["b"])
    else:
        error = kind("text", reason="R", metadata={"ref": "x"})
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(back) is kind and str(back) == str(error) and back.__dict__ == error.__dict__


def test_a_code_of_a_later_version_keeps_its_name():
    error = errors._make_error("NEW_CODE", "text", "R", {})
    assert isinstance(error, cairn.UnknownError) and error.code == "NEW_CODE" and str(error) == "NEW_CODE: text"


def test_nobody_there_is_unavailable(tmp_path):
    with (
        cairn.Client(f"unix:{tmp_path}/nobody", retry_for=0) as client,
        pytest.raises(cairn.UnavailableError, match="cannot reach"),
    ):
        client.ls()


@pytest.mark.parametrize("target", ["", "unix:", "host", "host:99999999"])
def test_a_target_that_cannot_work_is_refused_at_once(target, monkeypatch):
    monkeypatch.setenv("CAIRN_SERVER", target)
    if target:
        with pytest.raises(cairn.InvalidArgumentError):
            cairn.Client()
    else:
        assert cairn.Client().target == "localhost:7710"


def test_the_environment_names_the_target(server, monkeypatch):
    monkeypatch.setenv("CAIRN_SERVER", server.target)
    with cairn.Client() as client:
        assert client.info().version
    assert repr(client) == f"cairn.Client({server.target!r})"


def test_a_closed_client_refuses(server):
    client = server.client()
    with client:
        client.ls()
    with pytest.raises(cairn.FailedPreconditionError, match="is closed"):
        client.ls()


# How things look.


def test_a_checkpoint_shows_what_is_in_it(client):
    w = np.zeros((3, 4), np.float32)
    tree = {"w": w, "tied": w, "l": [np.zeros(1), {"lr": 0.1}], "note": "<b>&\x1b[31m", "s": np.int8(1)}
    client.save("looks/run@7", tree, tag="best", metadata={"<loss>": "0.5"}, assets={"config.json": b"{}"})
    shown = client.show("looks/run@best")
    text, page = str(shown), shown._repr_html_()
    assert repr(shown) == f"<Checkpoint looks/run@7 uid:{shown.uid}>"
    for part in (
        "looks/run@7",
        "best",
        "<loss>=0.5",
        "3×4",
        "float32",
        "= w",
        "list of 2",
        "0.1",
        "config.json",
        "scalar",
    ):
        assert part in text, part
    assert "\x1b" not in text + page and "<b>&" not in page and "&lt;b&gt;" in page and "&lt;loss&gt;" in page
    listed = client.ls("looks/")
    assert "looks/run@7" in str(listed) and "looks/run@7" in listed._repr_html_()
    assert (
        str(client.ls("looks/none")) == "no checkpoints" and "no checkpoints" in client.ls("looks/none")._repr_html_()
    )
    kinds = {e.path: repr(e) for e in shown.entries}
    assert (
        kinds["w"] == "<w: float32[3, 4]>"
        and kinds["tied"] == "<tied -> w>"
        and kinds["l/[1]/lr"] == "<l/[1]/lr = 0.1>"
    )


def test_long_checkpoints_are_shown_in_part(client):
    client.save("looks/long@1", {f"layer.{i}.{'x' * 100}": i for i in range(100)})
    shown = client.show("looks/long@1")
    assert "and 60 more" in str(shown) and "the first 40" in shown._repr_html_()
    assert max(map(len, str(shown).splitlines())) < 120


def test_ls_asks_for_no_entries(client):
    client.save("looks/lazy@1", {"x": 1})
    (listed,) = client.ls("looks/lazy")
    assert listed.loaded_entries is None
    _ = str(listed), listed._repr_html_()
    assert listed.loaded_entries is None
    assert [e.path for e in listed.entries] == ["x"]


# Conversion.


def test_files_are_converted_without_a_daemon_and_with_one(client, tmp_path):
    client.save("convert/run@1", {"a.b": np.arange(6, dtype=np.float32), "c": np.int64([1, 2])})
    seen = []
    made = client.convert("convert/run@1", tmp_path / "m.safetensors", progress=seen.append)
    assert made.entries == 2 and made.path == tmp_path / "m.safetensors" and made.checkpoint is None and seen
    import safetensors.numpy

    np.testing.assert_array_equal(safetensors.numpy.load_file(made.path)["a.b"], np.arange(6))
    cairn.convert(made.path, f"params::{tmp_path}/stream", dtype="float32")
    back = client.convert(f"params::{tmp_path}/stream", "convert/run@2", metadata={"from": "easylm"}, select="a.b")
    assert back.checkpoint.metadata["from"] == "easylm" and back.path is None
    np.testing.assert_array_equal(client.load("convert/run@2")["a.b"], np.arange(6))


def test_convert_says_how_to_name_a_file(tmp_path):
    with pytest.raises(cairn.InvalidArgumentError, match=r'write "\./model.safetensors" or pathlib'):
        cairn.convert("model.safetensors", tmp_path / "x")
    with pytest.raises(cairn.NotFoundError):
        cairn.convert("./no-such.safetensors", tmp_path / "x")


# Around a fork.


def _use_in_child(client, results):
    try:
        client.ls()
        results.put("worked")
    except cairn.CairnError as error:
        results.put(f"{error.code} {error.reason}")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:os.fork:RuntimeWarning")
def test_a_client_from_before_a_fork_fails_loudly(client):
    client.ls()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_use_in_child, args=(client, results))
    child.start()
    assert results.get(timeout=60) == "FAILED_PRECONDITION FORKED"
    child.join(60)


def test_importing_before_a_fork_does_no_harm(server):
    program = f"""
import os, sys, cairn
pid = os.fork()
if pid == 0:
    cairn.Client({server.target!r}).ls()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_importing_needs_numpy_alone():
    program = """
import sys
allowed = {"numpy", "cairn"}
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "jax", "ml_dtypes", "flax", "google", "grpc"):
            raise ImportError(name + " is not to be imported")
sys.meta_path.insert(0, Watch())
import cairn, cairn.testing
assert not {"torch", "jax", "ml_dtypes"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_everything_public_has_a_docstring():
    assert all(hasattr(cairn, name) for name in cairn.__all__)
    assert _native.__version__ == cairn.__version__
    for name in cairn.__all__:
        thing = getattr(cairn, name)
        assert name.startswith("__") or name == "ELSEWHERE" or thing.__doc__, name
        if isinstance(thing, type):
            for member, value in vars(thing).items():
                if not member.startswith("_") and callable(value):
                    assert value.__doc__, f"{name}.{member}"


def test_what_is_no_ref_is_named(client):
    for call in (client.load, client.show, client.rm, client.verify):
        with pytest.raises(TypeError, match=r"ref: expected a text.*found NoneType"):
            call(None)
    with pytest.raises(TypeError, match="select: expected"):
        client.load("x@1", select=3)


def test_a_checkpoint_that_is_gone_is_named_by_its_ref(client, name):
    checkpoint = client.save(f"{name}@1", {"x": np.ones(2)}).checkpoint
    assert client.show(checkpoint).ref == f"{name}@1"
    with pytest.raises(cairn.InvalidArgumentError, match=f"{name}@1.*unclosed"):
        client.load(f"{name}@1", select="x[")
    client.rm(checkpoint)
    for call in (client.load, client.show, client.rm, client.verify, lambda c: client.tag(c, "t"), lambda c: client.export(c, "x.npz")):
        with pytest.raises(cairn.NotFoundError, match=f"{name}@1"):
            call(checkpoint)


def test_methods_have_the_signature_of_the_functions_they_hand_on_to():
    options = inspect.signature(cairn.Client.convert).parameters
    assert list(options)[:3] == ["self", "source", "target"] and "max_shard_size" in options and "client" not in options
    assert "overwrite" in inspect.signature(cairn.Client.export).parameters
