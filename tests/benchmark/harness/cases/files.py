"""Conversion of files on a disk, without a daemon."""

import contextlib

from harness.figures import goal_against
from harness.processes import run_json, run_program
from harness.rounds import Contender, Group, new_seed


def convert(place):
    @contextlib.contextmanager
    def prepare():
        with place.scratch(place.disk) as folder:
            place.needs_package("flax")
            source, target = folder / "model.easylm", folder / "out"
            make = place.peer("frameworks.py", "easylm", "save", source, place.size, new_seed())
            run_json(make, place.python_environment())

            def run(*command):
                try:
                    return run_program(command, source.stat().st_size)
                finally:
                    for path in folder.glob("out*"):
                        path.unlink()

            def cairn(dtype):
                program = [place.program("cairn"), "--quiet", "convert", f"params::{source}"]
                return run(*program, f"{target}.safetensors", "--dtype", dtype)

            def copy(_):
                return run("sh", "-c", 'cp --reflink=never "$1" "$2" && sync "$2"', "sh", source, target)

            yield [
                Contender("keep", "cairn convert easylm -> safetensors", lambda _: cairn("keep"), True),
                Contender("cp", "cp of the input, fsync", copy),
                Contender("bf16", "cairn convert, float32 -> bfloat16", lambda _: cairn("bf16"), True),
            ]

    yield Group(
        "convert",
        "Conversion on a disk, bytes of the input per second, warm page cache, made durable",
        prepare,
        [goal_against("no cast / cp", "keep", "cp", 0.7), goal_against("to bfloat16 / cp", "bf16", "cp", 0.6)],
    )
