"""The streams that bring tensors, and the threads that they run in."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn import _native, dtypes
from cairn.errors import DataLossError
from cairn.progress import Meter, ProgressCallback
from cairn.sinks import Sink
from cairn.tree import Path

if TYPE_CHECKING:
    from cairn.client import Client

_MOST_REQUESTS = 2000
"""Of entries named in one call, so that a request stays small."""


@dataclass(slots=True, eq=False)
class Job:
    """A tensor of the checkpoint on its way to one sink."""

    path: Path
    dtype: str
    """As it arrives."""
    shape: tuple[int, ...]
    cast: str | None
    sink: Sink
    holds: bool = False
    """The sink's memory holds what the tensor was in the checkpoint that the caller has."""
    result: Any = None

    @property
    def shown(self) -> str:
        return _native.format_path(self.path)

    @property
    def nbytes(self) -> int:
        boxes = self.sink.boxes(self.shape)
        return (
            sum(dtypes.nbytes(self.dtype, extent) for _, extent in boxes)
            if boxes
            else dtypes.nbytes(self.dtype, self.shape)
        )


def fetch(
    client: Client, ref: str, jobs: Sequence[Job], streams: int, progress: ProgressCallback | None, have: str = ""
) -> None:
    """Brings all jobs to an end, or raises the first error of any of them.

    :param have: the checkpoint of which some jobs hold the bytes.
    """
    meter = Meter(sum(job.nbytes for job in jobs), progress)
    parts = [part for part in _split(jobs, streams) if part]
    if len(parts) <= 1:
        for part in parts:
            _Fetcher(client, ref, meter, 0, have).run(part)
        meter.finish()
        return
    fetchers = [_Fetcher(client, ref, meter, i, have) for i in range(len(parts))]
    with concurrent.futures.ThreadPoolExecutor(len(parts), thread_name_prefix="cairn-load") as pool:
        futures = [pool.submit(f.run, part) for f, part in zip(fetchers, parts, strict=True)]
        try:
            concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
            failed = [f for f in futures if f.done() and f.exception() is not None]
        finally:
            # After an error, and after an interrupt of the waiting thread.
            for fetcher, future in zip(fetchers, futures, strict=True):
                if not future.done():
                    fetcher.cancel()
    for future in failed:
        future.result()
    meter.finish()


def _split(jobs: Sequence[Job], streams: int) -> list[list[Job]]:
    """The jobs in `streams` parts of about the same bytes."""
    parts: list[list[Job]] = [[] for _ in range(streams)]
    load = [0] * streams
    for job in sorted(jobs, key=lambda job: -job.nbytes) if streams > 1 else jobs:
        lightest = load.index(min(load))
        parts[lightest].append(job)
        load[lightest] += job.nbytes
    return parts


class _Fetcher:
    """One stream after the other, each for a number of jobs that want the same cast."""

    def __init__(self, client: Client, ref: str, meter: Meter, part: int, have: str) -> None:
        self._client = client
        self._ref = ref
        self._meter = meter
        self._part = part
        self._have = have
        self._done = 0
        self._lock = threading.Lock()
        self._stream: _native.LoadStream | None = None
        self._cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._stream is not None:
                self._stream.cancel()

    def run(self, jobs: Sequence[Job]) -> None:
        for batch in _batches(jobs):
            done = self._done

            def report(read: int, _total: int, done: int = done) -> None:
                self._meter.update(done + read, part=self._part)

            boxed = [(job.path, *box) for job in batch for box in job.sink.boxes(job.shape)]
            stream = self._client.native.load(
                self._ref,
                paths=[] if boxed else [job.path for job in batch],
                boxes=boxed,
                float_dtype=batch[0].cast,
                have_ref=self._have if batch[0].holds else "",
                progress=report if self._meter.watched else None,
            )
            with self._lock:
                self._stream = stream
                if self._cancelled:
                    stream.cancel()
            try:
                for job in batch:
                    _receive(stream, job)
                self._done += stream.bytes_read
            finally:
                stream.close()


def _batches(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs of one cast that want wholes, or boxes, and hold something, or nothing. Order is kept within each."""
    kinds: dict[tuple[str | None, bool, bool], list[Job]] = {}
    for job in jobs:
        kinds.setdefault((job.cast, bool(job.sink.boxes(job.shape)), job.holds), []).append(job)
    for same in kinds.values():
        for start in range(0, len(same), _MOST_REQUESTS):
            yield same[start : start + _MOST_REQUESTS]


def _receive(stream: _native.LoadStream, job: Job) -> None:
    for memory in job.sink.open(job.dtype, job.shape, job.shown):
        entry = stream.next()
        wanted = int(np.asarray(memory).nbytes)
        if entry is None or entry.path != job.path or entry.dtype != job.dtype or entry.bytes != wanted:
            raise DataLossError(
                f'{stream.checkpoint.ref}: asked for "{job.shown}" ({job.dtype}, {wanted} bytes), got {entry!r}'
            )
        stream.read_into(memory)
    job.result = job.sink.close()
