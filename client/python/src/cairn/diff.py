"""Differences between checkpoints: reports, diffs that bring a checkpoint back, and what is recovered from them."""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from cairn import _native, dtypes, urls
from cairn.checkpoint import Checkpoint, Entry
from cairn.convert import _report, _side
from cairn.errors import InvalidArgumentError
from cairn.progress import ProgressCallback, Reporter
from cairn.report import diff_html, diff_text
from cairn.save import who

if TYPE_CHECKING:
    from cairn.client import Client

Difference: TypeAlias = Literal["equal", "changed", "value changed", "added", "removed", "reshaped", "recast"]
DiffMode: TypeAlias = Literal["exact", "arithmetic"]
Side: TypeAlias = "str | os.PathLike[str] | Checkpoint"


@dataclass(frozen=True, slots=True)
class DiffStatistics:
    """How the elements of two tensors differ, computed in float64. A complex number counts as its two parts.

    Elements that are NaN or infinite on either side are counted, and are in none of the differences.
    """

    has_values: bool
    """False for packed dtypes: compared byte by byte, without numbers."""
    elements: int
    changed: int
    """Other bits; of two dtypes: other numbers."""
    outside: int
    """Not within the tolerance."""
    base_nan: int
    base_infinite: int
    target_nan: int
    target_infinite: int
    max_absolute: float
    max_relative: float
    mean_absolute: float
    mean_relative: float
    """Of elements whose base is not zero, as `max_relative`."""
    norm: float
    """L2 of target - base."""
    base_norm: float
    cosine: float

    @property
    def changed_share(self) -> float:
        """0.0 to 1.0."""
        return self.changed / self.elements if self.elements else 0.0


@dataclass(frozen=True, slots=True)
class EntryDiff:
    """How one entry of two checkpoints differs."""

    path: str
    """Shown key path."""
    kind: str
    """``"tensor"``, ``"value"``, ``"alias"`` or ``"asset"``."""
    difference: Difference
    base: Entry | None
    """None for what was added."""
    target: Entry | None
    """None for what was removed."""
    statistics: DiffStatistics | None
    """Of tensors whose bytes were compared: not of those that are known to be equal by their digests."""
    close: bool
    """Changed, but every element within the tolerance."""


class DiffReport(Sequence[EntryDiff]):
    """What :func:`cairn.diff` found: one :class:`EntryDiff` for each entry, in the order of the target; then what was removed.

    Shows as a table in a notebook, and as text with ``print``.
    """

    def __init__(self, base: str, target: str, entries: Sequence[EntryDiff], *, tolerance: bool) -> None:
        self.base = base
        """As it was named."""
        self.target = target
        self.entries = tuple(entries)
        self._tolerance = tolerance

    @property
    def different(self) -> bool:
        """Some entry is neither equal nor, if there is a tolerance, close."""
        return bool(self.differences)

    @property
    def differences(self) -> list[EntryDiff]:
        """The entries that are neither equal nor, if there is a tolerance, close."""
        return [e for e in self.entries if e.difference != "equal" and not (self._tolerance and e.close)]

    @property
    def counts(self) -> dict[Difference, int]:
        """How many entries there are of each difference."""
        return dict(Counter(e.difference for e in self.entries))

    def summary(self) -> str:
        """One line: ``"3 entries: 2 equal, 1 changed"``."""
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        close = sum(e.close for e in self.entries) if self._tolerance else 0
        within = f" ({close} of them within the tolerance)" if close else ""
        entries = "1 entry" if len(self.entries) == 1 else f"{len(self.entries)} entries"
        return f"{entries}: {counts}{within}" if counts else entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> EntryDiff: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EntryDiff]: ...
    def __getitem__(self, index: int | slice) -> EntryDiff | Sequence[EntryDiff]:
        return self.entries[index]

    def __repr__(self) -> str:
        return f"<DiffReport {self.base} -> {self.target}: {self.summary()}>"

    def __str__(self) -> str:
        return diff_text(self)

    def _repr_html_(self) -> str:
        return diff_html(self)


@dataclass(frozen=True, slots=True)
class DiffResult:
    """A diff that was written."""

    path: pathlib.Path | None
    """The file, if it is one."""
    checkpoint: Checkpoint | None
    """The checkpoint, if it is one."""
    nbytes: int
    """Of an exact diff."""
    target_nbytes: int
    """Of what an exact diff brings back."""
    base_digest: str
    """Content digest (hex) of the base that an exact diff needs."""
    target_digest: str
    elements: int
    """Of an arithmetic diff,"""
    inexact_elements: int
    """and how many of them base + diff would not bring back exactly."""


@dataclass(frozen=True, slots=True)
class RecoverResult:
    """A checkpoint that was made from a base and a diff."""

    path: pathlib.Path | None
    """The file or folder, if it is one."""
    checkpoint: Checkpoint | None
    """The checkpoint, if it is one."""
    nbytes: int
    digest: str
    """Content digest (hex) that was verified. "" for an arithmetic diff, and if elements were cast."""


