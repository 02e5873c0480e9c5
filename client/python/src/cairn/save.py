"""Saving: a tree becomes entries, which one writer sends within a session."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cairn import _native, arrays, records, session_key, tree
from cairn.checkpoint import Checkpoint
from cairn.errors import (
    AbortedError,
    AlreadyExistsError,
    CairnError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
)
from cairn.progress import Meter, ProgressCallback, human_bytes

if TYPE_CHECKING:
    from cairn.client import Client

AssetContent: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str]
"""The bytes of a file, or its path."""

_MOST_KEYS = 20


class _Missing:
    def __repr__(self) -> str:
        return "no tree"


NO_TREE: Final = _Missing()
"""In the place of a tree that is not given, since any value is one."""


@dataclass(frozen=True, slots=True)
class SaveResult:
    """What a save has done."""

    ref: str
    """``NAME@STEP``."""
    session_id: str
    """For :meth:`Client.commit` and :meth:`Client.abort`."""
    checkpoint: Checkpoint | None
    """What is visible now; None if other writers have not finished, or with ``commit=False``."""
    nbytes: int
    """Of this writer's arrays and assets."""
    skipped_bytes: int
    """Of these, what an earlier attempt had sent."""
    deduplicated_bytes: int
    """Of these, what was sent, but had been in the store already."""
    sent_bytes: int = 0
    """What went over the network for it: less, where the difference to `parent_tree` was sent."""

    def __str__(self) -> str:
        state = "saved" if self.checkpoint is not None else "sent, not committed"
        return f"{self.ref}: {state}, {human_bytes(self.nbytes)}, {human_bytes(self.skipped_bytes)} skipped"


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """The arguments of :meth:`Client.save`, checked."""

    name: str
    step: int
    assets: Mapping[str, AssetContent]
    metadata: Mapping[str, str]
    parent: str
    parent_tree: Any
    """The tree of the parent; :data:`NO_TREE` if it is not given."""
    tags: Sequence[str]
    overwrite: bool
    session_key: str | None
    resume: bool
    writer: int
    writers: int
    replicated: bool
    commit: bool
    lease: float | None
    created_by: str

    @property
    def repeatable(self) -> bool:
        """Whether another call can go on with the session of this one."""
        return self.resume or self.session_key is not None

    def check(self) -> None:
        if self.writers < 1:
            raise InvalidArgumentError(f"writers: {self.writers}; expected at least 1")
        if not 0 <= self.writer < self.writers:
            raise InvalidArgumentError(f"writer {self.writer} of {self.writers}; expected 0 to {self.writers - 1}")
        if self.writers > 1 and not self.session_key:
            raise InvalidArgumentError(
                "several writers need a session_key, the same on all of them and another one for each attempt to save "
                'other content; for example f"{job_id}-{restarts}-{step}"'
            )
        if self.resume and self.session_key:
            raise InvalidArgumentError("resume=True derives a session key, so none can be given beside it")
        if self.parent_tree is not NO_TREE and not self.parent:
            raise InvalidArgumentError("parent_tree is what the parent holds; say with parent= which checkpoint that is")
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise InvalidArgumentError(f"metadata {key!r}: {value!r}; expected texts by texts")
        if self.tags and not self.commit:
            raise InvalidArgumentError(
                f"{self.ref}: tag={list(self.tags)} needs a checkpoint, and commit=False makes none; use Client.tag() after "
                "Client.commit()"
            )
        for tag in self.tags:
            self._check_tag(tag)
        for name, content in self.own_assets.items():
            self._check_asset(name, content)

    @property
    def own_assets(self) -> Mapping[str, AssetContent]:
        """What this writer sends of them."""
        return self.assets if not self.replicated or self.writer == 0 else {}

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.step}"

    def _check_tag(self, tag: str) -> None:
        """Before the save, since it cannot be taken back after it."""
        try:
            known = tag != "latest" and _native.parse_ref(f"x@{tag}")[2] == tag
        except (InvalidArgumentError, TypeError):
            known = False
        if not known or not tag:
            raise InvalidArgumentError(
                f"{self.ref}: tag {tag!r}: expected a letter followed by letters, digits, '.', '_' and '-', 128 in all, and not "
                '"latest"'
            )

    def _check_asset(self, name: str, content: AssetContent) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"{self.ref}: the name of an asset is a text, found {name!r}")
        try:
            tree.check_path(tuple(name.split("/")))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{self.ref}: the name of an asset: {error.message}") from None
        if isinstance(content, (str, os.PathLike)) and not stat.S_ISREG(os.stat(content).st_mode):
            found = "a folder" if os.path.isdir(content) else "something else"
            raise InvalidArgumentError(
                f'{self.ref}: asset "{name}": {os.fspath(content)}: expected a regular file, found {found}'
            )


