"""Builds the wheel as a user does, installs it into a fresh virtual environment, and saves and loads with it. Offline: what
it takes from PyPI lies in WHEELS.

    python wheel_test.py SOURCE WORK CAIRND WHEELS
"""

import pathlib
import shutil
import subprocess
import sys
import venv

PROGRAM = """
import sys
import numpy as np
import cairn.testing
assert "torch" not in sys.modules and "jax" not in sys.modules
with cairn.testing.server() as server, server.client() as client:
    tree = {"w": np.arange(6.0).reshape(2, 3), "step": 7, "betas": (0.9, 0.95)}
    client.save("wheel/test@1", tree)
    back = client.load("wheel/test@1")
    assert back["step"] == 7 and back["betas"] == (0.9, 0.95) and (back["w"] == tree["w"]).all()
print("round trip with", cairn.__file__)
"""


def run(*command, **options):
    print("+", *command, flush=True)
    return subprocess.run([str(part) for part in command], check=True, **options)


def main():
    source, work, cairnd, wheels = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    venv.create(work / "venv", with_pip=True)
    python = work / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", "--find-links", wheels,
        "-C", f"build-dir={work}/build", source / "client" / "python")  # fmt: skip
    packages = run(python, "-m", "pip", "list", "--format=freeze", stdout=subprocess.PIPE, text=True).stdout
    names = {line.split("==")[0].lower() for line in packages.split()}
    assert names <= {"cairn", "numpy", "pip", "setuptools"}, f"installing brought more than NumPy: {names}"
    # From another folder, or the sources would be imported.
    run(python, "-c", PROGRAM, cwd=work, env={"PATH": "/usr/bin:/bin", "CAIRN_CAIRND": str(cairnd), "HOME": str(work)})
    installed = next((work / "venv").glob("lib/python*/site-packages/cairn"))
    version = run(python, "-c", "import cairn; print(cairn.__version__)", cwd=work, stdout=subprocess.PIPE, text=True).stdout
    assert f"cairn=={version.strip()}" in packages.split(), f"the wheel and the extension differ: {packages}, {version}"
    for name in ("py.typed", "_native.pyi", "__init__.py"):
        assert (installed / name).is_file(), f"the wheel lacks {name}"


main()
