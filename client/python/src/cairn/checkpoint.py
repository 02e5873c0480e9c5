"""A stored checkpoint as an object: what it is called, what is in it, and how it looks in a notebook."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cairn import _native, records
from cairn.errors import NotFoundError, naming
from cairn.report import checkpoint_html, checkpoint_text, listing_html, listing_text
from cairn.weights import Weights, weights_of

if TYPE_CHECKING:
    from cairn.client import Client


class Entry:
    """One entry of a checkpoint: a tensor, a value, an alias or an asset."""

    __slots__ = ("_entry",)

    def __init__(self, entry: _native.Entry) -> None:
        self._entry = entry

    @property
    def path(self) -> str:
        """The shown key path, ``"params/layers/[0]/kernel"``: what patterns match, and ``boxes=`` takes."""
        return _native.format_path(self._entry.path)

    @property
    def segments(self) -> tuple[str | int, ...]:
        """The path as the keys and positions that it is made of."""
        return self._entry.path

    @property
    def kind(self) -> str:
        """``"tensor"``, ``"value"``, ``"alias"`` or ``"asset"``."""
        return self._entry.kind

    @property
    def dtype(self) -> str | None:
        """Of a tensor, by name; None otherwise."""
        return self._entry.dtype

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of a tensor; None otherwise."""
        return self._entry.shape

    @property
    def nbytes(self) -> int:
        """Of a tensor or an asset; 0 otherwise."""
        return self._entry.bytes

    @property
    def value(self) -> Any:
        """Of a value. The mark of a list or tuple shows as ``list of 3``."""
        value = self._entry.value
        if isinstance(value, _native.Children):
            return f"{value.kind} of {value.length}"
        return value

    @property
    def is_mark(self) -> bool:
        """A value that says of a list or tuple how many items it has; the items are entries of their own."""
        return isinstance(self._entry.value, _native.Children)

    @property
    def target(self) -> str | None:
        """Of an alias, the path of the tensor that it is."""
        return None if self._entry.target is None else _native.format_path(self._entry.target)

    @property
    def digest(self) -> str:
        """Of a tensor or an asset. Equal digests are equal bytes; equal bytes that were saved in other pieces
        differ."""
        return self._entry.digest

    def __repr__(self) -> str:
        if self.kind == "tensor":
            return f"<{self.path}: {self.dtype}{list(self.shape or ())}>"
        if self.kind == "value":
            return f"<{self.path} = {self.value!r}>"
        return (
            f"<{self.path} -> {self.target}>" if self.kind == "alias" else f"<asset {self.path}: {self.nbytes} bytes>"
        )


