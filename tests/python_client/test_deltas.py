"""A step travels as its change: save(parent_tree=), load(have=). Bytes are counted on the wire, by a proxy."""

import contextlib
import selectors
import socket
import threading

import ml_dtypes
import numpy as np
import pytest

import cairn

MIB = 1 << 20


class Proxy:
    """Between a client and the daemon: counts what goes each way, HTTP/2 and all."""

    def __init__(self, target: str, path: str) -> None:
        self._daemon = target
        self.target = f"unix:{path}"
        self.sent = self.received = 0
        self._stop = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop:
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _connect(self) -> socket.socket:
        if self._daemon.startswith("unix:"):
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(self._daemon.removeprefix("unix:"))
            return daemon
        host, port = self._daemon.rsplit(":", 1)
        return socket.create_connection((host.strip("[]"), int(port)))

    def _serve(self, client: socket.socket) -> None:
        with client, self._connect() as daemon, selectors.DefaultSelector() as ready:
            client.settimeout(None)
            ready.register(client, selectors.EVENT_READ, daemon)
            ready.register(daemon, selectors.EVENT_READ, client)
            while not self._stop:
                for key, _ in ready.select(0.05):
                    data = key.fileobj.recv(1 << 18)
                    if not data:
                        return
                    key.data.sendall(data)
                    if key.fileobj is client:
                        self.sent += len(data)
                    else:
                        self.received += len(data)


@pytest.fixture
def proxy(target, tmp_path):
    proxy = Proxy(target, str(tmp_path / "proxy.sock"))
    yield proxy
    proxy.close()


@pytest.fixture
def wire(proxy):
    with cairn.Client(proxy.target) as client:
        yield client


def weights(count: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(count, np.float32) * 0.02).astype(ml_dtypes.bfloat16)


def trained(array: np.ndarray, seed: int) -> np.ndarray:
    """One of a hundred elements moved by a few steps of its mantissa."""
    rng = np.random.default_rng(seed)
    changed = array.copy()
    bits = changed.view(np.uint16)
    where = rng.random(bits.shape) < 0.01
    bits[where] ^= rng.integers(1, 16, int(where.sum()), np.uint16)
    return changed


@pytest.fixture(scope="module")
def steps():
    first = {"params": {"w": weights(4 * MIB, 1).reshape(2048, 2048), "b": weights(3000, 2)}, "step": 1}
    second = {
        "params": {name: trained(array, 3) for name, array in first["params"].items()},
        "step": 2,
    }
    return first, second


def same(a, b) -> bool:
    return all(np.array_equal(a["params"][k].view(np.uint16), b["params"][k].view(np.uint16)) for k in b["params"])


def nbytes(tree) -> int:
    return sum(array.nbytes for array in tree["params"].values())


def copy(tree):
    return {"params": {k: v.copy() for k, v in tree["params"].items()}, "step": tree["step"]}


def test_a_step_travels_as_its_change_and_an_unchanged_one_as_next_to_nothing(wire, proxy, client, name, steps):
    first, second = steps
    wire.save(f"{name}@1", first)
    before = proxy.sent
    result = wire.save(f"{name}@2", second, parent=f"{name}@1", parent_tree=first)
    assert (proxy.sent - before) * 40 < nbytes(second)
    assert result.sent_bytes < proxy.sent - before
    assert same(client.load(f"{name}@2"), second)

    before = proxy.sent
    wire.save(f"{name}@3", second, parent=f"{name}@2", parent_tree=second)
    assert (proxy.sent - before) * 100 < nbytes(second)
    assert same(client.load(f"{name}@3"), second)


def test_an_inference_worker_goes_from_step_to_step_in_place(wire, proxy, client, name, steps):
    first, second = steps
    client.save(f"{name}@1", first)
    client.save(f"{name}@2", second)
    worker = copy(first)
    array = worker["params"]["w"]
    before = proxy.received
    assert wire.load(f"{name}@2", into=worker, have=f"{name}@1") is worker
    assert (proxy.received - before) * 40 < nbytes(second)
    assert worker["params"]["w"] is array and same(worker, second) and worker["step"] == 2

    before = proxy.received
    wire.load(f"{name}@2", into=worker, have=client.show(f"{name}@2"), streams=2)
    assert (proxy.received - before) * 100 < nbytes(second)
    assert same(worker, second)