def diff(
    base: Side,
    target: Side,
    *,
    client: Client | None = None,
    select: str | Sequence[str] = (),
    atol: float | None = None,
    rtol: float | None = None,
    progress: ProgressCallback | bool | None = None,
) -> DiffReport:
    """Compares two checkpoints, entry by entry, in bounded memory. Formats may differ.

    Each side is a file or, with a `client`, a ref; :func:`cairn.convert` says which text means what. Two refs are compared by
    the daemon, and only the report travels.

    :param client: the daemon of a side that is a ref. Files need none.
    :param select: key paths, prefixes, globs, exclusions: only these entries of both.
    :param atol: elements are close if ``abs(target - base) <= atol + rtol * abs(base)``; None is 0.
    :param rtol: see `atol`. Without either, nothing that has other bits is close.
    :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
    :raises NotFoundError: if one of them is not there.
    :raises DataLossError: for a damaged file.

    >>> result = client.save("docs/diff@1", {"w": np.ones(4, np.float32), "b": np.zeros(2), "lr": 0.1})
    >>> result = client.save("docs/diff@2", {"w": np.array([1, 1, 1, 2], np.float32), "b": np.zeros(2), "lr": 0.1})
    >>> report = client.diff("docs/diff@1", "docs/diff@2")
    >>> report.different, report.summary()
    (True, '3 entries: 1 changed, 2 equal')
    >>> [(e.path, e.statistics.changed, e.statistics.max_absolute) for e in report.differences]
    [('w', 1, 1.0)]
    >>> client.diff("docs/diff@1", "docs/diff@2", atol=1.0).different
    False
    """
    base_text, base_client, base_shown = _place(base, client, is_source=True)
    target_text, target_client, target_shown = _place(target, client, is_source=True)
    for name, value in (("atol", atol), ("rtol", rtol)):
        if value is not None and not value >= 0:
            raise InvalidArgumentError(f"{name}: {value}; expected a number that is not negative")
    with Reporter(progress, f"diff {target_shown}") as callback:
        found = _native.diff(
            base_text,
            target_text,
            base_client=base_client,
            target_client=target_client,
            select=_patterns(select),
            absolute_tolerance=atol or 0.0,
            relative_tolerance=rtol or 0.0,
            progress=_report(callback),
        )
    entries = [_entry(e) for e in found.entries]
    return DiffReport(base_shown, target_shown, entries, tolerance=atol is not None or rtol is not None)


def write_diff(
    base: Side,
    target: Side,
    output: str | os.PathLike[str],
    *,
    mode: DiffMode = "exact",
    client: Client | None = None,
    select: str | Sequence[str] = (),
    dtype: Any = None,
    format: str = "",
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    progress: ProgressCallback | bool | None = None,
) -> DiffResult:
    """Writes what turns one checkpoint into another; :func:`cairn.recover` is the inverse.

    An exact diff keeps every bit: a ``.cairndiff`` file, or a ref that stores one. An arithmetic diff is target - base as an
    ordinary checkpoint of any format, what EasyLM's ``diff_checkpoint`` computes. Where all three are refs the daemon does it.

    :param output: a file, or ``NAME@STEP``.
    :param mode: ``"exact"`` or ``"arithmetic"``.
    :param client: the daemon of what is a ref. Files need none.
    :param select: only these entries of both.
    :param dtype: of an arithmetic diff: every float tensor becomes this. ``"keep"`` leaves them; None is bfloat16 for EasyLM
        files, else keep.
    :param format: of the file that is written, if its name or prefix does not say.
    :param overwrite: replace the output.
    :param metadata: of a checkpoint that is written; goes over what the diff says of itself.
    :param session_key: of a checkpoint that is written: the same key goes on where an interrupted call stopped.
    :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
    :raises NotFoundError: if one of the two is not there.
    :raises AlreadyExistsError: if the output exists, and not `overwrite`.
    :raises FailedPreconditionError: for trees that do not match, in arithmetic diffs.

    >>> result = client.write_diff("docs/diff@1", "docs/diff@2", "docs/delta@2")
    >>> client.recover("docs/diff@1", result.checkpoint, "docs/back@2").digest == result.target_digest
    True
    >>> client.diff("docs/diff@2", "docs/back@2").different
    False
    """
    exact = _is_exact(mode)
    if exact and dtype is not None:
        raise InvalidArgumentError('dtype: of mode="arithmetic"; an exact diff keeps every bit')
    base_text, base_client, _ = _place(base, client, is_source=True)
    target_text, target_client, _ = _place(target, client, is_source=True)
    output_text, output_client, output_shown = _place(output, client, is_source=False)
    with Reporter(progress, f"diff {output_shown}") as callback:
        found = _native.write_diff(
            base_text,
            target_text,
            output_text,
            base_client=base_client,
            target_client=target_client,
            output_client=output_client,
            exact=exact,
            select=_patterns(select),
            dtype=_dtype(dtype),
            format=format,
            overwrite=overwrite,
            metadata=metadata,
            session_key=session_key,
            created_by=who(),
            progress=_report(callback),
        )
    return DiffResult(
        _path(output_text, output_client),
        _checkpoint(client, found.checkpoint),
        found.diff_bytes,
        found.target_bytes,
        found.base_digest,
        found.target_digest,
        found.elements,
        found.inexact_elements,
    )


