"""How far a save or a load has come, for callbacks and for people."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """What a progress callback is given.

    It is called a few times a second in the thread that saves or loads (with several streams: in one of theirs,
    never in two at once), and once at the end. What it raises ends the save or load and comes out of it.
    """

    bytes: int
    """Done: durable in the daemon, or arrived here. Those that an earlier attempt had sent are included."""
    total: int
    """Of the whole save or load."""
    rate: float
    """Bytes per second since the beginning, without what was there already."""
    eta: float | None
    """Seconds that are left at this rate; None while nobody can say."""

    @property
    def fraction(self) -> float:
        """0.0 to 1.0."""
        return self.bytes / self.total if self.total else 1.0

    def __str__(self) -> str:
        left = "" if self.eta is None else f"  {_clock(self.eta)} left"
        return (
            f"{self.fraction:4.0%}  {human_bytes(self.bytes)} of {human_bytes(self.total)}  "
            f"{human_bytes(self.rate)}/s{left}"
        )


ProgressCallback: TypeAlias = Callable[[Progress], object]


class Meter:
    """Makes `Progress` objects of byte counts. Any number of threads."""

    def __init__(self, total: int, callback: ProgressCallback | None) -> None:
        self._total = total
        self._callback = callback
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._parts: dict[int, int] = {}

    @property
    def watched(self) -> bool:
        """Anybody wants to know."""
        return self._callback is not None

    def finish(self) -> None:
        """Everything is done."""
        with self._lock:
            self._parts = {}
        self.update(self._total)

    def update(self, done: int, *, already: int = 0, part: int = 0) -> None:
        """`done` bytes of one stream, of which `already` took no time."""
        if self._callback is None:
            return
        with self._lock:
            self._parts[part] = done
            total_done = min(sum(self._parts.values()), self._total)
            seconds = time.monotonic() - self._start
            rate = max(total_done - already, 0) / seconds if seconds > 0 else 0.0
            left = self._total - total_done
            eta = left / rate if rate > 0 else (0.0 if left == 0 else None)
            self._callback(Progress(total_done, self._total, rate, eta))


class Line:
    """Draws one line on a terminal, over and over. Elsewhere it writes the last one only."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._width = 0
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        self._last = f"{self._label}  {progress}"
        if self._stream.isatty():
            self._stream.write("\r" + self._last.ljust(self._width))
            self._stream.flush()
            self._width = len(self._last)

    def close(self) -> None:
        """Ends the line."""
        if self._last:
            self._stream.write("\n" if self._stream.isatty() else self._last + "\n")
            self._stream.flush()


class Reporter:
    """What ``progress=`` asks for, as a context: a callable, True (a line on standard error), or nothing."""

    def __init__(self, progress: ProgressCallback | bool | None, label: str) -> None:
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"progress: {progress!r}; expected a function of a cairn.Progress, True or None")
        self._line = Line(label) if progress is True else None
        self.callback: ProgressCallback | None = self._line or (progress if callable(progress) else None)

    def __enter__(self) -> ProgressCallback | None:
        return self.callback

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.close()


def human_bytes(count: float) -> str:
    """
    >>> human_bytes(0), human_bytes(1536), human_bytes(5 << 30)
    ('0 B', '1.5 KiB', '5.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
