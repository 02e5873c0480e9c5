"""What conversions take of a source and what they call it: the options of `convert`, `export` and `import_`, for the native module."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from cairn.errors import InvalidArgumentError

TextFile = tuple[str, str]
"""Name and content."""
PathLike = str | os.PathLike[str]

_MAX_FILE_BYTES = 4 << 20
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)\s*", re.IGNORECASE)


def patterns(select: str | Sequence[str]) -> tuple[str, ...]:
    """One pattern, or several."""
    return (select,) if isinstance(select, str) else tuple(select)


def renames(rename: Mapping[str, str] | PathLike | None) -> TextFile | None:
    """Names by names, or the file that lists them.

    >>> renames({"a.{i}": "b.{i}"})
    ('rename', '{"a.{i}": "b.{i}"}')
    """
    if rename is None:
        return None
    if isinstance(rename, Mapping):
        return ("rename", json.dumps(dict(rename))) if rename else None
    return _file(rename)


def maps(map: str, map_files: PathLike | Sequence[PathLike]) -> list[TextFile]:
    """The files of maps; `map` itself may be one."""
    paths = [os.fspath(path) for path in _several(map_files)]
    if ("/" in map or map.endswith((".yaml", ".yml"))) and map not in paths:
        paths.append(map)
    return [_file(path) for path in paths]


def configs(map_config: PathLike | Sequence[PathLike]) -> list[TextFile]:
    """Configuration files, which are told apart by their names and not by where they are."""
    return [(pathlib.Path(name).name, text) for name, text in map(_file, _several(map_config))]


def shard_size(max_shard_size: int | str, max_shard_bytes: int) -> int:
    """Bytes.

    >>> shard_size("5GB", 0), shard_size("1.5MiB", 0), shard_size(1000, 0), shard_size(0, 7)
    (5000000000, 1572864, 1000, 7)
    """
    if max_shard_bytes and max_shard_size:
        raise InvalidArgumentError("max_shard_size and max_shard_bytes: expected one of them")
    if not isinstance(max_shard_size, str):
        return max_shard_size or max_shard_bytes
    found = _SIZE.fullmatch(max_shard_size)
    if found is None or (found[3] and not found[2]):
        raise InvalidArgumentError(f'max_shard_size: expected a number of bytes such as 1048576, "500MB", "5GB" or "2GiB", found "{max_shard_size}"')
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " "))
    if size == 0:
        raise InvalidArgumentError(f'max_shard_size: expected at least one byte, found "{max_shard_size}"')
    return size


def _several(paths: PathLike | Sequence[PathLike]) -> Sequence[PathLike]:
    return (paths,) if isinstance(paths, (str, os.PathLike)) else paths


def _file(path: PathLike) -> TextFile:
    text = os.path.expanduser(os.fspath(path))
    try:
        size = os.path.getsize(text)
        if size > _MAX_FILE_BYTES:
            raise InvalidArgumentError(f"{text}: expected at most {_MAX_FILE_BYTES} bytes, found {size}")
        return text, pathlib.Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{text}: cannot be read: {error}") from error
