"""Files to files, files to checkpoints and back, in bounded memory."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cairn import _native, dtypes, recipe
from cairn.checkpoint import Checkpoint
from cairn.errors import InvalidArgumentError
from cairn.progress import Meter, ProgressCallback, Reporter
from cairn.save import who
from cairn.urls import is_url, shown

if TYPE_CHECKING:
    from cairn.client import Client

_PATH_BEGINNINGS = ("/", "./", "../", "~")


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion has written."""

    entries: int
    nbytes: int
    already: int
    """Of these, what an interrupted run had written (``resume``) or sent (``session_key``)."""
    dtype: str | None
    """What float tensors were cast to; None if they were kept."""
    casts: int
    """How many tensors that changed."""
    path: pathlib.Path | None
    """The file or folder, if the target is one."""
    checkpoint: Checkpoint | None
    """The checkpoint, if the target is one."""
    map: str
    """With a ``map``: the way that was taken, ``"litgpt -> hf-llama"``."""
    dropped: tuple[str, ...]
    """Entries that the map leaves out by rule."""
    left_out: tuple[str, ...]
    """What of the source nothing can carry, in words."""
    notes: tuple[str, ...]
    """What else there is to say, such as why nothing was resumed."""
    url: str | None = None
    """The object or folder in S3, if the target is one."""


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    client: Client | None = None,
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    dtype: Any = None,
    format: str = "",
    root: str = "",
    weights_only: bool = False,
    optimizer: bool = True,
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
    assets_beside: bool = False,
    resume: bool = False,
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
    that exists. So is a URL (``"https://host/model.safetensors"``, ``"s3://bucket/run/"``), of which only ``s3://`` is a
    target: see docs/urls.md. Any other text is a ref.

    :param client: the daemon of a side that is a ref. Files need none.
    :param select: key paths, prefixes, globs, exclusions.
    :param exclude: more of what to leave out; each pattern must match something.
    :param dtype: every float tensor becomes this. ``"keep"`` leaves them; None is bfloat16 for EasyLM files, else keep.
    :param format: of the file that is written, if its name or prefix does not say.
    :param root: only what lies below this key path, as a tree of its own.
    :param weights_only: only the weights of the model, wherever they are (:func:`cairn.find_weights`), as a tree of their own.
    :param optimizer: False is ``weights_only=True``, as EasyLM says it.
    :param strip_prefix: a text taken away in front of names that have it (``"model."``), or a level of the tree (``"params/"``).
    :param rename: other names, old by new, or a YAML file of such lines (docs/name-maps.md).
    :param map: names and layout of another family of models, ``"hf-llama:litgpt"``, or a file of rules (docs/name-maps.md).
    :param map_files: maps of your own, beside the ones there are.
    :param map_config: files such as config.json that say what the map needs to know and finds nowhere.
    :param map_symbols: the same as numbers, ``{"heads": 32}``.
    :param prefix: a text put in front of all names, after everything else.
    :param strict: refuse a source with what cannot be carried instead of leaving it out.
    :param max_shard_size: size at which another file of a folder is begun, ``"5GB"`` or bytes; 0: one file.
    :param max_shard_bytes: the same, in bytes.
    :param parts: how many files each have a slice of every tensor, for formats that cut so (llama).
    :param assets_beside: configuration and tokenizer files into the folder of a target that is one file.
    :param resume: keep what is written if this is interrupted, and go on from what the same call has left. Another source, other
        options or another version begin anew, which `notes` of the result tells.
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
    >>> result = cairn.convert(tmp_path / "again.safetensors", tmp_path / "v.npz", rename={"w": "v"}, prefix="model.", resume=True)
    >>> [entry.path for entry in client.import_(result.path, "docs/convert@2").checkpoint.entries]
    ['model.v']
    """
    source_text, source_is_file = _side(source, is_source=True)
    target_text, target_is_file = _side(target, is_source=False)
    for text, is_file in ((source_text, source_is_file), (target_text, target_is_file)):
        if not is_file and client is None:
            raise InvalidArgumentError(
                f'"{text}" is no file and needs a client; to name a file write "./{text}" or pathlib.Path("{text}")'
            )
    native = None if client is None else client.native
    with Reporter(progress, f"convert to {shown(target_text)}") as callback:
        found = _native.convert(
            source_text,
            target_text,
            source_client=None if source_is_file else native,
            target_client=None if target_is_file else native,
            select=recipe.patterns(select),
            exclude=recipe.patterns(exclude),
            root=root,
            weights_only=weights_only or not optimizer,
            dtype=None
            if dtype is None
            else "keep"
            if isinstance(dtype, str) and dtype == "keep"
            else dtypes.name_of(dtype),
            format=format,
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
            assets_beside=assets_beside,
            resume=resume,
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
        found.bytes_skipped,
        found.float_dtype,
        found.casts,
        pathlib.Path(found.path) if found.path and not is_url(found.path) else None,
        None if found.checkpoint is None or client is None else Checkpoint(client, found.checkpoint),
        found.map,
        tuple(found.map_dropped),
        tuple(found.left_out),
        tuple(found.notes),
        found.path if is_url(found.path) else None,
    )


def _side(side: str | os.PathLike[str], *, is_source: bool) -> tuple[str, bool]:
    """The text for the native module, and whether it names a file."""
    if not isinstance(side, str):
        return os.fspath(side), True
    if side.startswith("~"):
        return os.path.expanduser(side), True
    if "::" in side or side.startswith(_PATH_BEGINNINGS) or is_url(side):
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
