"""The extension: a daemon that is killed and started again during a save, during a load, and between."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from cairn import _native, errors

MIB = 1 << 20


@pytest.fixture
def array():
    return np.random.default_rng(3).integers(0, 255, (48, MIB), dtype=np.uint8)


def restart(server):
    server.kill()
    server.start()


def test_a_save_survives_a_restart(own_server, array):
    client = _native.Client(own_server.target, retry_for=60, max_unacknowledged_bytes=8 * MIB)
    writer = client.save("resumed", 1)
    for i, row in enumerate(array):
        writer.put_tensor((i,), "uint8", row.shape, row)
        if i in (10, 30):
            restart(own_server)
    writer.commit()
    progress = writer.progress()
    assert progress.reconnects >= 2 and progress.durable_bytes == array.nbytes
    assert progress.sent_bytes < 2 * array.nbytes
    check(client, array)


def check(client, array):
    stream = client.load("resumed")
    for entry in stream:
        out = np.empty(MIB, np.uint8)
        stream.read_into(out)
        assert (out == array[entry.path[0]]).all()


def test_a_load_survives_a_restart(own_server, array):
    client = _native.Client(own_server.target, retry_for=60, window_bytes=1 * MIB)
    writer = client.save("resumed", 1)
    writer.put_tensor(("w",), "uint8", array.shape, array)
    writer.put_tensor(("x",), "uint8", array.shape, array[::-1].copy())
    writer.commit()
    stream = client.load("resumed")
    stream.next()
    restart(own_server)
    out = np.empty_like(array)
    stream.read_into(out)
    assert (out == array).all()
    stream.next()
    restart(own_server)
    stream.read_into(out)
    assert (out == array[::-1]).all() and stream.next() is None


def test_a_restart_in_the_middle_of_a_call(own_server, array):
    client = _native.Client(own_server.target, retry_for=60, max_unacknowledged_bytes=8 * MIB)
    writer = client.save("resumed", 1)
    for i, row in enumerate(array[:4]):
        writer.put_tensor((i,), "uint8", row.shape, row)
    thread = threading.Thread(target=restart, args=(own_server,))
    thread.start()
    for i, row in enumerate(array[4:], 4):
        writer.put_tensor((i,), "uint8", row.shape, row)
    writer.flush()
    thread.join()
    writer.commit()
    check(client, array)


def test_another_process_goes_on_with_the_same_key(own_server, array):
    script = """
        import os, sys
        import numpy as np
        from cairn import _native
        array = np.random.default_rng(3).integers(0, 255, (48, 1 << 20), dtype=np.uint8)
        writer = _native.Client(sys.argv[1]).save("resumed", 1, session_key="job-7")
        for i in range(20):
            writer.put_tensor((i,), "uint8", array[i].shape, array[i])
        writer.flush()
        os._exit(9)  # As if it were killed.
        """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script), own_server.target], check=False)
    assert run.returncode == 9
    client = _native.Client(own_server.target)
    writer = client.save("resumed", 1, session_key="job-7")
    for i, row in enumerate(array):
        writer.put_tensor((i,), "uint8", row.shape, row)
    writer.commit()
    assert writer.progress().skipped_bytes == 20 * MIB and writer.progress().sent_bytes == 28 * MIB
    check(client, array)
    once_more = client.save("resumed", 1, session_key="job-7")
    assert once_more.nothing_to_send and once_more.session.state == "committed"
    once_more.put_value(("never sent",), 1)
    assert once_more.commit() .uid == client.get_checkpoint("resumed").uid


def test_who_never_comes_back_is_unavailable(own_server, array):
    client = _native.Client(own_server.target, retry_for=1)
    writer = client.save("resumed", 1)
    own_server.kill()
    with pytest.raises(errors.UnavailableError, match="cannot reach cairnd at unix:"):
        writer.put_tensor(("w",), "uint8", array.shape, array)
        writer.flush()
    with pytest.raises(errors.UnavailableError):
        client.server_info()
