"""The extension: errors as exceptions, and a stub that says what there is."""

import ast
import inspect
import pathlib

import numpy as np
import pytest

from cairn import _native, errors


@pytest.fixture
def plain_errors():
    """The extension's own exceptions, not the package's."""
    _native.set_error_factory(None)
    yield
    _native.set_error_factory(errors._make_error)


def test_an_error_has_code_message_reason_and_facts(native, plain_errors):
    with pytest.raises(_native.StatusError) as caught:
        native.get_checkpoint("no/such@7")
    error = caught.value
    assert error.code == "NOT_FOUND" and "no/such" in error.message
    assert str(error) == f"NOT_FOUND: {error.message}"
    assert error.args == (error.code, error.message, error.reason, error.metadata)
    assert error.metadata["ref"] == "no/such@7"


def test_the_factory_decides_what_is_raised(native, plain_errors):
    class Mine(Exception):
        pass

    _native.set_error_factory(lambda code, message, reason, metadata: Mine(code))
    with pytest.raises(Mine, match="NOT_FOUND"):
        native.get_checkpoint("no/such@7")
    _native.set_error_factory(lambda *_: 5)
    with pytest.raises(TypeError, match="no exception"):
        native.get_checkpoint("no/such@7")
    _native.set_error_factory(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        native.get_checkpoint("no/such@7")


def test_every_error_names_what_it_is_about(native, name):
    writer = native.save(name, 3)
    writer.put_tensor(("layer", 0, "w"), "float32", (4, 6), np.zeros((2, 6), np.float32), offset=(0, 0), extent=(2, 6))
    with pytest.raises(errors.FailedPreconditionError) as caught:
        writer.commit()
    assert 'layer/[0]/w' in str(caught.value) and "[2:4, 0:6]" in str(caught.value) and f"{name}@3" in str(caught.value)
    writer.abort()

    for arguments, words in [
        (dict(offset=(3, 0), extent=(2, 6)), ['"layer/w"', "[3, 0]", "[4, 6]"]),
        (dict(offset=(0, 0)), ['"layer/w"', "both offset and extent"]),
        (dict(offset=(0,), extent=(2,)), ['"layer/w"']),
    ]:
        with pytest.raises(errors.InvalidArgumentError) as caught:
            native.save(name, 4).put_tensor(("layer", "w"), "float32", (4, 6), b"", **arguments)
        assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(errors.InvalidArgumentError, match='entry "w": expected a dtype .*bfloat16.*, found "float23"'):
        native.save(name, 5).put_tensor(("w",), "float23", (1,), b"abcd")
    with pytest.raises(errors.InvalidArgumentError, match='expected a float dtype .*, found "int8"'):
        native.load(name, float_dtype="int8")
    with pytest.raises(errors.InvalidArgumentError, match="expected one of select, paths and boxes"):
        native.load(name, select=["a"], paths=[("a",)])


def test_a_target_or_option_that_cannot_work_is_refused_at_once():
    for target in ("localhost", "unix:relative", "a:b:c", ""):
        with pytest.raises(errors.InvalidArgumentError, match="HOST:PORT or unix:/PATH"):
            _native.Client(target)
    with pytest.raises(errors.InvalidArgumentError, match="plain text"):
        _native.Client("localhost:1", bearer_token="secret")
    with pytest.raises(errors.InvalidArgumentError, match="tls"):
        _native.Client("localhost:1", root_certificates="PEM")
    with pytest.raises(errors.InvalidArgumentError, match="retry_for: expected seconds"):
        _native.Client("localhost:1", retry_for=-1)


def test_wrong_types_are_type_errors(native, name):
    for use in (
        lambda: native.get_checkpoint(5),
        lambda: native.load(name, select="params/"),
        lambda: native.load(name, paths=["params"]),
        lambda: native.load(name, boxes=[(("a",), (0,))]),
        lambda: native.save(name, 1, metadata={"a": 1}),
        lambda: native.save(name, "1"),
        lambda: native.save(name, 1).put_tensor(("w",), "float32", 5, b""),
        lambda: native.save(name, 1).put_tensor(("w",), "float32", (1.5,), b""),
    ):
        with pytest.raises(TypeError):
            use()


def stub():
    tree = ast.parse((pathlib.Path(_native.__file__).parent / "_native.pyi").read_text())
    names, classes = set(), {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            classes[node.name] = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
        elif isinstance(node, ast.AnnAssign) and "TypeAlias" not in ast.dump(node.annotation):
            names.add(node.target.id)
    return names, classes


def test_the_stub_has_what_the_module_has():
    names, classes = stub()
    assert names == {name for name in dir(_native) if not name.startswith("_") or name == "__version__"}
    for cls, methods in classes.items():
        found = {name for name, value in vars(getattr(_native, cls)).items() if not name.startswith("__") and name != "_pybind11_conduit_v1_"}
        assert found == {name for name in methods if not name.startswith("__")}, cls
        for special in (name for name in methods if name.startswith("__") and name != "__buffer__"):
            assert hasattr(getattr(_native, cls), special), (cls, special)


def test_the_stub_names_parameters_as_the_module_does():
    _, classes = stub()
    for cls in ("Client", "SaveWriter", "LoadStream"):
        for name, node in classes[cls].items():
            if name.startswith("__") or any(getattr(d, "id", "") == "property" for d in node.decorator_list):
                continue
            signature = getattr(_native, cls).__dict__[name].__nb_signature__[0][0]
            expected = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)][1:]
            found = [a.arg for a in parsed(signature)][1:]
            assert found == expected, (cls, name, signature)


def parsed(signature):
    import re

    body = ast.parse(re.sub(r"\\\d+", "None", signature) + ": ...").body[0]
    return (*body.args.args, *body.args.kwonlyargs)


def test_nothing_else_is_imported():
    import subprocess
    import sys

    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, cairn; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "jax", "ml_dtypes", "flax"} & set(loaded)


def test_docstrings_are_short_at_run_time():
    assert inspect.getdoc(_native.Client) and inspect.getdoc(_native.SaveWriter)
