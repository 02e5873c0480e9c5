"""Single functions, in one thread: casts, and what the checks of the bytes cost."""

import contextlib
import json

from harness.figures import Goal, Sample, goal_against, of
from harness.processes import run_json, run_text
from harness.rounds import Contender, Group, LeftOut

# What the goal is about: a window of the pipeline, and what no cache holds. Below that it is no memory that limits a copy.
LEAST = 4 << 20
BETWEEN_FLOAT32 = ("float32/bfloat16", "float32/float16", "float32/float8_e4m3fn", "float32/float8_e5m2")
ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}


def casts(place):
    """tests/benchmark/micro/cast_benchmark: "cast/FROM/TO/BYTES" and "copy/ATOB/BYTES", bytes read and written."""
    try:
        program = find(place)
    except LeftOut as error:
        reason = error

        @contextlib.contextmanager
        def nothing():
            raise reason
            yield

        yield Group("casts", "Casts, one thread", nothing, [])
        return
    names = run_text([program, "--benchmark_list_tests"]).split()
    sizes = {int(name.rsplit("/", 1)[1]) for name in names}
    for size in sorted(size for size in sizes if size >= LEAST):
        yield _casts_of(program, [name for name in names if name.endswith(f"/{size}")], size)


def find(place):
    for path in (place.options.bin / "cast_benchmark", place.options.bin.parent / "tests/benchmark/micro/cast_benchmark"):
        if path.exists():
            return path
    raise LeftOut("cast_benchmark is not built (-DCAIRN_BUILD_BENCHMARKS=ON)")


def _casts_of(program, names, size):
    def run(name):
        flags = [f"--benchmark_filter=^{name}$", "--benchmark_format=json", "--benchmark_min_time=0.2"]
        result = json.loads(run_text([program, *flags]))
        return Sample(direct=result["benchmarks"][0]["bytes_per_second"] / 1e9)

    pairs = {}
    for name in names:
        kind, *what, _ = name.split("/")
        if kind == "cast" and {what[0], what[1]} <= set(ITEM_BYTES):
            pairs[name] = f"copy/{ITEM_BYTES[what[0]]}to{ITEM_BYTES[what[1]]}/{size}"
    used = [name for name in names if name in pairs or name in pairs.values()]

    @contextlib.contextmanager
    def prepare():
        yield [Contender(name, name.rsplit("/", 1)[0].replace("/", " ", 1), lambda _, n=name: run(n), name in pairs) for name in used]

    goals = []
    for name, copy in pairs.items():
        _, source, target, _ = name.split("/")
        wanted = f"{source}/{target}" in BETWEEN_FLOAT32 or f"{target}/{source}" in BETWEEN_FLOAT32
        if copy in used:
            goals.append(goal_against(f"{source} -> {target} / copy", name, copy, 0.8 if wanted else None))
    title = f"Casts, one thread, {size >> 20} MiB at a time: bytes read and written"
    return Group("casts", title, prepare, goals, rounds=3, warmup=False)


def checksums(place):
    """What they cost alone, added up. The case "checks" measures a build that has none."""
    parts = {}

    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.memory) as daemon:

            def alone(name):
                parts.update(run_json([place.program("checksum_benchmark")]))
                return Sample(direct=parts[name])

            def total(seed):
                sample = place.put_once(daemon, seed)
                return Sample(direct=(sample.client_seconds + sample.server_seconds) / sample.bytes * 1e9)

            yield [
                Contender("crc32c", "CRC-32C, alone", lambda _: alone("crc32c"), True),
                Contender("digest", "digest of an extent, alone", lambda _: alone("digest"), True),
                Contender("put", "PutTensor, client and daemon", total, True),
            ]

    def checks(figures):
        return 2 * figures["crc32c"] + figures["digest"]

    yield Group(
        "checksums",
        "Checks of the bytes, processor time",
        prepare,
        [
            Goal("CRC-32C twice and digest / all of PutTensor", checks, of("put")),
            Goal("CRC-32C alone twice / all of PutTensor", lambda figures: 2 * figures["crc32c"], of("put")),
        ],
        unit="s/GB",
        note="an upper bound: computed beside a copy, they find the bytes in the cache; with a core to spare the digest costs no time",
    )
