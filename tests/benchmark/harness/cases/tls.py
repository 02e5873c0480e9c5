"""The same streams over TLS, against gRPC's own with the same certificate: an echo, whose bytes travel both ways, and streams
in one direction whose bytes are thrown away."""

import contextlib
import subprocess

from harness.figures import goal_against
from harness.processes import Peer, measure, stopping
from harness.rounds import Contender, Group, LeftOut, new_seed


def _certificate(folder):
    """The flags of a server and of a client, for a certificate that is its own authority."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=benchmark", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    try:
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    except FileNotFoundError:
        raise LeftOut("there is no openssl to make a certificate with") from None
    return ["--tls-cert", str(cert), "--tls-key", str(key)], ["--tls-ca", str(cert)]


@contextlib.contextmanager
def _grpc(place, flags=()):
    with stopping(Peer([place.program("grpc_baseline"), "server", *flags])) as server:
        yield server


def _grpc_run(place, what, server, flags=()):
    command = [place.program("grpc_baseline"), what, "--server", server.address, "--bytes", place.size, *flags]
    return measure(command, server)


def _group(place, what, title, run):
    """`run` makes the round of Cairn: of a daemon and flags of the client, a function of the seed."""

    @contextlib.contextmanager
    def prepare():
        with place.scratch(place.memory) as folder:
            serve, connect = _certificate(folder)
            with (
                place.daemon(place.memory, serve) as daemon,
                place.daemon(place.memory) as plain,
                _grpc(place, serve) as grpc,
                _grpc(place) as plain_grpc,
            ):
                yield [
                    Contender("tls", "Cairn, TLS", run(daemon, connect), True),
                    Contender("echo", "gRPC alone, TLS, echo (GB/s of one way)", lambda _: _grpc_run(place, "echo", grpc, connect)),
                    Contender("grpc", "gRPC alone, TLS, one way, thrown away", lambda _: _grpc_run(place, what, grpc, connect)),
                    Contender("plain", "Cairn, plain text", run(plain, []), True),
                    Contender("grpc-plain", "gRPC alone, plain text, one way, thrown away", lambda _: _grpc_run(place, what, plain_grpc)),
                ]

    return Group(
        "tls",
        title,
        prepare,
        [
            goal_against("Cairn / echo of gRPC, both TLS", "tls", "echo", 0.90),
            goal_against("Cairn / gRPC one way, both TLS", "tls", "grpc"),
            goal_against("Cairn / gRPC one way, both plain", "plain", "grpc-plain"),
            goal_against("TLS / plain text, Cairn", "tls", "plain"),
        ],
    )


def tls(place):
    def put(daemon, flags):
        return lambda seed: place.put_once(daemon, seed, flags=flags)

    def get(daemon, flags):
        saved = new_seed()
        ref = f"bench/get@{saved}"
        place.put(daemon, ref, saved)
        return lambda _: place.get(daemon, ref, saved, flags=flags)

    yield _group(place, "put", "PutTensor over TLS: one stream, from memory to storage in memory, all checks on", put)
    yield _group(place, "get", "GetTensor over TLS: one stream, from storage in memory into the caller's memory, all checks on", get)
