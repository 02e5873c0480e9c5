"""The frameworks' own conversion scripts, against `cairn convert` of the same files."""

import contextlib
import shutil

from harness.figures import Sample, goal_against, goal_figure
from harness.processes import run_json, run_program
from harness.rounds import Contender, Group, LeftOut, new_seed

LIMIT_MIB = 256
# Title, the package without which there is nothing to compare, what `cairn convert` takes, whether bytes pass unchanged.
ROUTES = {
    "easylm": ("EasyLM's loop: streaming file -> flax", "flax", ["easylm::{0}/in", "flax::{0}/cairn", "--dtype", "keep"], True),
    "llama-dcp": ("two parts of Llama -> DCP, as torchtitan's script", "torch", ["llama::{0}/in", "dcp::{0}/cairn"], True),
    "dcp-torch": ("dcp_to_torch of PyTorch", "torch", ["dcp::{0}/in", "torch::{0}/cairn"], True),
    "hf-litgpt": ("convert_hf_checkpoint of litgpt", "litgpt", ["{0}/in", "litgpt::{0}/cairn/", "--map", "hf-llama:litgpt"], False),
    "colossalai": ("ColossalAI, sharded -> one file", "colossalai", ["colossalai::{0}/in", "torch::{0}/cairn"], True),
}


def scripts(place):
    for name, (title, package, arguments, unchanged) in ROUTES.items():
        yield from route(place, name, title, package, arguments, unchanged)


def route(place, name, title, package, arguments, unchanged):
    peaks = {}

    @contextlib.contextmanager
    def prepare():
        with place.scratch(place.disk) as folder:
            place.needs_package(package)
            run_json(place.peer("scripts.py", "make", name, folder, place.size, new_seed()), place.python_environment())
            total = sum(path.stat().st_size for path in (folder / "in", *(folder / "in").rglob("*")) if path.is_file())

            def run(key, target, *command):
                try:
                    sample = run_program(command, total, place.python_environment())
                    peaks[key] = max(peaks.get(key, 0.0), sample.peak_mib)
                    return sample
                finally:
                    shutil.rmtree(folder / target, ignore_errors=True)
                    (folder / target).unlink(missing_ok=True)

            def cairn(_):
                words = [word.format(folder) for word in arguments]
                return run("cairn", "cairn", place.program("cairn"), "--quiet", "convert", *words)

            def script(_):
                return run("script", "script", *place.peer("scripts.py", "run", name, folder))

            def copy(_):
                program = 'cp -r --reflink=never "$1" "$2" && sync "$2"'
                return run("cp", "copy", "sh", "-c", program, "sh", folder / "in", folder / "copy")

            yield [
                Contender("cairn", "cairn convert", cairn, True),
                Contender("script", "the script, in Python", script),
                Contender("cp", "cp of the input, fsync", copy),
            ]

    goals = [goal_against("cairn / script", "cairn", "script", 3.0)]
    if unchanged:
        goals.append(goal_against("cairn / cp", "cairn", "cp", 0.7))
    yield Group(f"scripts {name}", f"{title}: bytes of the input per second, made durable", prepare, goals)

    @contextlib.contextmanager
    def read_peaks():
        if not peaks:
            raise LeftOut("nothing ran above")
        yield [Contender(key, key, lambda _, key=key: Sample(direct=peaks[key]), key == "cairn") for key in ("cairn", "script")]

    limit = [goal_figure("cairn", "cairn", at_most=LIMIT_MIB)]
    yield Group(f"scripts {name} memory", f"{title}: resident memory at its peak", read_peaks, limit, "MiB", rounds=1, warmup=False)
