"""PutTensor and GetTensor of one tensor, over TCP and a Unix socket, to and from storage in memory."""

import contextlib

from harness.figures import Sample, goal_against, goal_figure
from harness.processes import Peer, measure, stopping
from harness.rounds import Contender, Group, LeftOut, new_seed

STREAMS = (1, 2, 4, 16, 64)
# A host that lends memory takes back what lies free within seconds. Whoever runs next would find more or less of it there.
SETTLE_SECONDS = 5


def _settle(place):
    return SETTLE_SECONDS if place.size >= 1 << 30 else 0.0


def _raw_put(place, seed, folder, sink, unix=None, streams=1):
    try:
        server = ["--receive", "--sink", sink, "--file", folder / "raw"]
        return place.raw(seed, server, ["--send"], streams=streams, unix=unix)
    finally:
        for path in folder.glob("raw.*"):
            path.unlink()


def _count(streams):
    return "1 stream" if streams == 1 else f"{streams} streams"


@contextlib.contextmanager
def _flight(place, folder):
    """A Flight server over `folder`, or None without pyarrow."""
    try:
        place.needs_package("pyarrow.flight")
    except LeftOut:
        yield None
        return
    command = place.peer("flight_server.py", "grpc://127.0.0.1:0", folder)
    with stopping(Peer(command, place.python_environment(), folder / "flight.log")) as server:
        yield server


def _flight_run(place, server, what, name, seed):
    if server is None:
        raise LeftOut("pyarrow is not installed")
    command = place.peer("flight_client.py", what, server.address, name, place.size, seed)
    return measure(command, server, place.python_environment())


def put(place):
    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.memory) as daemon, place.scratch(place.memory) as folder, _flight(place, folder) as flight:

            def flight_put(seed):
                try:
                    return _flight_run(place, flight, "put", "tensor", seed)
                finally:
                    (folder / "tensor").unlink(missing_ok=True)

            yield [
                Contender("tcp", "Cairn, TCP", lambda seed: place.put_once(daemon, seed), True),
                Contender("raw", "raw TCP, written to a file there", lambda seed: _raw_put(place, seed, folder, "write")),
                Contender("unix", "Cairn, Unix socket", lambda seed: place.put_once(daemon, seed, daemon.unix), True),
                Contender("discard", "raw TCP, thrown away", lambda seed: _raw_put(place, seed, folder, "discard")),
                Contender("flight", "Arrow Flight DoPut, written to a file there", flight_put),
            ]

    yield Group(
        "put",
        "PutTensor: one stream, from memory to storage in memory, all checks on",
        prepare,
        [
            goal_against("Cairn / raw TCP, written", "tcp", "raw", 0.80),
            goal_against("Cairn / raw TCP, thrown away", "tcp", "discard"),
            goal_against("Cairn / Flight DoPut", "tcp", "flight", 1.3),
            goal_against("Unix socket / TCP", "unix", "tcp", 1.0),
        ],
        settle=_settle(place),
    )


def get(place):
    @contextlib.contextmanager
    def prepare():
        with place.daemon(place.memory) as daemon, place.scratch(place.memory) as folder, _flight(place, folder) as flight:
            # Nothing here depends on the bytes being new, and there is no room for several of them.
            saved = new_seed()
            ref = f"bench/get@{saved}"
            place.put(daemon, ref, saved)
            place.make_file(folder / "tensor", saved)

            def raw(unix=None, sink="memory"):
                server = ["--send", "--source", "file", "--file", folder / "tensor"]
                return place.raw(saved, server, ["--receive", "--sink", sink], unix=unix)

            yield [
                Contender("tcp", "Cairn, TCP", lambda _: place.get(daemon, ref, saved), True),
                Contender("raw", "raw TCP, sent from a file there", lambda _: raw()),
                Contender("unix", "Cairn, Unix socket", lambda _: place.get(daemon, ref, saved, daemon.unix), True),
                Contender("flight", "Arrow Flight DoGet", lambda seed: _flight_run(place, flight, "get", "tensor", seed)),
            ]

    yield Group(
        "get",
        "GetTensor: one stream, from storage in memory into the caller's memory, all checks on",
        prepare,
        [
            goal_against("Cairn / raw TCP", "tcp", "raw", 0.85),
            goal_against("Cairn / Flight DoGet", "tcp", "flight", 1.3),
            goal_against("Unix socket / TCP", "unix", "tcp", 1.0),
        ],
        settle=_settle(place),
    )


