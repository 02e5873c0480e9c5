"""The Python package, against the C++ client and against what others save with."""

import contextlib
import shutil

from harness.figures import goal_against
from harness.processes import measure
from harness.rounds import Contender, Group, LeftOut, new_seed

FRAMEWORKS = {
    "safetensors": ("safetensors.numpy", "safetensors"),
    "torch": ("torch.save", "torch"),
    "dcp": ("torch DCP", "torch"),
    "orbax": ("Orbax", "orbax.checkpoint"),
    "easylm": ("EasyLM's loop (flax, msgpack)", "flax"),
}


def _has_package(place):
    try:
        place.needs_cairn_package()
    except LeftOut:
        return False
    return True


def _run(place, what, daemon, ref, seed, target=None):
    command = place.peer("cairn_python.py", what, target or daemon.tcp, ref, place.size, seed)
    return measure(command, daemon, place.python_environment())


def _save(place, daemon, seed, target=None):
    ref = f"bench/python@{seed}"
    try:
        return _run(place, "save", daemon, ref, seed, target)
    finally:
        place.remove(daemon, ref)


def client(place):
    """Storage in memory: what is compared is the work of the clients."""

    @contextlib.contextmanager
    def prepare(what):
        place.needs_cairn_package()
        with place.daemon(place.memory) as daemon:
            if what == "save":
                yield [
                    Contender("python", "Python save, NumPy arrays", lambda seed: _save(place, daemon, seed), True),
                    Contender("cpp", "C++ client", lambda seed: place.put_once(daemon, seed), True),
                ]
                return
            ours, theirs = new_seed(), new_seed()
            _run(place, "save", daemon, f"bench/python@{ours}", ours)
            place.put(daemon, f"bench/get@{theirs}", theirs)
            yield [
                Contender("python", "Python load(into=)", lambda _: _run(place, "load", daemon, f"bench/python@{ours}", ours), True),
                Contender("cpp", "C++ client", lambda _: place.get(daemon, f"bench/get@{theirs}", theirs), True),
            ]

    for what in ("save", "load"):
        title = f"Python package, {what} over TCP, storage in memory"
        yield Group("python", title, lambda what=what: prepare(what), [goal_against("Python / C++", "python", "cpp", 0.9)])


def frameworks(place):
    """To a disk and durable; loads are of everything, with a warm page cache: into new arrays, but for DCP, which fills those
    that are there and is compared with a load that does the same."""
    with_python = _has_package(place)
    us = f"Cairn, {'Python' if with_python else 'C++'} client, TCP"

    def others(what, folder):
        def run(name, seed):
            path = folder / f"{what}-{name}"
            try:
                command = place.peer("frameworks.py", name, what, path, place.size, seed)
                return measure(command, environment=place.python_environment())
            finally:
                if what == "save":
                    _remove(path)

        def load(name):
            saved = new_seed()
            path = folder / f"load-{name}"
            made = []

            def again(_):
                if not made:
                    command = place.peer("frameworks.py", name, "save", path, place.size, saved)
                    measure(command, environment=place.python_environment())
                    made.append(True)
                return run(name, saved)

            return again

        for name, (title, package) in FRAMEWORKS.items():
            try:
                place.needs_package(package)
            except LeftOut:
                continue
            yield Contender(name, title, load(name) if what == "load" else lambda seed, n=name: run(n, seed))

    @contextlib.contextmanager
    def prepare(what):
        there = []
        with place.daemon(place.disk) as daemon, place.scratch(place.disk) as folder:
            if what == "save":
                cairn = (lambda seed: _save(place, daemon, seed)) if with_python else (lambda seed: place.put_once(daemon, seed))
            else:
                saved = new_seed()
                ref = f"bench/load@{saved}"
                if with_python:
                    _run(place, "save", daemon, ref, saved)
                else:
                    place.put(daemon, ref, saved)

                def cairn(_, target=None):
                    if with_python:
                        return _run(place, "load-new", daemon, ref, saved, target)
                    return place.get(daemon, ref, saved, target, flags=["--fresh"])

                def cairn_into(_):
                    return _run(place, "load-into", daemon, ref, saved) if with_python else place.get(daemon, ref, saved)

                # Read from the daemon's files, as the frameworks read theirs.
                there.append(Contender("unix", us.replace("TCP", "Unix socket"), lambda _: cairn(_, daemon.unix), True))
                there.append(Contender("into", f"{us}, arrays that are there", cairn_into, True))
            yield [Contender("cairn", us, cairn, True), *there, *others(what, folder)]

    for what in ("save", "load"):
        how = "Save to a disk, durable" if what == "save" else "Load everything from a disk into new arrays, warm page cache"
        alike = [name for name in FRAMEWORKS if what == "save" or name != "dcp"]
        goals = [goal_against(f"Cairn / {FRAMEWORKS[name][0]}", "cairn", name, 1.0) for name in alike]
        if what == "load":
            for name in alike:
                goals.append(goal_against(f"Cairn over a Unix socket / {FRAMEWORKS[name][0]}", "unix", name, 1.0))
            goals.append(goal_against("Cairn / torch DCP, both into arrays that are there", "into", "dcp", 1.0))
            goals.append(goal_against("Cairn into new arrays / torch DCP into those that are there", "cairn", "dcp"))
        yield Group("frameworks", f"{how}: float32 arrays of 64 MiB", lambda what=what: prepare(what), goals)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
