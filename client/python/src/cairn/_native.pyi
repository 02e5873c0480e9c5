"""The C++ client as a Python extension: small, strict and without conveniences.

``cairn`` (the package around this module) is the public interface; nobody else should import this module.

Rules that hold everywhere in it:

* **The lock.** Every call that can block lets go of the interpreter lock while it does.
* **Interrupts.** A call that blocks in the main thread looks for signals several times a second. What a handler raises
  (``KeyboardInterrupt``) ends the call and comes out of it; so does what a progress callback raises. The stream is
  cancelled then: every later call on it raises ``CANCELLED``. The save session stays open until it expires or
  ``abort()`` is called.
* **Errors.** A failure raises what the factory given to :func:`set_error_factory` makes of it, :class:`StatusError` by
  default. Its message names ref or session, entry and box. A wrong Python type is a ``TypeError``.
* **Threads.** :class:`Client` and the module's functions may be used by any number of threads at once. A
  :class:`SaveWriter` or :class:`LoadStream` belongs to one thread at a time, but for ``cancel()`` and ``progress()``:
  a second thread gets ``FAILED_PRECONDITION`` with reason ``IN_USE``.
* **Fork.** gRPC does not survive ``fork``. In a child, every object made before the fork, and every new
  :class:`Client` if there was one before the fork in the parent, raises ``FAILED_PRECONDITION`` with reason
  ``FORKED``. Having imported the module does no harm.
* **Memory.** ``Memory`` is any C-contiguous object with the buffer protocol, of any element type; its bytes are what
  counts: row-major, little-endian, as dtype and shape say. Formats that say "big-endian" are refused. Types that cannot
  be exported (bfloat16, float8: NumPy has no format for them) go through a ``uint8`` view, or :class:`DlpackMemory`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, TypeAlias, final

from _typeshed import ReadableBuffer, WriteableBuffer

Path: TypeAlias = tuple[str | int, ...]
"""Segments from the root: dict keys (str) and positions (int; bool is refused). The root is ``()``; an entry has at least one
segment."""

Kind: TypeAlias = Literal["tensor", "value", "asset", "alias"]

Memory: TypeAlias = ReadableBuffer
LazyMemory: TypeAlias = ReadableBuffer | Callable[[], ReadableBuffer]
"""The bytes, or what makes them. It is called in the thread that saves, with the interpreter lock, when the bytes are
wanted for the first time, which is within ``put_tensor`` (or never, if the daemon has them from an earlier attempt);
the result is kept until the bytes are durable. What it raises comes out of the call that wanted the bytes."""

Value: TypeAlias = Any
"""None, bool, int of any size, float, complex, str, bytes; :class:`Opaque`; :class:`Children`; list, tuple and dict of values (exactly
these types or subclasses of them), nested at most 60 deep. NumPy scalars are not values: they are tensors."""

__version__: Final[str]
"""The version of the extension, "0.1.0"."""

DTYPES: Final[dict[str, int]]
"""Every dtype by its name ("float32", "bfloat16", "float8_e4m3fn", "int4", "f4_packed", ...) with its bits per element in
memory. Types below eight bits take one byte (8) per element, as in NumPy memory; the ``*_packed`` ones really are
packed."""

FLOAT_DTYPES: Final[frozenset[str]]
"""Those that a cast (``float_dtype``, ``dtype``) applies to and may name."""

class StatusError(Exception):
    """A failure of the client or the daemon. ``args`` is ``(code, message, reason, metadata)``; ``str()`` is
    ``"CODE: message"``."""

    code: str
    """The canonical code: "NOT_FOUND", "ALREADY_EXISTS", "INVALID_ARGUMENT", "UNAVAILABLE", "DATA_LOSS", ..."""
    message: str
    reason: str
    """UPPER_SNAKE_CASE, finer than the code; "" if there is none."""
    metadata: dict[str, str]
    """Facts by name ("ref", "path", "box", "expected", "found", ...)."""

ErrorFactory: TypeAlias = Callable[[str, str, str, dict[str, str]], BaseException]

def set_error_factory(factory: ErrorFactory | None) -> None:
    """Sets what makes exceptions out of ``(code, message, reason, metadata)``, for the whole process. None: StatusError."""

def parse_dtype(name: str) -> str | None:
    """The name in :data:`DTYPES` for any spelling ("bf16", "BF16", "F8_E4M3", "float32"); None for an unknown one."""

def byte_size(dtype: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor. INVALID_ARGUMENT for a negative extent, more than 32 dimensions or a size beyond int64."""