def save(client: Client, request: SaveRequest, node: Any, progress: ProgressCallback | None) -> SaveResult:
    """Saves a tree as one writer. Everything about the tree is checked before anything is sent."""
    request.check()
    flat = tree.flatten(node)
    metadata = {**request.metadata, **records.encode(flat.types)}
    items = mine(flat, request.writer, request.writers) if request.replicated else flat.items
    assets = request.own_assets
    total = sum(item.source.nbytes for item in items if isinstance(item, tree.Tensor)) + sum(
        map(_asset_bytes, assets.values())
    )
    meter = Meter(total, progress)
    bases = {} if request.parent_tree is NO_TREE else _tensors(tree.flatten(request.parent_tree))
    writer = _open(client, request, metadata, flat, meter)
    checkpoint = None
    try:
        for item in items:
            _put(writer, item, bases.get(item.path))
        for name, content in assets.items():
            writer.put_asset(name, content)
        if request.commit and request.writers == 1:
            checkpoint = writer.commit()
        else:
            checkpoint = writer.finish().checkpoint
        done = writer.progress()
    except (
        AbortedError,
        AlreadyExistsError,
        FailedPreconditionError,
        InvalidArgumentError,
        NotFoundError,
        OutOfRangeError,
    ):
        # What cannot succeed by going on. With several writers, that is for all of them to decide.
        if request.writers == 1:
            _give_up(writer)
        raise
    except BaseException:
        # Whatever else ends a save leaves the session open for the next attempt, if there can be one.
        if not request.repeatable:
            _give_up(writer)
        raise
    finally:
        writer.close()
    if checkpoint is not None:
        for tag in request.tags:
            checkpoint = client.native.set_tag(f"uid:{checkpoint.uid}", tag)
    meter.update(total, already=done.skipped_bytes)
    return SaveResult(
        request.ref,
        writer.session.session_id,
        None if checkpoint is None else Checkpoint(client, checkpoint),
        total,
        total if writer.nothing_to_send else done.skipped_bytes,
        done.deduplicated_bytes,
        done.sent_bytes,
    )


def mine(flat: tree.Flat, writer: int, writers: int) -> list[tree.Item]:
    """What one of several writers sends of a tree that all of them have alike.

    Arrays go to the writer that has least so far, in the order of their size, which all writers compute alike. Parts of
    sharded arrays stay where they are. Values, marks and aliases go to writer 0.
    """
    tensors = [
        (item.source.nbytes, i)
        for i, item in enumerate(flat.items)
        if isinstance(item, tree.Tensor) and item.source.replicated
    ]
    load = [0] * writers
    owner: dict[int, int] = {}
    for nbytes, i in sorted(tensors, key=lambda pair: (-pair[0], pair[1])):
        owner[i] = load.index(min(load))
        load[owner[i]] += nbytes
    return [
        item
        for i, item in enumerate(flat.items)
        if owner.get(i, writer if isinstance(item, tree.Tensor) else 0) == writer
    ]


def _open(
    client: Client, request: SaveRequest, metadata: Mapping[str, str], flat: tree.Flat, meter: Meter
) -> _native.SaveWriter:
    """The session's writer. A derived key whose session was given up, or whose checkpoint is gone, is spent; then
    the next one of its line is tried."""
    key = request.session_key or f"py-{secrets.token_hex(20)}"
    if request.resume:
        options = {**metadata, "": f"{request.overwrite} {request.parent}"}
        key = session_key.derive(request.name, request.step, options, flat, request.assets)

    def report(progress: _native.SaveProgress) -> None:
        meter.update(progress.durable_bytes, already=progress.skipped_bytes)

    for attempt in range(_MOST_KEYS):
        used = key if attempt == 0 else f"{key}-{attempt}"
        writer = client.native.save(
            request.name,
            request.step,
            session_key=used,
            writers=request.writers,
            writer=request.writer,
            overwrite=request.overwrite,
            auto_commit=request.commit and request.writers > 1,
            metadata=metadata,
            parent=request.parent,
            created_by=request.created_by,
            lease=request.lease,
            progress=report,
        )
        if writer.session.state in ("open", "unknown") or _still_there(client, writer.session):
            return writer
        writer.close()
        if not request.resume:
            break
    raise FailedPreconditionError(
        f'{request.ref}: the save session with the key "{used}" has ended without leaving a '
        "checkpoint; choose another session_key",
        reason="SESSION_ENDED",
    )


def _still_there(client: Client, session: _native.Session) -> bool:
    """A committed session is remembered for longer than a checkpoint that somebody removes."""
    if session.state != "committed" or session.checkpoint is None:
        return False
    try:
        client.native.get_checkpoint(f"uid:{session.checkpoint.uid}")
    except NotFoundError:
        return False
    return True


def _tensors(flat: tree.Flat) -> dict[tree.Path, arrays.Source]:
    return {item.path: item.source for item in flat.items if isinstance(item, tree.Tensor)}


def _put(writer: _native.SaveWriter, item: tree.Item, base: arrays.Source | None) -> None:
    if isinstance(item, tree.Value):
        writer.put_value(item.path, item.value)
    elif isinstance(item, tree.Alias):
        writer.put_alias(item.path, item.target)
    else:
        source = item.source
        same = base is not None and base.dtype == source.dtype and tuple(base.shape) == tuple(source.shape)
        had = {(part.offset, part.extent): part.memory for part in base.parts} if same and base is not None else {}
        for part in source.parts:
            writer.put_tensor(
                item.path,
                source.dtype,
                source.shape,
                part.memory,
                offset=part.offset,
                extent=part.extent,
                base=had.get((part.offset, part.extent)),
            )


def _give_up(writer: _native.SaveWriter) -> None:
    with contextlib.suppress(CairnError):  # It expires by itself otherwise.
        writer.abort()


def _asset_bytes(content: AssetContent) -> int:
    if isinstance(content, (str, os.PathLike)):
        return os.stat(content).st_size
    return memoryview(content).nbytes


def who() -> str:
    """``user@host``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
