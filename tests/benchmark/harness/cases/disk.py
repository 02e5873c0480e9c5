"""Commits that are durable on a disk, and loads from there."""

import contextlib

from harness.figures import Goal, goal_against, higher, lower, of
from harness.processes import drop_cache
from harness.rounds import Contender, Group, new_seed

BEST = "the lower of raw TCP and the disk's best"


def durable(place):
    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.disk) as daemon, place.scratch(place.disk) as folder:

            def raw(seed, *flags):
                try:
                    return place.raw(seed, ["--receive", "--file", folder / "raw", *flags], ["--send"])
                finally:
                    (folder / "raw.0").unlink(missing_ok=True)

            def write(seed, *flags):
                path = folder / "written"
                try:
                    return place.sequential("write", path, ["--seed", seed, *flags])
                finally:
                    path.unlink(missing_ok=True)

            direct = ["--sink", "write", "--direct", "--sync", "--buffer", "4MiB"]
            yield [
                Contender("cairn", "Cairn, TCP, until committed", lambda seed: place.put_once(daemon, seed), True),
                Contender("buffered", "disk: buffered, fsync", write),
                Contender("direct", "disk: O_DIRECT 4 MiB, fsync", lambda seed: write(seed, "--direct")),
                Contender("wire", "raw TCP, thrown away", lambda seed: raw(seed, "--sink", "discard")),
                Contender("both", "raw TCP, written with O_DIRECT, fsync", lambda seed: raw(seed, *direct)),
            ]

    yield Group(
        "durable",
        "Durable commit to a disk: one stream over TCP, until the checkpoint is committed",
        prepare,
        [
            Goal(f"Cairn / {BEST}", of("cairn"), lower(of("wire"), higher("direct", "buffered")), at_least=0.85),
            goal_against("Cairn / raw TCP, written with O_DIRECT", "cairn", "both"),
        ],
    )


def load(place):
    """With nothing in the page cache, and with everything there."""
    for cold in (True, False):
        yield _load(place, cold)


def _load(place, cold):
    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.disk) as daemon, place.scratch(place.disk) as folder:
            saved = new_seed()
            ref = f"bench/load@{saved}"
            place.put(daemon, ref, saved)
            file = folder / "tensor"
            place.make_file(file, saved)

            def get(seed, target=None):
                if not cold:
                    return place.get(daemon, ref, saved, target)
                # Only the first pass over an object is read as what nobody has asked for before.
                new = f"bench/cold@{seed}"
                place.put(daemon, new, seed)
                try:
                    daemon.drop_cache()
                    return place.get(daemon, new, seed, target)
                finally:
                    place.remove(daemon, new)

            def read(*flags):
                cache = ["--cold"] if cold else []
                return place.sequential("read", file, ["--seed", saved, *cache, *flags])

            def raw(source):
                if cold:
                    drop_cache(file)
                return place.raw(saved, ["--send", "--source", source, "--file", file], ["--receive", "--sink", "memory"])

            contenders = [
                Contender("cairn", "Cairn, TCP", get, True),
                Contender("unix", "Cairn, Unix socket", lambda seed: get(seed, daemon.unix), True),
                Contender("wire", "raw TCP, memory to memory", lambda _: raw("memory")),
                Contender("buffered", "disk: buffered", lambda _: read()),
                Contender("both", "raw TCP, sent from a file there", lambda _: raw("file")),
            ]
            if cold:
                contenders.insert(3, Contender("direct", "disk: O_DIRECT 4 MiB", lambda _: read("--direct")))
            yield contenders

    best = higher("direct", "buffered") if cold else of("buffered")
    return Group(
        "load",
        f"Load from a disk, {'cold' if cold else 'warm'} page cache: one stream over TCP into the caller's memory",
        prepare,
        [
            Goal(f"Cairn / {BEST}", of("cairn"), lower(of("wire"), best), at_least=0.85),
            goal_against("Cairn / raw TCP, sent from a file", "cairn", "both"),
            goal_against("Unix socket / TCP", "unix", "cairn", 1.0),
        ],
    )