def content_digest(memory: Memory) -> bytes:
    """16 bytes of XXH3 of C-contiguous memory: against accidents, not against forgers. Other threads run meanwhile."""

def format_path(path: Path) -> str:
    """The shown form, "params/layers/[0]/kernel"; parse_path gives the same path back."""

def parse_path(text: str) -> Path:
    """INVALID_ARGUMENT for what is no shown key path."""

def parse_ref(text: str) -> tuple[str, int | None, str, str]:
    """(name, step, tag, uid) of NAME@STEP, NAME@TAG, NAME or uid:UID; what is not there is None or "". INVALID_ARGUMENT for
    anything else, with what a ref looks like."""

@final
class Children:
    """The value at the path of a list or tuple whose children are entries of their own: says which, and how many.

    A dict needs no such mark, and an empty list or tuple is a plain value (``[]``, ``()``)."""

    def __init__(self, kind: Literal["list", "tuple"], length: int) -> None:
        """``length`` is at least 1."""
    @property
    def kind(self) -> Literal["list", "tuple"]: ...
    @property
    def length(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class Opaque:
    """An object of a class that Cairn does not know, as it came out of a checkpoint of PyTorch's: an ``argparse.Namespace``,
    a learning rate schedule. It can be saved again and written to formats that hold it; nothing in Cairn unpickles it."""

    def __init__(self, pickle: bytes) -> None:
        """``pickle``: of the object alone. It is not looked at."""
    @property
    def pickle(self) -> bytes:
        """``pickle.loads`` of this makes the object, and runs whatever code the pickle names: only for checkpoints that you
        trust."""
    @property
    def description(self) -> str:
        """What the pickle names: ``"argparse.Namespace"``."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __repr__(self) -> str: ...
    def __str__(self) -> str: ...

@final
class DlpackMemory:
    """Borrows what a DLPack capsule describes, of any dtype that Cairn has (bfloat16 and float8 included), and exports its
    bytes through the buffer protocol if they lie in this host's memory in C order. The capsule is used up; its owner is let
    go when this object and all buffers exported from it are gone."""

    def __init__(self, capsule: object) -> None:
        """``capsule``: what ``array.__dlpack__()`` returned, versioned or not. INVALID_ARGUMENT for a used capsule;
        UNIMPLEMENTED for an element type that Cairn lacks."""
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]:
        """In elements."""
    @property
    def device(self) -> tuple[int, int]:
        """DLPack's device type and id; (1, 0) is host memory."""
    @property
    def readonly(self) -> bool: ...
    @property
    def contiguous(self) -> bool:
        """In C order."""
    @property
    def host(self) -> bool:
        """Can be read by the processor: plain, pinned or managed memory."""
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Checkpoint:
    """A committed checkpoint. Times are seconds since 1970."""

    @property
    def uid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def ref(self) -> str:
        """NAME@STEP."""
    @property
    def create_time(self) -> float: ...
    @property
    def commit_time(self) -> float: ...
    @property
    def entry_count(self) -> int: ...
    @property
    def tensor_count(self) -> int: ...
    @property
    def logical_bytes(self) -> int:
        """All tensors and assets."""
    @property
    def new_bytes(self) -> int:
        """Of these, what had to be stored for this checkpoint."""
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def parent(self) -> str:
        """uid; may be ""."""
    @property
    def created_by(self) -> str: ...
    @property
    def tags(self) -> list[str]: ...
    @property
    def manifest_digest(self) -> str: ...
    def __repr__(self) -> str: ...

@final
class Session:
    """A save session."""

    @property
    def session_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def writers(self) -> int: ...
    @property
    def state(self) -> Literal["unknown", "open", "committed", "aborted", "expired"]: ...
    @property
    def create_time(self) -> float: ...
    @property
    def expire_time(self) -> float: ...
    @property
    def finished_writers(self) -> list[int]: ...
    @property
    def checkpoint(self) -> Checkpoint | None:
        """Once committed."""
    def __repr__(self) -> str: ...

@final
class Entry:
    """One entry of a checkpoint: of a listing, or what a :class:`LoadStream` is about to deliver."""

    @property
    def kind(self) -> Kind: ...
    @property
    def path(self) -> Path:
        """Of an asset: its file name, one segment per folder."""
    @property
    def dtype(self) -> str | None:
        """Tensors. As sent, in a load with a cast."""
    @property
    def shape(self) -> tuple[int, ...] | None:
        """Tensors: of the whole tensor."""
    @property
    def offset(self) -> tuple[int, ...] | None:
        """Tensors in a load: where the box that is delivered begins."""
    @property
    def extent(self) -> tuple[int, ...] | None:
        """Tensors in a load: the shape of that box."""
    @property
    def bytes(self) -> int:
        """Of the box as sent, or of the asset; 0 for values and aliases."""
    @property
    def value(self) -> Value:
        """Values; None for all others (and for the value None: look at ``kind``)."""
    @property
    def target(self) -> Path | None:
        """Aliases: the entry that this one is."""
    @property
    def shards(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Listings with ``with_shards``: (offset, extent) of each part as saved."""
    @property
    def digest(self) -> str:
        """Listings, tensors and assets: equal only if saved alike. "" otherwise."""
    def __repr__(self) -> str: ...

@final
class SaveProgress:
    """How far one writer has come. "Skipped" is what the daemon had from an earlier attempt with the same session key."""

    @property
    def durable_entries(self) -> int: ...
    @property
    def durable_bytes(self) -> int:
        """Skipped bytes included."""
    @property
    def skipped_bytes(self) -> int: ...
    @property
    def deduplicated_bytes(self) -> int:
        """Sent, but stored already."""
    @property
    def sent_bytes(self) -> int:
        """On the wire, repetitions included."""
    @property
    def sent_raw_bytes(self) -> int:
        """What these stand for: more, where they were deltas."""
    @property
    def reconnects(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class SaveWriter:
    """One writer's part of a save, made by :meth:`Client.save`. One thread at a time.

    Dropping it unfinished leaves the session open, so that the same session key takes it up again; ``abort()`` gives it up.
    """

    @property
    def session(self) -> Session: ...
    @property
    def nothing_to_send(self) -> bool:
        """The session is committed already, or this writer finished in an earlier attempt: puts do nothing, and
        ``commit()`` gives what there is."""
    def put_tensor(
        self,
        path: Path,
        dtype: str,
        shape: Sequence[int],
        memory: LazyMemory,
        *,
        offset: Sequence[int] | None = None,
        extent: Sequence[int] | None = None,
        base: LazyMemory | None = None,
    ) -> None:
        """Sends a tensor, or the box (offset, extent) of one, of the global ``shape``.

        ``base``: what the parent of the save has of the same tensor and box; then the difference is sent where that is less.

        Nothing is copied: ``memory`` is borrowed until its bytes are durable, and read again after a lost connection; it
        must not change until ``flush()``, ``finish()`` or ``commit()`` has returned. Blocks while more than
        ``max_unacknowledged_bytes`` are on their way, so that arrays made one after the other need no more memory than
        that.

        INVALID_ARGUMENT if it has not exactly the box's bytes."""
    def put_value(self, path: Path, value: Value) -> None: ...
    def put_alias(self, path: Path, target: Path) -> None:
        """``path`` is another name of the tensor at ``target``."""
    def put_asset(self, name: str, content: Memory | str | PathLike[str]) -> None:
        """A file carried along unchanged. ``name`` has '/' between folders. ``content``: its bytes (borrowed as tensors are), or
        the path of a file, which is read as it is sent and must not change until then."""
    def flush(self) -> None:
        """Returns once everything put so far is durable; what was borrowed has been let go then."""
    def finish(self) -> Session:
        """This writer is done and everything is durable. The session commits if it is the last writer and ``auto_commit`` was
        set. May be called again."""
    def commit(self) -> Checkpoint:
        """finish(), and commits the session: all its writers must have finished. May be called again."""
    def abort(self) -> None:
        """Gives the whole session up."""
    def cancel(self) -> None:
        """Ends a call that another thread is in, and all that follow, with CANCELLED. From any thread, never blocks. Does
        nothing once closed."""
    def progress(self) -> SaveProgress:
        """From any thread, also once closed."""
    def close(self) -> None:
        """Ends the stream without finishing; the session stays open. Does nothing when called again or after commit()."""

def advise_huge_pages(memory: WriteableBuffer) -> None:
    """Of new memory, before it is written: NumPy does the same for its arrays. Changes no byte, and nothing at all where the
    system has none."""

@final
class LoadStream:
    """Entries on their way to this process, in the order of the answer, made by :meth:`Client.load`. One thread at a time;
    for parallel loads open several streams with a part of the entries each.

    Every byte is checked against its checksum. A lost connection is made again, at the same byte of the same checkpoint."""

    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def entries(self) -> int:
        """Of the whole answer."""
    @property
    def total_bytes(self) -> int:
        """Of the whole answer."""
    @property
    def bytes_read(self) -> int:
        """Of total_bytes, what has been read or skipped so far. From any thread."""
    @property
    def bytes_received(self) -> int:
        """Payload that has come for it: less, where it came as differences. From any thread."""
    def next(self) -> Entry | None:
        """The next entry, None after the last. Bytes of the entry before that were not read are skipped."""
    def __iter__(self) -> LoadStream: ...
    def __next__(self) -> Entry: ...
    def read_into(self, memory: WriteableBuffer) -> None:
        """All bytes of the entry that next() gave, into memory of exactly that size; once per entry. After an error its
        content is undefined."""
    def read_bytes(self) -> bytes:
        """The same, as a new object. For assets; arrays are filled in place."""
    def cancel(self) -> None:
        """Ends a call that another thread is in, and all that follow, with CANCELLED. From any thread, never blocks. Does
        nothing once closed."""
    def close(self) -> None:
        """Ends the stream. Does nothing when called again."""

@final
class VerifyProblem:
    @property
    def path(self) -> str:
        """Shown key path."""
    @property
    def box(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """(offset, extent)."""
    @property
    def object(self) -> str:
        """In the object store."""
    @property
    def message(self) -> str: ...
    def __repr__(self) -> str: ...

@final
class VerifyResult:
    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def bytes(self) -> int:
        """How many were read."""
    @property
    def problems(self) -> list[VerifyProblem]:
        """Empty: the checkpoint is whole."""
    def __repr__(self) -> str: ...

@final
class GarbageReport:
    @property
    def purged_checkpoints(self) -> int: ...
    @property
    def expired_sessions(self) -> int: ...
    @property
    def deleted_objects(self) -> int: ...
    @property
    def deleted_bytes(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class ServerInfo:
    """Numbers are 0 where unknown."""

    @property
    def version(self) -> str: ...
    @property
    def start_time(self) -> float: ...
    @property
    def object_store(self) -> str: ...
    @property
    def registry(self) -> str: ...
    @property
    def free_bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def checkpoints(self) -> int: ...
    @property
    def open_sessions(self) -> int: ...
    @property
    def objects(self) -> int: ...
    @property
    def object_bytes(self) -> int: ...
    @property
    def logical_bytes(self) -> int: ...
    @property
    def max_chunk_bytes(self) -> int: ...
    @property
    def memory_budget_bytes(self) -> int: ...
    @property
    def memory_in_use_bytes(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class Client:
    """A connection to a daemon. Any number of threads. Nothing is sent before the first call.

    Calls that find nobody are tried again for ``retry_for`` seconds, streams resume by themselves; then UNAVAILABLE,
    "cannot reach cairnd at TARGET"."""

    def __init__(
        self,
        target: str,
        *,
        retry_for: float = 120.0,
        call_timeout: float = 60.0,
        long_call_timeout: float = 900.0,
        chunk_bytes: int = 1 << 20,
        window_bytes: int = 8 << 20,
        max_unacknowledged_bytes: int = 512 << 20,
        tls: bool = False,
        root_certificates: str = "",
        client_certificate: str = "",
        client_key: str = "",
        server_name: str = "",
        bearer_token: str = "",
        user_agent: str = "",
    ) -> None:
        """``target``: HOST:PORT or unix:/PATH. Certificates and key are PEM texts; ``tls`` without root_certificates uses those
        of the system. ``server_name``: what the daemon's certificate must be for, if not for the host of the target. ``call_timeout`` is for one attempt of a short call, ``long_call_timeout`` for finish, commit and
        delete. INVALID_ARGUMENT for a target or options that cannot work."""
    @property
    def target(self) -> str: ...
    def save(
        self,
        name: str,
        step: int,
        *,
        session_key: str = "",
        writers: int = 1,
        writer: int = 0,
        overwrite: bool = False,
        auto_commit: bool = False,
        metadata: Mapping[str, str] | None = None,
        parent: str = "",
        created_by: str = "",
        lease: float | None = None,
        progress: Callable[[SaveProgress], object] | None = None,
    ) -> SaveWriter:
        """Opens a save session, or the one with the same key, and this writer's stream.

        ``session_key``: the same on every writer and after every restart; "" is a random one, so that the save has one writer
        and no other process can take it up. ``overwrite`` replaces an existing NAME@STEP atomically at the commit.
        ``parent``: a ref or uid. ``lease``: seconds without any call after which the session is given up; None is the
        daemon's default. ``progress`` is called within calls of the writer, in their thread, about five times a second and
        at the end of flush, which finish and commit begin with: what it raises never comes out of a commit that was done."""
    def load(
        self,
        ref: str,
        *,
        select: Sequence[str] = (),
        paths: Sequence[Path] = (),
        boxes: Sequence[tuple[Path, Sequence[int], Sequence[int]]] = (),
        float_dtype: str | None = None,
        have_ref: str = "",
        progress: Callable[[int, int], object] | None = None,
    ) -> LoadStream:
        """Opens a stream of entries: those that ``select`` matches (shown key paths, prefixes "params/", globs, exclusions
        "!opt_state/"), or exactly ``paths``, or ``boxes`` (path, offset, extent) of tensors, in this order; at most one of the
        three; all entries with none. ``float_dtype``: every float tensor is cast to it by the daemon. ``have_ref``: what read_into fills holds
        that checkpoint's bytes of the same tensors, so that only the difference comes. ``progress(bytes_read,
        total_bytes)`` is called within calls of the stream, in their thread, about five times a second and at the end."""
    def get_checkpoint(self, ref: str) -> Checkpoint: ...
    def list_checkpoints(
        self, *, name: str = "", prefix: str = "", metadata: Mapping[str, str] | None = None
    ) -> list[Checkpoint]:
        """By name, then step. ``name``: exactly that one; ``prefix``: names that begin so."""
    def list_entries(
        self, ref: str, *, select: Sequence[str] = (), with_shards: bool = False
    ) -> list[Entry]: ...
    def delete_checkpoint(self, ref: str, *, allow_missing: bool = False) -> Checkpoint | None:
        """What was deleted; None with allow_missing if there was none."""
    def set_tag(self, ref: str, tag: str, *, expected_uid: str | None = None) -> Checkpoint:
        """Points the tag at ref's checkpoint. ``expected_uid``: what the tag must point to now ("": it must not exist), ABORTED
        otherwise."""
    def delete_tag(self, name: str, tag: str, *, allow_missing: bool = False) -> None: ...
    def commit_save(self, session_id: str) -> Checkpoint:
        """For a coordinator that is none of the writers."""
    def abort_save(self, session_id: str) -> None: ...
    def verify(
        self, ref: str, *, progress: Callable[[int, int], object] | None = None
    ) -> VerifyResult:
        """Reads everything and compares digests. ``progress(bytes_done, bytes_total)``."""
    def collect_garbage(
        self, *, dry_run: bool = False, progress: Callable[[GarbageReport], object] | None = None
    ) -> GarbageReport: ...
    def server_info(self) -> ServerInfo: ...
    def __repr__(self) -> str: ...

@final
class ConvertProgress:
    @property
    def bytes_done(self) -> int: ...
    @property
    def bytes_total(self) -> int: ...
    @property
    def bytes_skipped(self) -> int:
        """Of bytes_done, what the target had already (a resumed save)."""
    @property
    def entries_done(self) -> int: ...
    @property
    def entries_total(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class ConvertResult:
    @property
    def entries(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def bytes_skipped(self) -> int: ...
    @property
    def float_dtype(self) -> str | None:
        """What float tensors were cast to; None if they were kept."""
    @property
    def casts(self) -> int:
        """How many tensors that changed."""
    @property
    def source_format(self) -> str:
        """"" if the source is a ref."""
    @property
    def target_format(self) -> str:
        """"" if the target is a ref."""
    @property
    def path(self) -> str:
        """What was written; "" if the target is a ref."""
    @property
    def checkpoint(self) -> Checkpoint | None:
        """What was committed, if the target is a ref."""
    @property
    def map(self) -> str: ...
    @property
    def map_dropped(self) -> list[str]: ...
    @property
    def left_out(self) -> list[str]: ...
    @property
    def notes(self) -> list[str]: ...
    def __repr__(self) -> str: ...

@final
class FilesResult:
    @property
    def entries(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def bytes_skipped(self) -> int:
        """What an earlier import with the same session key had brought."""
    @property
    def source_format(self) -> str:
        """Of an import."""
    @property
    def target_format(self) -> str:
        """Of an export."""
    @property
    def checkpoint(self) -> Checkpoint | None:
        """What was exported, or what came of the import."""
    @property
    def left_out(self) -> list[str]: ...
    def __repr__(self) -> str: ...

def export_files(
    client: Client,
    ref: str,
    path: str,
    *,
    format: str = "",
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    root: str = "",
    weights_only: bool = False,
    float_dtype: str | None = None,
    strip_prefix: str = "",
    renames: tuple[str, str] | None = None,
    map: str = "",
    map_files: Sequence[tuple[str, str]] = (),
    map_configs: Sequence[tuple[str, str]] = (),
    map_symbols: Mapping[str, int] | None = None,
    prefix: str = "",
    strict: bool = False,
    max_shard_bytes: int = 0,
    parts: int = 0,
    separator: str = ".",
    drop_unsupported: bool = False,
    overwrite: bool = False,
    progress: Callable[[ConvertProgress], object] | None = None,
) -> FilesResult:
    """A checkpoint as files here, whose format the daemon makes. Files of text are name and content.
    ``progress`` as in :meth:`Client.save`."""

def import_files(
    client: Client,
    path: str,
    ref: str,
    *,
    format: str = "",
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    root: str = "",
    weights_only: bool = False,
    float_dtype: str | None = None,
    strip_prefix: str = "",
    renames: tuple[str, str] | None = None,
    map: str = "",
    map_files: Sequence[tuple[str, str]] = (),
    map_configs: Sequence[tuple[str, str]] = (),
    map_symbols: Mapping[str, int] | None = None,
    prefix: str = "",
    strict: bool = False,
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    created_by: str = "",
    progress: Callable[[ConvertProgress], object] | None = None,
) -> FilesResult:
    """Files that are here as a checkpoint; the daemon reads their format."""

@final
class DiffStatistics:
    """How the elements of two tensors differ."""

    @property
    def has_values(self) -> bool: ...
    @property
    def elements(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def outside(self) -> int: ...
    @property
    def base_nan(self) -> int: ...
    @property
    def base_infinite(self) -> int: ...
    @property
    def target_nan(self) -> int: ...
    @property
    def target_infinite(self) -> int: ...
    @property
    def max_absolute(self) -> float: ...
    @property
    def max_relative(self) -> float: ...
    @property
    def mean_absolute(self) -> float: ...
    @property
    def mean_relative(self) -> float: ...
    @property
    def norm(self) -> float: ...
    @property
    def base_norm(self) -> float: ...
    @property
    def cosine(self) -> float: ...
    def __repr__(self) -> str: ...

@final
class EntryDiff:
    """How one entry of two checkpoints differs."""

    @property
    def difference(
        self,
    ) -> Literal["equal", "changed", "value changed", "added", "removed", "reshaped", "recast"]: ...
    @property
    def base(self) -> Entry | None: ...
    @property
    def target(self) -> Entry | None: ...
    @property
    def statistics(self) -> DiffStatistics | None: ...
    @property
    def close(self) -> bool: ...
    def __repr__(self) -> str: ...

@final
class DiffResult:
    @property
    def entries(self) -> list[EntryDiff]:
        """Of a report."""
    @property
    def target_bytes(self) -> int: ...
    @property
    def diff_bytes(self) -> int: ...
    @property
    def base_digest(self) -> str: ...
    @property
    def target_digest(self) -> str: ...
    @property
    def elements(self) -> int: ...
    @property
    def inexact_elements(self) -> int: ...
    @property
    def checkpoint(self) -> Checkpoint | None: ...
    def __repr__(self) -> str: ...

@final
class RecoverResult:
    @property
    def bytes(self) -> int: ...
    @property
    def target_digest(self) -> str:
        """"" if elements were cast, and of arithmetic diffs."""
    @property
    def checkpoint(self) -> Checkpoint | None: ...
    def __repr__(self) -> str: ...

def diff(
    base: str,
    target: str,
    *,
    base_client: Client | None = None,
    target_client: Client | None = None,
    select: Sequence[str] = (),
    absolute_tolerance: float = 0.0,
    relative_tolerance: float = 0.0,
    progress: Callable[[ConvertProgress], object] | None = None,
) -> DiffResult:
    """Compares two checkpoints. Sides as for :func:`convert`; two refs of one client are compared by the daemon."""

def write_diff(
    base: str,
    target: str,
    output: str,
    *,
    base_client: Client | None = None,
    target_client: Client | None = None,
    output_client: Client | None = None,
    exact: bool = True,
    select: Sequence[str] = (),
    dtype: str | None = None,
    format: str = "",
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    created_by: str = "",
    progress: Callable[[ConvertProgress], object] | None = None,
) -> DiffResult:
    """What turns the base into the target. ``dtype`` as for :func:`convert`."""

def recover(
    base: str,
    diff: str,
    output: str,
    *,
    base_client: Client | None = None,
    diff_client: Client | None = None,
    output_client: Client | None = None,
    exact: bool = True,
    dtype: str | None = None,
    format: str = "",
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    session_key: str = "",
    created_by: str = "",
    progress: Callable[[ConvertProgress], object] | None = None,
) -> RecoverResult:
    """A checkpoint from a base and a diff."""

@final
class Format:
    @property
    def name(self) -> str: ...
    @property
    def variants(self) -> list[str]:
        """Prefixes ("params" in "params::FILE") that select this format."""
    @property
    def writable(self) -> bool: ...
    @property
    def nested_paths(self) -> bool: ...
    @property
    def values(self) -> bool: ...
    @property
    def assets(self) -> bool: ...
    @property
    def shards(self) -> bool: ...
    def __repr__(self) -> str: ...

@final
class WeightsPlace:
    """Where the weights of a model are."""

    @property
    def root(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def wrappers(self) -> list[str]: ...
    @property
    def form(self) -> str: ...
    @property
    def tensors(self) -> int: ...
    @property
    def parameters(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def __repr__(self) -> str: ...

def find_weights(source: str, *, client: Client | None = None, root: str = "") -> tuple[WeightsPlace | None, list[str]]:
    """The place of the weights in a file, or, with a client, in a ref; or, if several could be meant, key paths of these."""

def formats() -> list[Format]:
    """Every file format there is."""

def convert(
    source: str,
    target: str,
    *,
    source_client: Client | None = None,
    target_client: Client | None = None,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    root: str = "",
    weights_only: bool = False,
    dtype: str | None = None,
    format: str = "",
    strip_prefix: str = "",
    renames: tuple[str, str] | None = None,
    map: str = "",
    map_files: Sequence[tuple[str, str]] = (),
    map_configs: Sequence[tuple[str, str]] = (),
    map_symbols: Mapping[str, int] | None = None,
    prefix: str = "",
    strict: bool = False,
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
    created_by: str = "",
    progress: Callable[[ConvertProgress], object] | None = None,
) -> ConvertResult:
    """Turns a checkpoint into another: a file into a file, a file into a stored checkpoint, and so on, in bounded memory.

    Each side is a file argument as on the command line (PATH or PREFIX::PATH), or, with a client for that side, a ref (the
    target's: NAME@STEP). ``root``: only what lies below that key path. ``weights_only``: only what :func:`find_weights` finds.
    Both as a tree of their own. ``dtype``: a float dtype, "keep", or None, which is bfloat16 for EasyLM files and "keep" for all else. ``format``, ``max_shard_bytes`` (0: one
    file), ``separator`` and ``drop_unsupported`` are about files written; ``metadata``, ``parent``, ``session_key`` and
    ``created_by`` about a checkpoint written, where ``metadata`` goes over what the source has. ``progress`` as in
    :meth:`Client.save`. Nothing is visible under ``target`` before it is whole."""
