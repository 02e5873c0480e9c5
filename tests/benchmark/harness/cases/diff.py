"""Exact diffs between files, and what comes back from them."""

import contextlib

from harness.figures import Goal, Sample, lower, of
from harness.processes import drop_cache, measure, run_program, run_text
from harness.rounds import Contender, Group, new_seed

KINDS = {"changed": "1 % of the bfloat16 values changed", "equal": "nothing changed", "unrelated": "other weights altogether"}


def diff(place):
    for kind, title in KINDS.items():
        yield pair(place, kind, title)


def pair(place, kind, title):
    @contextlib.contextmanager
    def prepare():
        # What is read lies on the disk and is in no cache; what is written goes to memory, since its speed is no part of the goal.
        with place.scratch(place.disk) as folder, place.scratch(place.memory) as results:
            run_text(place.peer("pairs.py", kind, folder, place.size, new_seed()))
            base, target, made = folder / "base.safetensors", folder / "target.safetensors", folder / "made.cairndiff"
            size = target.stat().st_size
            cairn = [place.program("cairn"), "--quiet"]
            run_text([*cairn, "diff", base, target, "--output", made])

            def run(*command):
                for path in (base, target, made):
                    drop_cache(path)
                try:
                    return run_program([*cairn, *command], size)
                finally:
                    for path in results.iterdir():
                        path.unlink()

            def read_both(_):
                """Of the target's bytes: two files are read for them."""
                parts = [place.sequential("read", path, ["--cold", "--direct", "--unchecked"]) for path in (base, target)]
                return Sample(
                    seconds=sum(part.seconds for part in parts),
                    bytes=size,
                    client_seconds=sum(part.client_seconds for part in parts),
                    machine_seconds=sum(part.machine_seconds for part in parts),
                )

            def xor(_):
                return measure([place.program("disk_baseline"), "xor", "--bytes", place.size])

            yield [
                Contender("diff", "cairn diff --output", lambda _: run("diff", base, target, "--output", results / "d.cairndiff"), True),
                Contender("recover", "cairn recover", lambda _: run("recover", base, made, results / "t.safetensors"), True),
                Contender("disk", "disk: O_DIRECT 4 MiB, both files", read_both),
                Contender("xor", "one XOR pass in memory", xor),
            ]

    slower = "the slower of reading both and one XOR pass"
    return Group(
        "diff",
        f"Exact diff of two files, cold page cache, bytes of the target per second: {title}",
        prepare,
        [
            Goal(f"diff / {slower}", of("diff"), lower(of("disk"), of("xor")), at_least=0.8),
            Goal(f"recover / {slower}", of("recover"), lower(of("disk"), of("xor")), at_least=0.8),
        ],
    )