class Assets(Mapping[str, bytes]):
    """The files that a checkpoint carries along, by name. Each is loaded when it is asked for."""

    def __init__(self, client: Client, ref: str, entries: list[Entry]) -> None:
        self._client = client
        self._ref = ref
        self._entries = {"/".join(str(s) for s in e.segments): e for e in entries if e.kind == "asset"}

    def __getitem__(self, name: str) -> bytes:
        entry = self._entries[name]
        # A tensor of the same path comes before the asset; as a pattern the path means both.
        for stream in (
            self._client.native.load(self._ref, paths=[entry.segments]),
            self._client.native.load(self._ref, select=[entry.path]),
        ):
            for found in stream:
                if found.kind == "asset" and found.path == entry.segments:
                    return stream.read_bytes()
        raise NotFoundError(f'{self._ref}: the asset "{name}" is gone')

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def save(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Writes all of them below `folder`, which is made if it is missing. Existing files are overwritten.

        :returns: the files.
        """
        root = pathlib.Path(folder)
        written = []
        for name in self:
            parts = name.split("/")
            if any(part in ("", ".", "..") or "\0" in part or os.sep in part for part in parts):
                raise NotFoundError(f'{self._ref}: the asset "{name}" has a name that no file below a folder can have')
            target = root.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self[name])
            written.append(target)
        return written

    def __repr__(self) -> str:
        return f"<assets: {', '.join(self) or 'none'}>"


class Checkpoint:
    """A checkpoint in the store, as :meth:`Client.show`, :meth:`Client.ls` and :meth:`Client.save` give it.

    Shows as a table in a notebook, and as text with ``print``. It names one checkpoint for ever, even when its tags
    move or its step is overwritten: whatever it loads is of that checkpoint.
    """

    def __init__(self, client: Client, info: _native.Checkpoint) -> None:
        self._client = client
        self._info = info
        self._entries: list[Entry] | None = None
        self._lock = threading.Lock()

    @property
    def ref(self) -> str:
        """``NAME@STEP``."""
        return self._info.ref

    @property
    def name(self) -> str:
        return self._info.name

    @property
    def step(self) -> int:
        return self._info.step

    @property
    def uid(self) -> str:
        """Random, never used again; ``"uid:" + uid`` is a ref."""
        return self._info.uid

    @property
    def tags(self) -> list[str]:
        """As of when this object was made."""
        return list(self._info.tags)

    @property
    def metadata(self) -> dict[str, str]:
        """What was given to ``save(metadata=...)``."""
        return {key: value for key, value in self._info.metadata.items() if key != records.METADATA_KEY}

    @property
    def parent(self) -> str:
        """The uid of the checkpoint that this one comes from; "" if none was named."""
        return self._info.parent

    @property
    def saved(self) -> datetime.datetime:
        """When it became visible, in UTC."""
        return datetime.datetime.fromtimestamp(self._info.commit_time, datetime.timezone.utc)

    @property
    def saved_by(self) -> str:
        return self._info.created_by

    @property
    def nbytes(self) -> int:
        """Of all tensors and assets."""
        return self._info.logical_bytes

    @property
    def new_bytes(self) -> int:
        """Of these, what had to be stored for this checkpoint; the rest was in the store before."""
        return self._info.new_bytes

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return self._info.manifest_digest

    @property
    def entries(self) -> list[Entry]:
        """Everything in it, in the order of saving. Asked for once, then remembered."""
        with self._lock:
            if self._entries is None:
                self._entries = [Entry(e) for e in self._client.native.list_entries(self._pinned)]
            return self._entries

    @property
    def assets(self) -> Assets:
        """The files that were given to ``save(assets=...)``.

        >>> _ = client.save("docs/assets@1", {"w": np.zeros(3)}, assets={"config.json": b"{}"})
        >>> client.show("docs/assets@1").assets["config.json"]
        b'{}'
        """
        return Assets(self._client, self._pinned, self.entries)

    @property
    def weights(self) -> Weights | None:
        """Where the weights of a model are in it: see :func:`cairn.find_weights`."""
        return weights_of(self._client, self._pinned)

    def load(self, **options: Any) -> Any:
        """:meth:`Client.load` of exactly this checkpoint, with its options."""
        return self._client.load(self._pinned, **options)

    @property
    def _pinned(self) -> str:
        return f"uid:{self._info.uid}"

    @property
    def loaded_entries(self) -> list[Entry] | None:
        """:attr:`entries` if they have been asked for already; never asks."""
        return self._entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and other.uid == self.uid

    def __hash__(self) -> int:
        return hash(self.uid)

    def __repr__(self) -> str:
        return f"<Checkpoint {self.ref} uid:{self.uid}>"

    def __str__(self) -> str:
        return checkpoint_text(self)

    def _repr_html_(self) -> str:
        return checkpoint_html(self)


class CheckpointList(list[Checkpoint]):
    """What :meth:`Client.ls` gives: a list that shows as a table."""

    def __str__(self) -> str:
        return listing_text(self)

    def _repr_html_(self) -> str:
        return listing_html(self)


def ref_of(ref: str | Checkpoint) -> str:
    """What the daemon is asked for."""
    if not isinstance(ref, (str, Checkpoint)):
        raise TypeError(f'ref: expected a text as "NAME@STEP" or a cairn.Checkpoint, found {type(ref).__name__}')
    return f"uid:{ref.uid}" if isinstance(ref, Checkpoint) else ref


def named(ref: str | Checkpoint) -> contextlib.AbstractContextManager[None]:
    """Errors within it speak of NAME@STEP where the daemon speaks of the uid."""
    return naming(f"uid:{ref.uid}", ref.ref) if isinstance(ref, Checkpoint) else contextlib.nullcontext()
