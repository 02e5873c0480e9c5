"""How checkpoints look: as text, and as HTML for notebooks. Everything from a checkpoint is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cairn.progress import human_bytes

if TYPE_CHECKING:
    from cairn.checkpoint import Checkpoint, Entry
    from cairn.diff import DiffReport, EntryDiff

_MOST_ROWS = 40
_MOST_WIDTH = 60


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Several lines: the facts, then the first entries if they have been loaded."""
    lines = [checkpoint.ref]
    lines += [f"  {name:<9} {printable(text)}" for name, text in _facts(checkpoint)]
    entries = checkpoint.loaded_entries
    if entries:
        rows = [("path", "kind", "dtype", "shape", "bytes", "value"), *(_row(e) for e in entries[:_MOST_ROWS])]
        lines += ["", *("  " + line for line in _aligned(rows))]
        if len(entries) > _MOST_ROWS:
            lines.append(f"  ... and {len(entries) - _MOST_ROWS} more")
    return "\n".join(lines)


def checkpoint_html(checkpoint: Checkpoint) -> str:
    """A table of facts and, below it, one of entries."""
    facts = "".join(
        f"<tr><th style='text-align:left'>{_escaped(name)}</th><td style='text-align:left'>{_escaped(text)}</td></tr>"
        for name, text in _facts(checkpoint)
    )
    text = f"<div><b>{_escaped(checkpoint.ref)}</b><table>{facts}</table>"
    entries = checkpoint.loaded_entries
    if entries:
        title = f"{len(entries)} entries"
        if len(entries) > _MOST_ROWS:
            title += f", the first {_MOST_ROWS}"
        rows = [_row(e) for e in entries[:_MOST_ROWS]]
        text += f"<details open><summary>{title}</summary>"
        text += _html_table(("path", "kind", "dtype", "shape", "bytes", "value"), rows) + "</details>"
    return text + "</div>"


def listing_text(checkpoints: Sequence[Checkpoint]) -> str:
    """One line for each."""
    if not checkpoints:
        return "no checkpoints"
    return "\n".join(_aligned([_LISTING, *(_listing_row(c) for c in checkpoints)]))


def listing_html(checkpoints: Sequence[Checkpoint]) -> str:
    return _html_table(_LISTING, [_listing_row(c) for c in checkpoints]) if checkpoints else "<i>no checkpoints</i>"


_LISTING = ("ref", "bytes", "new", "saved", "tags", "by")


def _listing_row(checkpoint: Checkpoint) -> tuple[str, ...]:
    return (
        checkpoint.ref,
        human_bytes(checkpoint.nbytes),
        human_bytes(checkpoint.new_bytes),
        f"{checkpoint.saved:%Y-%m-%d %H:%M} UTC",
        ", ".join(checkpoint.tags),
        checkpoint.saved_by,
    )


_DIFF = ("path", "difference", "base", "target", "changed", "abs max", "rel max", "L2")


def diff_text(report: DiffReport) -> str:
    """The totals, then a line for each of the first entries that differ."""
    shown = [entry for entry in report if entry.difference != "equal"]
    lines = [f"{report.base} -> {report.target}", f"  {report.summary()}"]
    if shown:
        lines += ["", *("  " + line for line in _aligned([_DIFF, *(_diff_row(e) for e in shown[:_MOST_ROWS])]))]
    if len(shown) > _MOST_ROWS:
        lines.append(f"  ... and {len(shown) - _MOST_ROWS} more")
    return "\n".join(lines)


def diff_html(report: DiffReport) -> str:
    shown = [entry for entry in report if entry.difference != "equal"]
    text = f"<div><b>{_escaped(report.base)} &rarr; {_escaped(report.target)}</b><br>{_escaped(report.summary())}"
    if shown:
        text += _html_table(_DIFF, [_diff_row(e) for e in shown[:_MOST_ROWS]])
    if len(shown) > _MOST_ROWS:
        text += f"... and {len(shown) - _MOST_ROWS} more"
    return text + "</div>"


def _diff_row(entry: EntryDiff) -> tuple[str, ...]:
    numbers = entry.statistics
    difference = f"{entry.difference} (close)" if entry.close else entry.difference
    row = (entry.path, difference, _layout(entry.base), _layout(entry.target))
    if numbers is None:
        return (*row, "", "", "", "")
    share = f"{numbers.changed} of {numbers.elements}"
    if not numbers.has_values:
        return (*row, share, "", "", "")
    return (*row, share, f"{numbers.max_absolute:.4g}", f"{numbers.max_relative:.4g}", f"{numbers.norm:.4g}")


def _layout(entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.kind == "tensor":
        return f"{entry.dtype} {list(entry.shape or ())}"
    if entry.kind == "asset":
        return human_bytes(entry.nbytes)
    return f"= {entry.target}" if entry.kind == "alias" else _value(entry)


def _facts(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    facts = [
        ("uid", checkpoint.uid),
        ("saved", f"{checkpoint.saved:%Y-%m-%d %H:%M:%S} UTC by {checkpoint.saved_by or 'unknown'}"),
        ("tags", ", ".join(checkpoint.tags)),
        ("bytes", f"{human_bytes(checkpoint.nbytes)}, {human_bytes(checkpoint.new_bytes)} of them new"),
        ("parent", checkpoint.parent),
        ("metadata", ", ".join(f"{key}={value}" for key, value in checkpoint.metadata.items())),
    ]
    return [(name, text) for name, text in facts if text]


def _row(entry: Entry) -> tuple[str, ...]:
    tensor = entry.kind == "tensor"
    shape = "×".join(str(n) for n in entry.shape or ()) or "scalar" if tensor else ""
    size = human_bytes(entry.nbytes) if entry.kind in ("tensor", "asset") else ""
    value = {"value": _value(entry), "alias": f"= {entry.target}"}.get(entry.kind, "")
    return (entry.path, entry.kind, entry.dtype or "", shape, size, value)


def _value(entry: Entry) -> str:
    if entry.kind != "value":
        return ""
    value: Any = entry.value
    return value if entry.is_mark else repr(value)


def printable(text: str) -> str:
    """Without characters that move a cursor or colour a terminal, and not too long."""
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= _MOST_WIDTH * 4 else text[: _MOST_WIDTH * 4 - 3] + "..."


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    shown = [tuple(_short(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _short(cell: str) -> str:
    cell = printable(cell)
    return cell if len(cell) <= _MOST_WIDTH else cell[: _MOST_WIDTH - 3] + "..."


def _html_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th style='text-align:left'>{_escaped(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{_escaped(_short(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
