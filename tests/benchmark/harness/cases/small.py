"""Checkpoints of very many small tensors."""

import contextlib

from harness.figures import goal_figure
from harness.processes import measure
from harness.rounds import Contender, Group, new_seed

TENSOR = "4KiB"
GOAL = 50_000


def many(place):
    count = place.options.count

    def command(name, daemon, ref, seed):
        program = [place.program("client_benchmark"), name, "--server", daemon.tcp, "--ref", ref]
        return [*program, "--seed", seed, "--bytes", TENSOR, "--count", count]

    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.memory) as daemon:
            saved = new_seed()
            kept = f"bench/many@{saved}"
            measure(command("put-many", daemon, kept, saved), daemon)

            def save(seed):
                ref = f"bench/many@{seed}"
                try:
                    return measure(command("put-many", daemon, ref, seed), daemon)
                finally:
                    place.remove(daemon, ref)

            yield [
                Contender("save", "Cairn, save", save, True),
                Contender("list", "Cairn, list", lambda _: measure(command("list", daemon, kept, saved), daemon), True),
                Contender("load", "Cairn, load", lambda _: measure(command("get-many", daemon, kept, saved), daemon), True),
            ]

    goals = [goal_figure(what, what, at_least=GOAL) for what in ("save", "list", "load")]
    title = f"{count:,} tensors of 4 KiB in one checkpoint: one stream over TCP, storage in memory"
    yield Group("many", title, prepare, goals, "items/s")