def checks(place):
    """Two builds: with checksums and digests, and without."""

    def group(what, contenders_of, goals):
        @contextlib.contextmanager
        def prepare():
            bare = place.without_checks()
            with place.daemon(place.memory) as daemon, bare.daemon(place.memory) as bare_daemon:
                yield contenders_of(daemon, bare, bare_daemon)

        note = "processor time is what they cost; with no core to spare it is also time on the clock"
        return Group("checks", f"{what}Tensor with checks and without, one stream, storage in memory", prepare, goals, note=note)

    def put(daemon, bare, bare_daemon):
        return [
            Contender("on", "Put, checks on", lambda seed: place.put_once(daemon, seed), True),
            Contender("off", "Put, checks off", lambda seed: bare.put_once(bare_daemon, seed), True),
        ]

    def get(daemon, bare, bare_daemon):
        saved = new_seed()
        ref = f"bench/get@{saved}"
        place.put(daemon, ref, saved)
        bare.put(bare_daemon, ref, saved)
        return [
            Contender("on", "Get, checks on", lambda _: place.get(daemon, ref, saved), True),
            Contender("off", "Get, checks off", lambda _: bare.get(bare_daemon, ref, saved), True),
        ]

    for what, contenders_of in (("Put", put), ("Get", get)):
        yield group(what, contenders_of, [goal_against(f"{what}: checks on / off", "on", "off", 0.95)])


def streams(place):
    """Several streams at once share the tensor: the total must not fall, nor the memory grow."""
    counts = [count for count in STREAMS if count <= place.size >> 20]

    def goals(what):
        for count in counts[1:]:
            yield goal_against(f"{what}: {count} streams / 1 stream", str(count), "1", 0.95)

    note = "a total within 5 % of one stream's has not fallen"

    def group(what, contenders_of):
        @contextlib.contextmanager
        def prepare():
            with place.daemon(place.memory) as daemon:
                yield contenders_of(daemon)

        return Group("streams", f"{what}Tensor: streams at once over TCP, storage in memory", prepare, list(goals(what)), note=note)

    peaks = {}

    def put_contenders(daemon):
        def run(seed, count):
            sample = place.put_once(daemon, seed, flags=["--streams", count])
            peaks["Put"] = daemon.peak_kib / 1024
            return sample

        return [Contender(str(n), f"Put, {_count(n)}", lambda seed, n=n: run(seed, n), True) for n in counts]

    def get_contenders(daemon):
        saved = new_seed()
        ref = f"bench/get@{saved}"
        place.put(daemon, ref, saved)

        def run(count):
            sample = place.get(daemon, ref, saved, flags=["--streams", count])
            peaks["Get"] = daemon.peak_kib / 1024
            return sample

        return [Contender(str(n), f"Get, {_count(n)}", lambda _, n=n: run(n), True) for n in counts]

    yield group("Put", put_contenders)
    yield group("Get", get_contenders)
    yield _peaks_group(peaks)


def _peaks_group(peaks):
    @contextlib.contextmanager
    def prepare():
        yield [
            Contender(what, f"cairnd, all {what} streams", lambda _, peak=peak: Sample(direct=peak), True)
            for what, peak in peaks.items()
        ]

    goals = [goal_figure(f"{what}: anonymous and shared memory", what, at_most=256) for what in ("Put", "Get")]
    return Group("streams", "Memory of the daemon during these, at its peak", prepare, goals, "MiB", rounds=1, warmup=False)
