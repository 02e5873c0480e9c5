"""Files to files, files to checkpoints and back, in bounded memory."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cairn import _native, dtypes
from cairn.checkpoint import Checkpoint
from cairn.errors import InvalidArgumentError
from cairn.progress import Meter, ProgressCallback, Reporter
from cairn.save import who

if TYPE_CHECKING:
    from cairn.client import Client

_PATH_BEGINNINGS = ("/", "./", "../", "~")


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion has written."""

    entries: int
    nbytes: int
    dtype: str | None
    """What float tensors were cast to; None if they were kept."""
    casts: int
    """How many tensors that changed."""
    path: pathlib.Path | None
    """The file or folder, if the target is one."""
    checkpoint: Checkpoint | None
    """The checkpoint, if the target is one."""


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    client: Client | None = None,
    select: str | Sequence[str] = (),
    dtype: Any = None,
    format: str = "",
    root: str = "",
    weights_only: bool = False,
    optimizer: bool = True,
    max_shard_bytes: int = 0,
    separator: str = ".",
    drop_unsupported: bool = False,
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    parent: str = "",
    session_key: str = "",
    progress: ProgressCallback | bool | None = None,
) -> ConvertResult:
    """Turns a checkpoint into another, in bounded memory and without running any pickle.

    Each side is a file or, with a `client`, a ref. A :class:`pathlib.Path` is a file; so is a text with a prefix of
    a format (``"params::out"``) or one that begins like a path (``"./out"``, ``"/out"``); as a source also a file
    that exists. Any other text is a ref.

    :param client: the daemon of a side that is a ref. Files need none.
    :param select: key paths, prefixes, globs, exclusions.
    :param dtype: every float tensor becomes this. ``"keep"`` leaves them; None is bfloat16 for EasyLM files, else keep.
    :param format: of the file that is written, if its name or prefix does not say.
    :param root: only what lies below this key path, as a tree of its own.
    :param weights_only: only the weights of the model, wherever they are (:func:`cairn.find_weights`), as a tree of their own.
    :param optimizer: False is ``weights_only=True``, as EasyLM says it.
    :param max_shard_bytes: size at which another file of a folder is begun; 0: one file.
    :param separator: between the segments of a key path, in formats of flat names.
    :param drop_unsupported: leave out what the format cannot hold; otherwise that is an error. Never a tensor.
    :param overwrite: replace the target.
    :param metadata: of a checkpoint that is written; goes over what the source says of itself.
    :param parent: of a checkpoint that is written.
    :param session_key: of a checkpoint that is written.
    :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
    :raises NotFoundError: if there is no such source.
    :raises AlreadyExistsError: if the target exists, and not `overwrite`.
    :raises InvalidArgumentError: for entries that the format cannot hold, by name.
    :raises DataLossError: for a damaged file.

    >>> result = client.save("docs/convert@1", {"w": np.ones(4, np.float32)})
    >>> result = client.convert("docs/convert@1", tmp_path / "w.safetensors", dtype="bfloat16")
    >>> result.entries, result.nbytes, result.dtype
    (1, 8, 'bfloat16')
    >>> cairn.convert(tmp_path / "w.safetensors", tmp_path / "again.safetensors", dtype="float32").casts
    1
    """
    source_text, source_is_file = _side(source, is_source=True)
    target_text, target_is_file = _side(target, is_source=False)
    for text, is_file in ((source_text, source_is_file), (target_text, target_is_file)):
        if not is_file and client is None:
            raise InvalidArgumentError(
                f'"{text}" is no file and needs a client; to name a file write "./{text}" or pathlib.Path("{text}")'
            )
    native = None if client is None else client.native
    with Reporter(progress, f"convert to {target_text}") as callback:
        found = _native.convert(
            source_text,
            target_text,
            source_client=None if source_is_file else native,
            target_client=None if target_is_file else native,
            select=(select,) if isinstance(select, str) else tuple(select),
            root=root,
            weights_only=weights_only or not optimizer,
            dtype=None
            if dtype is None
            else "keep"
            if isinstance(dtype, str) and dtype == "keep"
            else dtypes.name_of(dtype),
            format=format,
            max_shard_bytes=max_shard_bytes,
            separator=separator,
            drop_unsupported=drop_unsupported,
            overwrite=overwrite,
            metadata=metadata,
            parent=parent,
            session_key=session_key,
            created_by=who(),
            progress=_report(callback),
        )
    return ConvertResult(
        found.entries,
        found.bytes,
        found.float_dtype,
        found.casts,
        pathlib.Path(found.path) if found.path else None,
        None if found.checkpoint is None or client is None else Checkpoint(client, found.checkpoint),
    )


def _side(side: str | os.PathLike[str], *, is_source: bool) -> tuple[str, bool]:
    """The text for the native module, and whether it names a file."""
    if not isinstance(side, str):
        return os.fspath(side), True
    if side.startswith("~"):
        return os.path.expanduser(side), True
    if "::" in side or side.startswith(_PATH_BEGINNINGS):
        return side, True
    return side, is_source and "@" not in side and os.path.exists(side)


def _report(callback: ProgressCallback | None) -> Any:
    if callback is None:
        return None
    meters: dict[int, Meter] = {}

    def report(progress: _native.ConvertProgress) -> None:
        meter = meters.setdefault(progress.bytes_total, Meter(progress.bytes_total, callback))
        meter.update(progress.bytes_done, already=progress.bytes_skipped)

    return report