def test_arrays_of_torch_and_arrays_that_are_no_plain_memory_are_updated_too(wire, proxy, client, name, steps):
    torch = pytest.importorskip("torch")
    first, second = steps
    client.save(f"{name}@1", first)
    client.save(f"{name}@2", second)
    tensor = torch.from_numpy(first["params"]["w"].view(np.int16).copy()).view(torch.bfloat16)
    strided = np.zeros((3000, 2), ml_dtypes.bfloat16)[:, 0]
    strided[...] = first["params"]["b"]
    before = proxy.received
    wire.load(f"{name}@2", into={"params": {"w": tensor, "b": strided}, "step": 0}, have=f"{name}@1")
    assert (proxy.received - before) * 40 < nbytes(second)
    assert np.array_equal(tensor.view(torch.int16).numpy().view(np.uint16), second["params"]["w"].view(np.uint16))
    assert np.array_equal(strided.view(np.uint16), second["params"]["b"].view(np.uint16))


def test_what_is_cast_is_compared_as_it_arrives(wire, proxy, client, name, steps):
    first, second = steps
    client.save(f"{name}@1", first)
    client.save(f"{name}@2", second)
    worker = {"params": {k: v.astype(np.float32) for k, v in first["params"].items()}, "step": 0}
    before = proxy.received
    wire.load(f"{name}@2", into=worker, have=f"{name}@1", dtype="float32")
    assert (proxy.received - before) * 40 < 2 * nbytes(second)
    assert all(np.array_equal(worker["params"][k], second["params"][k].astype(np.float32)) for k in ("w", "b"))


def test_a_part_of_a_tensor_is_updated_by_its_own_difference(wire, proxy, client, name, steps):
    first, second = steps
    client.save(f"{name}@1", first)
    client.save(f"{name}@2", second)
    half = np.ascontiguousarray(first["params"]["w"][:, 1024:])
    before = proxy.received
    into = {"params": {"w": cairn.Shard(half, (2048, 2048), (0, 1024))}}
    wire.load(f"{name}@2", select="params/w", into=into, have=f"{name}@1")
    assert (proxy.received - before) * 30 < half.nbytes
    assert np.array_equal(half.view(np.uint16), second["params"]["w"][:, 1024:].view(np.uint16))


def test_wrong_beliefs_cost_bytes_and_nothing_else(wire, proxy, client, name, steps):
    first, second = steps
    client.save(f"{name}@1", first)
    wrong = copy(first)
    wrong["params"]["w"][7, 7] += 1
    result = wire.save(f"{name}@2", second, parent=f"{name}@1", parent_tree=wrong)
    assert result.sent_bytes >= MIB and same(client.load(f"{name}@2"), second)
    wire.load(f"{name}@2", into=wrong, have=f"{name}@1")
    assert same(wrong, second)
    # And a tree with other arrays in it.
    other = {"params": {"w": weights(100, 5), "x": [1, 2]}}
    wire.save(f"{name}@3", second, parent=f"{name}@1", parent_tree=other)
    assert same(client.load(f"{name}@3"), second)


def test_what_does_not_go_together_is_refused(client, name, steps):
    first, _ = steps
    with pytest.raises(cairn.InvalidArgumentError, match="parent="):
        client.save(f"{name}@1", first, parent_tree=first)
    with pytest.raises(cairn.InvalidArgumentError, match="into="):
        client.load(f"{name}@1", have=f"{name}@0")
    client.save(f"{name}@1", first)
    with pytest.raises(cairn.NotFoundError, match="@7"):
        client.load(f"{name}@1", into=copy(first), have=f"{name}@7")
