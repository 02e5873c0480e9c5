"""The extension: many threads, one client; one thread per stream; callbacks in between."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cairn import _native, errors

MIB = 1 << 20


def test_many_threads_share_a_client(native, name):
    def work(thread):
        rng = np.random.default_rng(thread)
        for step in range(4):
            ref = f"{name}-{thread}@{step}"
            saved = {(f"t{i}",): rng.random(rng.integers(1, 20_000)) for i in range(20)}
            writer = native.save(f"{name}-{thread}", step)
            for path, array in saved.items():
                writer.put_tensor(path, "float64", array.shape, array)
            writer.put_value(("thread",), thread)
            assert writer.commit().ref == ref
            stream = native.load(ref)
            for entry in stream:
                if entry.kind == "tensor":
                    out = np.empty(entry.shape)
                    stream.read_into(out)
                    assert (out == saved[entry.path]).all()
                else:
                    assert entry.value == thread
            native.get_checkpoint(ref)
            assert len(native.list_entries(ref)) == 21
            native.delete_checkpoint(ref)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_the_lock_is_free_while_bytes_move(native, name):
    """A thread that counts goes on counting while another one saves."""
    counted = 0
    stop = threading.Event()

    def count():
        nonlocal counted
        while not stop.wait(0.001):
            counted += 1

    counter = threading.Thread(target=count)
    counter.start()
    array = np.random.default_rng(0).integers(0, 255, 256 * MIB, dtype=np.uint8)
    writer = native.save(name, 1)
    begin = time.monotonic()
    before = counted
    writer.put_tensor(("w",), "uint8", array.shape, array)
    writer.commit()
    ticks = counted - before
    seconds = time.monotonic() - begin
    stop.set()
    counter.join()
    assert ticks > seconds * 1000 / 20


def blocked_save(native, name, **options):
    """A writer, and a put that goes on until `release` is set."""
    entered, release = threading.Event(), threading.Event()

    def make():
        entered.set()
        assert release.wait(60)
        return b"x"

    return native.save(name, 1, **options), make, entered, release


def test_a_second_thread_gets_an_error(native, name):
    writer, make, entered, release = blocked_save(native, name)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(writer.put_tensor, ("w",), "uint8", (1,), make)
        assert entered.wait(60)
        for use in (lambda: writer.put_value(("v",), 1), writer.flush, writer.commit, writer.close, writer.abort):
            with pytest.raises(errors.FailedPreconditionError, match="one thread at a time") as caught:
                use()
            assert caught.value.reason == "IN_USE"
        assert writer.progress().durable_entries == 0  # From any thread.
        release.set()
        put.result()
    writer.commit()


def test_another_thread_may_cancel(native, name):
    writer, make, entered, release = blocked_save(native, name)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(writer.put_tensor, ("w",), "uint8", (1,), make)
        assert entered.wait(60)
        writer.cancel()
        release.set()
        with pytest.raises(errors.CancelledError):
            put.result()
            writer.flush()
    writer.abort()
    writer.close()
    writer.cancel()


def test_a_closed_stream_says_so(native, name):
    writer = native.save(name, 1)
    writer.put_value(("v",), 1)
    writer.commit()
    writer.close()
    writer.close()
    assert writer.progress().durable_entries == 1
    with pytest.raises(errors.FailedPreconditionError, match="is closed"):
        writer.put_value(("v",), 1)
    stream = native.load(name)
    stream.close()
    stream.close()
    stream.cancel()
    with pytest.raises(errors.FailedPreconditionError, match="is closed"):
        stream.next()


def test_progress_is_told_within_the_calls(native, name):
    array = np.random.default_rng(0).integers(0, 255, 64 * MIB, dtype=np.uint8)
    saved, loaded = [], []
    writer = native.save(name, 1, progress=lambda p: saved.append((threading.get_ident(), p.durable_bytes)))
    writer.put_tensor(("w",), "uint8", array.shape, array)
    writer.commit()
    assert saved[-1] == (threading.get_ident(), array.nbytes)
    assert [n for _, n in saved] == sorted(n for _, n in saved)
    out = np.empty_like(array)
    stream = native.load(name, progress=lambda done, total: loaded.append((done, total)))
    stream.next()
    stream.read_into(out)
    assert loaded[-1] == (array.nbytes, array.nbytes) and loaded == sorted(loaded)
    checked = []
    native.verify(name, progress=lambda done, total: checked.append((done, total)))
    assert checked[-1][0] == checked[-1][1] > 0
    reports = []
    native.collect_garbage(dry_run=True, progress=reports.append)
    assert reports and isinstance(reports[-1], _native.GarbageReport)


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def test_what_a_progress_callback_raises_comes_out_of_the_call(native, name):
    array = np.zeros(4 * MIB, np.uint8)
    writer = native.save(name, 1, progress=stop)
    with pytest.raises(Stop):
        writer.put_tensor(("w",), "uint8", array.shape, array)
    with pytest.raises(errors.CancelledError):
        writer.put_value(("v",), 1)
    writer.abort()

    writer = native.save(name, 1)
    writer.put_tensor(("w",), "uint8", array.shape, array)
    writer.commit()
    stream = native.load(name, progress=stop)
    with pytest.raises(Stop):
        stream.next()
    with pytest.raises(errors.CancelledError):
        stream.next()
    with pytest.raises(Stop):
        native.verify(name, progress=stop)
    native.verify(name)


def test_a_callback_may_use_the_client_but_not_its_own_stream(native, name):
    seen = []

    def look(progress):
        seen.append(len(native.list_checkpoints(name=name)))
        writer.progress()
        with pytest.raises(errors.FailedPreconditionError):
            writer.put_value(("v",), 1)

    writer = native.save(name, 1, progress=look)
    writer.put_tensor(("w",), "uint8", (MIB,), np.zeros(MIB, np.uint8))
    writer.commit()
    assert seen[0] == 0


def test_a_callback_that_knows_its_stream_is_no_leak(native, name):
    class Trainer:
        def report(self, progress):
            pass

    trainer = Trainer()
    trainer.writer = native.save(name, 1, progress=trainer.report)
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None
