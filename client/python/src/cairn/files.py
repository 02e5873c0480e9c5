"""Files whose format the daemon makes or reads: `Client.export` and `Client.import_`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cairn import _native, dtypes, recipe
from cairn.checkpoint import Checkpoint, named, ref_of
from cairn.errors import InvalidArgumentError
from cairn.progress import Meter, ProgressCallback, Reporter
from cairn.save import who
from cairn.urls import is_url, shown

if TYPE_CHECKING:
    from cairn.client import Client


@dataclass(frozen=True, slots=True)
class FilesResult:
    """What an export or import has moved."""

    entries: int
    nbytes: int
    """Of tensors and assets."""
    already: int
    """Of these, what an earlier import with the same session key had brought."""
    format: str
    """Of the files."""
    checkpoint: Checkpoint
    """What was exported, or what came of the import."""
    left_out: tuple[str, ...]
    """What of the source nothing can carry, in words."""


def export(
    client: Client,
    ref: str | Checkpoint,
    path: str | os.PathLike[str],
    *,
    format: str = "",
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    root: str = "",
    weights_only: bool = False,
    dtype: Any = None,
    strip_prefix: str = "",
    rename: Mapping[str, str] | recipe.PathLike | None = None,
    map: str = "",
    map_files: recipe.PathLike | Sequence[recipe.PathLike] = (),
    map_config: recipe.PathLike | Sequence[recipe.PathLike] = (),
    map_symbols: Mapping[str, int] | None = None,
    prefix: str = "",
    strict: bool = False,
    max_shard_size: int | str = 0,
    max_shard_bytes: int = 0,
    parts: int = 0,
    separator: str = ".",
    drop_unsupported: bool = False,
    overwrite: bool = False,
    progress: ProgressCallback | bool | None = None,
) -> FilesResult:
    """See :meth:`cairn.Client.export`."""
    label = ref.ref if isinstance(ref, Checkpoint) else ref
    with Reporter(progress, f"export {label}") as callback, named(ref):
        found = _native.export_files(
            client.native,
            ref_of(ref),
            _text(path),
            format=format,
            select=recipe.patterns(select),
            exclude=recipe.patterns(exclude),
            root=root,
            weights_only=weights_only,
            float_dtype=_float_dtype(dtype),
            strip_prefix=strip_prefix,
            renames=recipe.renames(rename),
            map=map,
            map_files=recipe.maps(map, map_files),
            map_configs=recipe.configs(map_config),
            map_symbols=map_symbols,
            prefix=prefix,
            strict=strict,
            max_shard_bytes=recipe.shard_size(max_shard_size, max_shard_bytes),
            parts=parts,
            separator=separator,
            drop_unsupported=drop_unsupported,
            overwrite=overwrite,
            progress=_report(callback),
        )
    return _result(client, found, found.target_format)


def import_(
    client: Client,
    path: str | os.PathLike[str],
    ref: str,
    *,
    format: str = "",
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    root: str = "",
    weights_only: bool = False,
    dtype: Any = None,
    strip_prefix: str = "",
    rename: Mapping[str, str] | recipe.PathLike | None = None,
    map: str = "",
    map_files: recipe.PathLike | Sequence[recipe.PathLike] = (),
    map_config: recipe.PathLike | Sequence[recipe.PathLike] = (),
    map_symbols: Mapping[str, int] | None = None,
    prefix: str = "",
    strict: bool = False,
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    progress: ProgressCallback | bool | None = None,
) -> FilesResult:
    """See :meth:`cairn.Client.import_`."""
    with Reporter(progress, f"import {ref}") as callback:
        found = _native.import_files(
            client.native,
            _text(path),
            ref,
            format=format,
            select=recipe.patterns(select),
            exclude=recipe.patterns(exclude),
            root=root,
            weights_only=weights_only,
            float_dtype=_float_dtype(dtype),
            strip_prefix=strip_prefix,
            renames=recipe.renames(rename),
            map=map,
            map_files=recipe.maps(map, map_files),
            map_configs=recipe.configs(map_config),
            map_symbols=map_symbols,
            prefix=prefix,
            strict=strict,
            overwrite=overwrite,
            metadata=metadata,
            session_key=session_key,
            created_by=who(),
            progress=_report(callback),
        )
    return _result(client, found, found.source_format)


def _text(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, str):
        return str(pathlib.Path(path))
    if is_url(path):
        raise InvalidArgumentError(
            f'"{shown(path)}": export and import_ are about files of this machine; convert() reads and writes URLs here'
        )
    return os.path.expanduser(path)


def _float_dtype(dtype: Any) -> str | None:
    return None if dtype is None or (isinstance(dtype, str) and dtype == "keep") else dtypes.name_of(dtype)


def _report(callback: ProgressCallback | None) -> Any:
    if callback is None:
        return None
    meters: dict[int, Meter] = {}

    def report(progress: _native.ConvertProgress) -> None:
        meter = meters.setdefault(progress.bytes_total, Meter(progress.bytes_total, callback))
        meter.update(progress.bytes_done, already=progress.bytes_skipped)

    return report


def _result(client: Client, found: _native.FilesResult, format: str) -> FilesResult:
    assert found.checkpoint is not None  # The daemon says it in either case.
    checkpoint = Checkpoint(client, found.checkpoint)
    return FilesResult(found.entries, found.bytes, found.bytes_skipped, format, checkpoint, tuple(found.left_out))
