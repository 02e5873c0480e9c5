"""The extension: an interrupt ends what the main thread waits for, soon and cleanly."""

import contextlib
import mmap
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest

import cairn.testing
from cairn import _native, errors

MIB = 1 << 20
SOON = 5.0


@contextlib.contextmanager
def interrupt_after(seconds):
    """Ctrl-C, a moment from now; it must have come out of the block soon."""
    assert threading.current_thread() is threading.main_thread()
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()
    assert time.monotonic() - begin < seconds + SOON


@pytest.fixture
def nobody():
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("localhost", 0)) as listener:
        yield f"localhost:{listener.getsockname()[1]}"


@pytest.fixture
def frozen(own_server):
    """Stops and wakes the daemon."""
    pid = own_server._daemon_pid
    yield lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)


def test_a_call_that_finds_nobody(nobody):
    client = _native.Client(nobody)
    with interrupt_after(0.3):
        client.server_info()
    with interrupt_after(0.3):
        client.save("a", 1)
    with interrupt_after(0.3):
        client.load("a")


def test_a_call_that_is_tried_again_and_again():
    client = _native.Client("unix:/nowhere/cairn.sock")
    with interrupt_after(0.5):
        client.server_info()


def test_a_save_whose_daemon_does_not_answer(own_server, frozen):
    client = _native.Client(own_server.target)
    writer = client.save("interrupted", 1, session_key="k")
    array = np.random.default_rng(0).integers(0, 255, 64 * MIB, dtype=np.uint8)
    frozen()
    with interrupt_after(0.5):
        writer.put_tensor(("w",), "uint8", array.shape, array)
        writer.flush()
    with pytest.raises(errors.CancelledError):
        writer.put_value(("v",), 1)


def test_an_interrupted_save_goes_on_with_its_key(own_server, frozen):
    client = _native.Client(own_server.target)
    array = np.random.default_rng(0).integers(0, 255, 8 * MIB, dtype=np.uint8)
    writer = client.save("interrupted", 1, session_key="k")
    writer.put_tensor(("a",), "uint8", array.shape, array)
    writer.flush()
    frozen()
    with interrupt_after(0.3):
        writer.commit()
    del writer
    os.kill(own_server._daemon_pid, signal.SIGCONT)
    again = client.save("interrupted", 1, session_key="k")
    again.put_tensor(("a",), "uint8", array.shape, array)
    again.commit()
    assert again.progress().skipped_bytes == array.nbytes or again.nothing_to_send


def test_a_load_whose_daemon_does_not_answer():
    # A daemon that hands its files over is not needed any more once it has.
    with cairn.testing.server(hand_over_files=False) as server:
        client = _native.Client(server.target)
        array = np.random.default_rng(0).integers(0, 255, 64 * MIB, dtype=np.uint8)
        writer = client.save("interrupted", 1)
        writer.put_tensor(("w",), "uint8", array.shape, array)
        writer.commit()
        stream = client.load("interrupted")
        stream.next()
        os.kill(server._daemon_pid, signal.SIGSTOP)
        try:
            with interrupt_after(0.5):
                stream.read_into(np.empty_like(array))
            with pytest.raises(errors.CancelledError):
                stream.next()
        finally:
            os.kill(server._daemon_pid, signal.SIGCONT)


def test_a_long_put_of_one_entry(native, name):
    """Bytes move all the time, so that nothing ever waits for long."""
    size = 1 << 36  # More than anybody sends; pages that were never written take no memory.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, size, flags=flags, prot=mmap.PROT_READ) as memory:
        writer = native.save(name, 1)
        with interrupt_after(0.3):
            writer.put_tensor(("w",), "uint8", (size,), memory)
        writer.abort()
        writer.close()


def test_other_signals_run_their_handlers(nobody):
    client = _native.Client(nobody)
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with interrupt_after(0.8):
            client.server_info()
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen == [1]


def test_a_conversion(tmp_path, native, name):
    array = np.zeros(256 * MIB, np.uint8)
    writer = native.save(name, 1)
    writer.put_tensor(("w",), "uint8", array.shape, array)
    writer.commit()
    calls = []

    def slow(progress):
        calls.append(progress.bytes_done)
        time.sleep(0.05)

    with interrupt_after(0.1):
        while True:
            _native.convert(name, str(tmp_path / "out.safetensors"), source_client=native, overwrite=True, progress=slow)
    assert not [p for p in tmp_path.iterdir() if p.name != "out.safetensors"]