def recover(
    base: Side,
    diff: Side,
    output: str | os.PathLike[str],
    *,
    mode: DiffMode = "exact",
    client: Client | None = None,
    dtype: Any = None,
    format: str = "",
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    progress: ProgressCallback | bool | None = None,
) -> RecoverResult:
    """Makes a checkpoint from a base and what :func:`cairn.write_diff` has written. Nothing is visible before all of it is there.

    Every piece that an exact diff brings back is compared with its digest. Where all three are refs the daemon does it.

    :param base: what the diff was made from. Any format: what counts is the content.
    :param output: a file or folder, or ``NAME@STEP``.
    :param mode: ``"arithmetic"`` for a checkpoint of differences, which are added to the base.
    :param dtype: every float tensor becomes this. None leaves them, but for arithmetic diffs into EasyLM's files: bfloat16.
    :raises FailedPreconditionError: for another base than the diff needs, with the one that it needs.
    :raises DataLossError: for a damaged diff.

    The other parameters are those of :func:`cairn.write_diff`.

    >>> result = client.write_diff("docs/diff@1", "docs/diff@2", tmp_path / "delta.cairndiff")
    >>> result = client.recover("docs/diff@1", result.path, tmp_path / "back.msgpack")
    >>> client.diff("docs/diff@2", result.path, select="w").different
    False
    """
    exact = _is_exact(mode)
    base_text, base_client, _ = _place(base, client, is_source=True)
    diff_text, diff_client, _ = _place(diff, client, is_source=True)
    output_text, output_client, output_shown = _place(output, client, is_source=False)
    with Reporter(progress, f"recover {output_shown}") as callback:
        found = _native.recover(
            base_text,
            diff_text,
            output_text,
            base_client=base_client,
            diff_client=diff_client,
            output_client=output_client,
            exact=exact,
            dtype=_dtype(dtype),
            format=format,
            overwrite=overwrite,
            metadata=metadata,
            session_key=session_key,
            created_by=who(),
            progress=_report(callback),
        )
    return RecoverResult(
        _path(output_text, output_client), _checkpoint(client, found.checkpoint), found.bytes, found.target_digest
    )


def _place(side: Side, client: Client | None, *, is_source: bool) -> tuple[str, _native.Client | None, str]:
    """The text for the native module, the daemon of a ref, and what people are shown."""
    if isinstance(side, Checkpoint):
        text, is_file, shown = f"uid:{side.uid}", False, side.ref
    else:
        text, is_file = _side(side, is_source=is_source)
        shown = urls.shown(text)
        if urls.is_url(text):
            raise InvalidArgumentError(f'"{shown}": differences are made from files and refs; convert() reads and writes URLs')
    if is_file:
        return text, None, shown
    if client is None:
        raise InvalidArgumentError(
            f'"{shown}" is no file and needs a client; to name a file write "./{shown}" or pathlib.Path("{shown}")'
        )
    return text, client.native, shown


def _is_exact(mode: str) -> bool:
    if mode not in ("exact", "arithmetic"):
        raise InvalidArgumentError(f'mode: {mode!r}; expected "exact" or "arithmetic"')
    return mode == "exact"


def _dtype(dtype: Any) -> str | None:
    return "keep" if isinstance(dtype, str) and dtype == "keep" else None if dtype is None else dtypes.name_of(dtype)


def _patterns(select: str | Sequence[str]) -> tuple[str, ...]:
    return (select,) if isinstance(select, str) else tuple(select)


def _path(text: str, client: _native.Client | None) -> pathlib.Path | None:
    # What stands before the path says which format it is.
    return pathlib.Path(text.rpartition("::")[2]) if client is None else None


def _checkpoint(client: Client | None, found: _native.Checkpoint | None) -> Checkpoint | None:
    return None if found is None or client is None else Checkpoint(client, found)


def _entry(found: _native.EntryDiff) -> EntryDiff:
    base = None if found.base is None else Entry(found.base)
    target = None if found.target is None else Entry(found.target)
    shown = target if target is not None else base
    assert shown is not None  # One of the two has it.
    numbers = found.statistics
    statistics = None if numbers is None else DiffStatistics(**{f.name: getattr(numbers, f.name) for f in fields(DiffStatistics)})
    return EntryDiff(shown.path, shown.kind, found.difference, base, target, statistics, found.close)
