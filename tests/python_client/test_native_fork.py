"""The extension and fork(): what works, and what fails loudly instead of hanging."""

import multiprocessing
import os
import subprocess
import sys
import textwrap

import pytest

SECONDS = 60


def run(script, *arguments):
    """Runs a script in a fresh interpreter, which must end in time."""
    program = textwrap.dedent(script)
    found = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_to_import_and_then_to_fork_is_fine(target):
    out = run(
        """
        import os, sys
        from cairn import _native
        pid = os.fork()
        client = _native.Client(sys.argv[1])
        client.server_info()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        print("child" if pid == 0 else "parent", flush=True)
        """,
        target,
    )
    assert sorted(out.split()) == ["child", "parent"]


def test_what_was_made_before_a_fork_is_refused_in_the_child(target):
    out = run(
        """
        import gc, os, sys, weakref
        import numpy as np
        from cairn import _native
        class Memory(np.ndarray):
            pass
        client = _native.Client(sys.argv[1])
        writer = client.save("fork/a", 1)
        array = np.zeros(3, np.uint8).view(Memory)
        writer.put_tensor(("w",), "uint8", (3,), array)
        gone = weakref.ref(array)
        del array
        done = client.save("fork/b", 1)
        done.put_asset("w", bytes(1 << 20))
        done.commit()
        stream = client.load("fork/b")
        stream.next()
        if os.fork() == 0:
            for use in (
                lambda: client.server_info(),
                lambda: client.save("fork/c", 1),
                lambda: writer.put_value(("v",), 1),
                lambda: writer.cancel(),
                lambda: writer.progress(),
                lambda: writer.abort(),
                lambda: stream.read_bytes(),
                lambda: stream.cancel(),
                lambda: _native.Client(sys.argv[1]),
                lambda: _native.convert("x", "y", source_client=client),
            ):
                try:
                    use()
                    print("used")
                except Exception as error:
                    print(error.reason, "spawn" in str(error))
            writer.close()
            stream.close()
            del client, writer, stream, done
            gc.collect()
            print("not destroyed", gone() is not None)
            sys.stdout.flush()
            sys.exit(0)  # The whole way out: destructors, exit handlers.
        assert os.wait()[1] == 0
        stream.read_bytes()
        writer.commit()
        print("the parent goes on")
        """,
        target,
    )
    assert out.splitlines() == ["FORKED True"] * 10 + ["not destroyed True", "the parent goes on"]


def test_a_child_that_just_ends_does_not_hang(target):
    run(
        """
        import os, sys
        from cairn import _native
        client = _native.Client(sys.argv[1])
        writer = client.save("fork/d", 1)
        writer.put_tensor(("w",), "uint8", (1 << 20,), bytes(1 << 20))
        stream = None
        pids = []
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            pids.append(pid)
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
        writer.commit()
        """,
        target,
    )


def test_a_fork_in_the_middle_of_traffic_leaves_no_child_behind(target):
    """Whatever lock another thread holds at that moment, nothing in the child waits for it."""
    run(
        """
        import os, sys, threading
        from cairn import _native
        client = _native.Client(sys.argv[1])
        stop = threading.Event()
        held = []
        def work(i):
            step = 0
            while not stop.is_set():
                writer = client.save(f"fork/traffic-{i}", step)
                held[:] = [writer]
                for k in range(50):
                    writer.put_tensor((k,), "uint8", (100_000,), bytes(100_000))
                writer.commit()
                step += 1
        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        pids = []
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                held.clear()
                del client
                os._exit(0)
            pids.append(pid)
        stop.set()
        for thread in threads:
            thread.join()
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
        """,
        target,
    )


def save_and_load(target, name):
    from cairn import _native

    client = _native.Client(target)
    writer = client.save(name, 1)
    writer.put_value(("pid",), os.getpid())
    writer.commit()
    return client.load(name).next().value


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_started_anew_work_beside_a_client(native, target, name, method):
    native.server_info()
    with multiprocessing.get_context(method).Pool(2) as pool:
        pids = pool.starmap(save_and_load, [(target, f"{name}-{method}-{i}") for i in range(4)])
    assert os.getpid() not in pids


def test_a_subprocess_is_no_fork(native):
    native.server_info()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    native.server_info()
