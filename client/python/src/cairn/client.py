"""The client: everything that a daemon does, as methods."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, SupportsIndex

from cairn import _native, dtypes, files, records
from cairn.checkpoint import Checkpoint, CheckpointList, named, ref_of
from cairn.convert import ConvertResult, convert
from cairn.diff import DiffReport, DiffResult, RecoverResult, Side, diff, recover, write_diff
from cairn.errors import FailedPreconditionError, InvalidArgumentError
from cairn.files import FilesResult
from cairn.load import BoxLike, LoadRequest, load
from cairn.options import options_after_client, options_of
from cairn.progress import Meter, ProgressCallback, Reporter
from cairn.results import GarbageReport, ServerInfo, Verification
from cairn.save import NO_TREE, AssetContent, SaveRequest, SaveResult, save, who
from cairn.sinks import Framework
from cairn.tls import Tls, read, resolve

DEFAULT_TARGET: Final = "localhost:7710"


class Client:
    """A daemon. Sends nothing before the first call; any number of threads may share one.

    :param target: ``"HOST:PORT"`` or ``"unix:/PATH"``. Without it the environment variable ``CAIRN_SERVER``, and then
        ``"localhost:7710"``.
    :param retry_for: for how many seconds a call that finds nobody is tried again, and a stream that broke off is
        resumed. Then it is an :class:`UnavailableError`.
    :param call_timeout: seconds for one attempt of a short call.
    :param max_unacknowledged_bytes: how much of a save may be on its way without being durable. It bounds the
        memory for arrays that have to be copied (those on a device, or not in C order).
    :param tls: speak TLS: with the files of a :class:`cairn.Tls`, or, if True, with the authorities of the system. Without
        it the environment variables ``CAIRN_TLS`` (1 or 0), ``CAIRN_TLS_CA``, ``CAIRN_TLS_CERT``, ``CAIRN_TLS_KEY`` and
        ``CAIRN_TLS_SERVER_NAME`` say so, unless the target is a Unix socket, which is always plain.
    :param bearer_token: sent with each call. With TLS or a Unix socket only.
    :raises InvalidArgumentError: for a target or options that cannot work.
    :raises OSError: if a file of `tls` cannot be read.

    A client is a context manager; leaving it closes it. So does forgetting it.

    >>> with cairn.Client(server.target) as other:
    ...     result = other.save("docs/client@1", {"w": np.ones(2, np.float32), "step": 7})
    >>> client.load("docs/client@1")
    {'w': array([1., 1.], dtype=float32), 'step': 7}
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        retry_for: float = 120.0,
        call_timeout: float = 60.0,
        max_unacknowledged_bytes: int = 512 << 20,
        tls: Tls | bool | None = None,
        bearer_token: str = "",
    ) -> None:
        self._target = target or os.environ.get("CAIRN_SERVER") or DEFAULT_TARGET
        tls = resolve(tls, self._target)
        pem = read(tls)
        self._native: _native.Client | None = _native.Client(
            self._target,
            retry_for=retry_for,
            call_timeout=call_timeout,
            max_unacknowledged_bytes=max_unacknowledged_bytes,
            tls=tls is not None,
            root_certificates=pem.root_certificates,
            client_certificate=pem.client_certificate,
            client_key=pem.client_key,
            server_name=(tls.server_name or "") if tls is not None else "",
            bearer_token=bearer_token,
            user_agent=f"cairn-python/{_native.__version__}",
        )

    @property
    def target(self) -> str:
        """Where the daemon is."""
        return self._target

    @property
    def native(self) -> _native.Client:
        """The connection below. Not for users: its interface is not stable.

        :raises FailedPreconditionError: after :meth:`close`.
        """
        if self._native is None:
            raise FailedPreconditionError(f"the client of {self._target} is closed")
        return self._native

    def close(self) -> None:
        """Lets the connection go. What runs in other threads comes to its end; new calls are refused."""
        self._native = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"cairn.Client({self._target!r})"

    def save(
        self,
        ref: str,
        tree: Any,
        *,
        assets: Mapping[str, AssetContent] | None = None,
        metadata: Mapping[str, str] | None = None,
        tag: str | Sequence[str] = (),
        parent: str | Checkpoint = "",
        parent_tree: Any = NO_TREE,
        overwrite: bool = False,
        writer: int = 0,
        writers: int = 1,
        replicated: bool = False,
        session_key: str | None = None,
        resume: bool = False,
        commit: bool = True,
        lease: float | None = None,
        progress: ProgressCallback | bool | None = None,
    ) -> SaveResult:
        """Saves a tree as checkpoint NAME@STEP. It is visible once it is whole and durable, and not before.

        :param ref: ``"team/run@400"``.
        :param tree: dicts, lists, tuples, named tuples and dataclasses of arrays and plain values; or a single one.
            Arrays are borrowed, so they must not change before this returns.
        :param assets: files to be carried along: name to bytes, or to the path of a file.
        :param metadata: texts by texts, shown by ``ls`` and ``show``; 64 KiB in all.
        :param tag: labels that shall point to the checkpoint when it is there. Not with ``commit=False``.
        :param parent: what this checkpoint comes from: a ref, a :class:`Checkpoint`, or ``"previous"``, which is the
            highest step of this name below this one, if there is one (a checkpoint that is called so is
            ``"previous@latest"``). The daemon stores what is nearly equal to it as the difference. It may be deleted
            whenever you like.
        :param parent_tree: the tree that the parent holds, if you still have it: of arrays with the same path, dtype and
            shape only what changed is sent. If it holds something else, that is noticed, and everything is sent.
        :param overwrite: take the place of a checkpoint that has this name and step already, in one moment.
        :param writer: which one of `writers` this is, from 0.
        :param writers: how many processes fill this checkpoint. They need a `session_key`. Each saves its own part
            of the tree (whole arrays, or :class:`cairn.Shard`; of a ``jax.Array`` what lies here).
        :param replicated: all writers have the same tree, and each sends its share of it.
        :param session_key: which save this is: a call with the same key goes on where an earlier one stopped, also in
            another process. You promise that it saves the same.
        :param resume: derive the session key from everything that is saved, so that a call that saves the same goes on
            where an earlier one with ``resume`` stopped. It looks at every byte once before the first is sent. One
            writer only.
        :param commit: False leaves the session to :meth:`commit` or :meth:`abort`. With several writers the last one to
            finish commits.
        :param lease: seconds without any sign of a writer after which the session is given up.
        :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
        :raises InvalidArgumentError: for a tree that cannot be saved, with the key path; nothing has been sent then.
        :raises AlreadyExistsError: if name and step are taken, and not ``overwrite``.
        :raises FailedPreconditionError: if the parts of several writers are no whole, by tensor and box.
        :raises UnavailableError: if nobody answers for ``retry_for`` seconds. With a `session_key` or `resume` the same call
            again goes on.

        >>> result = client.save("docs/save@400", {"w": np.arange(6.0).reshape(2, 3), "betas": (0.9, 0.95)}, tag="best")
        >>> result.checkpoint.ref, result.nbytes
        ('docs/save@400', 48)
        >>> client.load("docs/save@best")["betas"]
        (0.9, 0.95)
        """
        name, step, tagged, uid = _native.parse_ref(ref)
        if step is None or tagged or uid:
            raise InvalidArgumentError(f'"{ref}": expected NAME@STEP, the name and step to save under')
        request = SaveRequest(
            name=name,
            step=step,
            assets=dict(assets or {}),
            metadata=dict(metadata or {}),
            parent=f"uid:{parent.uid}" if isinstance(parent, Checkpoint) else parent,
            parent_tree=parent_tree,
            tags=_texts("tag", tag),
            overwrite=overwrite,
            session_key=session_key,
            resume=resume,
            writer=_index("writer", writer),
            writers=_index("writers", writers),
            replicated=replicated,
            commit=commit,
            lease=lease,
            created_by=who(),
        )
        with Reporter(progress, f"save {ref}") as callback:
            return save(self, request, tree, callback)

    def load(
        self,
        ref: str | Checkpoint,
        *,
        select: str | Sequence[str] = (),
        dtype: Any = None,
        into: Any = NO_TREE,
        have: str | Checkpoint | None = None,
        strict: bool = True,
        boxes: Mapping[str | tuple[str | int, ...], BoxLike] | None = None,
        types: records.Types = (),
        framework: Framework = "numpy",
        device: Any = None,
        streams: int = 1,
        progress: ProgressCallback | bool | None = None,
    ) -> Any:
        """Loads a checkpoint, or parts of it, as the tree that was saved.

        :param ref: ``"NAME@STEP"``, ``"NAME@TAG"``, ``"NAME"`` (its highest step), ``"uid:UID"`` or a
            :class:`Checkpoint`.
        :param select: key paths, prefixes (``"params/"``), globs (``"params/**/kernel"``) and exclusions
            (``"!opt_state/"``).
        :param dtype: every float tensor arrives as this; integers stay as they are. A name, or a dtype of NumPy,
            ml_dtypes, torch or JAX. With `into`, ``"match"`` is the dtype of each array there.
        :param into: a tree whose arrays are filled in place, and which is returned. Shapes and dtypes are compared
            before anything is filled. What cannot be filled (numbers, JAX arrays) is replaced.
        :param have: a checkpoint whose arrays `into` holds now, loaded or saved with the same `dtype`: only what is
            different comes, and is changed in place. Where an array holds something else, that is noticed, and all of it
            comes. After an error an array may be new up to some byte and old behind it; load again, with `have` or without.
            JAX arrays cannot be changed: all of them comes.
        :param strict: whether `into` and what is selected must have the same paths.
        :param boxes: of these tensors (shown key path, or tuple) only that part: slices, as ``np.s_[0:2, :]`` makes
            them, that lie within it.
        :param types: named tuples and dataclasses that may be made again; others come back as dicts of their fields. A
            mapping gives a class for another name: ``{"old.module:State": State}``.
        :param framework: what new arrays are: ``"numpy"``, ``"torch"`` or ``"jax"``.
        :param device: where new arrays of torch or JAX shall be.
        :param streams: how many streams load at once, each in a thread of its own.
        :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
        :returns: the tree, or `into`. A selection keeps its place: ``load(ref, select="a/b")`` is
            ``{"a": {"b": ...}}``.
        :raises NotFoundError: no such checkpoint, or a pattern that matches nothing.
        :raises TreeMismatchError: `into` does not fit, with a list of what does not.
        :raises UnimplementedError: a dtype that the framework lacks, with what to do.
        :raises DataLossError: bytes are damaged. Nothing of them is returned; `into` may be half filled.

        >>> result = client.save("docs/load@1", {"a": np.arange(4, dtype=np.float32), "b": [np.zeros(2), None]})
        >>> client.load("docs/load@1", select="a", dtype="float16")
        {'a': array([0., 1., 2., 3.], dtype=float16)}
        >>> tree = {"a": np.empty(4, np.float32), "b": [np.empty(2), "anything"]}
        >>> client.load("docs/load@1", into=tree) is tree, tree["b"]
        (True, [array([0., 0.]), None])
        >>> client.load("docs/load@1", select="a", boxes={"a": np.s_[1:3]})["a"]
        array([1., 2.], dtype=float32)
        """
        shown = ref.ref if isinstance(ref, Checkpoint) else ref
        match = isinstance(dtype, str) and dtype == "match"
        has_into = into is not NO_TREE
        if has_into and (boxes or types or framework != "numpy" or device is not None):
            raise InvalidArgumentError(
                "into= says already what becomes of each entry; leave out boxes (use cairn.Shard), types, framework "
                "and device"
            )
        if match and not has_into:
            raise InvalidArgumentError('dtype="match" is the dtype of the arrays in into=, which is not given')
        if have is not None and not has_into:
            raise InvalidArgumentError("have= is the checkpoint that the arrays in into= hold, which is not given")
        if streams < 1:
            raise InvalidArgumentError(f"streams: {streams}; expected at least 1")
        request = LoadRequest(
            ref=ref_of(ref),
            select=_texts("select", select),
            dtype=None if dtype is None or match else _float_name(dtype),
            match=match,
            boxes={_path(path): box for path, box in (boxes or {}).items()},
            types=records.lookup(types),
            framework=framework,
            device=device,
            strict=strict,
            streams=streams,
            have=have if have is None or isinstance(have, str) else f"uid:{have.uid}",
        )
        with Reporter(progress, f"load {shown}") as callback, named(ref):
            return load(self, request, into, has_into, callback)

    def ls(self, name: str = "", *, metadata: Mapping[str, str] | None = None) -> CheckpointList:
        """Checkpoints by name, then step.

        :param name: that name and what lies below it; or what begins so, if it ends in ``/``; everything if empty.
        :param metadata: only those that have all of it.

        >>> result = client.save("docs/ls@1", {"x": 1}, metadata={"loss": "0.5"})
        >>> [checkpoint.ref for checkpoint in client.ls("docs/ls", metadata={"loss": "0.5"})]
        ['docs/ls@1']
        """
        found = [Checkpoint(self, c) for c in self.native.list_checkpoints(prefix=name, metadata=metadata)]
        if name and not name.endswith("/"):
            found = [c for c in found if c.name == name or c.name.startswith(f"{name}/")]
        return CheckpointList(found)

    def show(self, ref: str | Checkpoint) -> Checkpoint:
        """A checkpoint with the list of its entries, but without their bytes.

        :raises NotFoundError: if there is none.

        >>> result = client.save("docs/show@1", {"w": np.zeros((2, 2), np.float32), "lr": 0.1})
        >>> print("\\n".join(str(client.show("docs/show@1")).splitlines()[-3:]))
          path  kind    dtype    shape  bytes  value
          w     tensor  float32  2×2    16 B
          lr    value                          0.1
        """
        with named(ref):
            checkpoint = Checkpoint(self, self.native.get_checkpoint(ref_of(ref)))
            _ = checkpoint.entries
        return checkpoint

    def tag(self, ref: str | Checkpoint, tag: str, *, expected: str | None = None) -> Checkpoint:
        """Points a tag at a checkpoint, from wherever it points now.

        :param expected: uid that the tag must point to now; ``""``: it must not exist.
        :raises AbortedError: if it points elsewhere than `expected`.
        """
        with named(ref):
            return Checkpoint(self, self.native.set_tag(ref_of(ref), tag, expected_uid=expected))

    def untag(self, name: str, tag: str, *, missing_ok: bool = False) -> None:
        """Removes a tag. The checkpoint stays.

        :raises NotFoundError: if there is none, and not `missing_ok`.
        """
        self.native.delete_tag(name, tag, allow_missing=missing_ok)

    def rm(self, ref: str | Checkpoint, *, missing_ok: bool = False) -> Checkpoint | None:
        """Removes a checkpoint and its tags. Its bytes are freed later, when nobody reads it any more.

        :returns: what was removed.
        :raises NotFoundError: if there is none, and not `missing_ok`.
        """
        with named(ref):
            removed = self.native.delete_checkpoint(ref_of(ref), allow_missing=missing_ok)
        return None if removed is None else Checkpoint(self, removed)

    def verify(self, ref: str | Checkpoint, *, progress: ProgressCallback | bool | None = None) -> Verification:
        """Has the daemon read every byte of a checkpoint and compare digests. Damage is no exception: look at ``.ok``.

        >>> result = client.save("docs/verify@1", {"w": np.zeros(1000)})
        >>> client.verify("docs/verify@1").ok
        True
        """
        asked = ref_of(ref)
        with Reporter(progress, f"verify {ref if isinstance(ref, str) else ref.ref}") as callback:
            meters: dict[int, Meter] = {}

            def report(done: int, total: int) -> None:
                meters.setdefault(total, Meter(total, callback)).update(done)

            with named(ref):
                found = self.native.verify(asked, progress=report if callback is not None else None)
        return Verification.of(self, found)

    @options_of(convert)
    def convert(self, source: str | os.PathLike[str], target: str | os.PathLike[str], **options: Any) -> ConvertResult:
        """:func:`cairn.convert` between files and checkpoints of this daemon, with its options."""
        return convert(source, target, client=self, **options)

    @options_of(diff)
    def diff(self, base: Side, target: Side, **options: Any) -> DiffReport:
        """:func:`cairn.diff` of checkpoints of this daemon and of files, with its options."""
        return diff(base, target, client=self, **options)

    @options_of(write_diff)
    def write_diff(self, base: Side, target: Side, output: str | os.PathLike[str], **options: Any) -> DiffResult:
        """:func:`cairn.write_diff` between checkpoints of this daemon and files, with its options."""
        return write_diff(base, target, output, client=self, **options)

    @options_of(recover)
    def recover(self, base: Side, diff: Side, output: str | os.PathLike[str], **options: Any) -> RecoverResult:
        """:func:`cairn.recover` between checkpoints of this daemon and files, with its options."""
        return recover(base, diff, output, client=self, **options)

    @options_after_client(files.export)
    def export(self, ref: str | Checkpoint, path: str | os.PathLike[str], **options: Any) -> FilesResult:
        """Writes a checkpoint as a file or folder here, whose format the daemon makes.

        :meth:`convert` does that work in this process instead. Prefer it where the daemon serves many; prefer this one
        for formats that this package is too old for, and where the processor's time here is dear.

        Nothing is visible at `path` before it is whole. A connection that breaks is made again, and the export goes on.

        :param path: a folder if it ends in ``"/"`` or is one.
        :param format: a name or prefix (``"safetensors"``, ``"params"``). Without it the name of `path` decides.
        :param select: key paths, prefixes, globs, exclusions.
        :param root: only what lies below this key path, as a tree of its own.
        :param weights_only: only the weights of the model, wherever they are.
        :param dtype: every float tensor becomes this. None leaves them.
        :param exclude: more of what to leave out; each pattern must match something.
        :param strip_prefix: taken away in front of names, before `map`; `prefix` is put there after it.
        :param rename: other names, old by new, or a YAML file of such lines.
        :param map: names and layout of another family of models (docs/name-maps.md).
        :param map_files: maps of your own; `map_config` and `map_symbols` are what a map needs to know, as for :meth:`convert`.
        :param strict: refuse what cannot be carried instead of leaving it out.
        :param max_shard_size: size at which another file of a folder is begun, ``"5GB"`` or bytes; 0: one file.
        :param max_shard_bytes: the same, in bytes.
        :param parts: how many files each have a slice of every tensor, for formats that cut so (llama).
        :param separator: between the segments of a key path, in formats of flat names.
        :param drop_unsupported: leave out what the format cannot hold; otherwise that is an error. Never a tensor.
        :param overwrite: replace what is there.
        :param progress: called with :class:`cairn.Progress`; True draws a line on standard error.
        :raises NotFoundError: if there is no such checkpoint.
        :raises AlreadyExistsError: if the target exists, and not `overwrite`.

        >>> result = client.save("docs/export@1", {"w": np.ones(4, np.float32)})
        >>> client.export("docs/export@1", tmp_path / "w.safetensors", dtype="bfloat16").format
        'safetensors'
        >>> client.export("docs/export@1", tmp_path / "v.npz", rename={"w": "v"}).entries
        1
        """
        return files.export(self, ref, path, **options)

    @options_after_client(files.import_)
    def import_(self, path: str | os.PathLike[str], ref: str, **options: Any) -> FilesResult:
        """Saves a file or folder that is here as a checkpoint; the daemon reads its format, of what it asks for.

        It may ask for all of `path`: the one file (with those beside it, if it is JSON or there is a `map`), or every
        file below the folder. No pickle is run. Otherwise as for :meth:`export`, whose options of the same names these are.

        :param format: a name or prefix. Without it the content decides.
        :param metadata: goes over what the source says of itself.
        :param session_key: the same key goes on where an import that broke off stopped, as for :meth:`save`.
        :raises NotFoundError: if there is no such file.
        :raises AlreadyExistsError: if there is a checkpoint of that name and step, and not `overwrite`.
        :raises FailedPreconditionError: if a file changes meanwhile.

        >>> result = client.export("docs/export@1", tmp_path / "again.safetensors")
        >>> client.import_(tmp_path / "again.safetensors", "docs/import@1").checkpoint.ref
        'docs/import@1'
        """
        return files.import_(self, path, ref, **options)

    def commit(self, session_id: str) -> Checkpoint:
        """Commits a session that was saved with ``commit=False``, once all its writers have finished.

        :raises FailedPreconditionError: if writers are missing, or the parts are no whole.
        """
        return Checkpoint(self, self.native.commit_save(session_id))

    def abort(self, session_id: str) -> None:
        """Gives a session up that is not committed."""
        self.native.abort_save(session_id)

    def gc(self, *, dry_run: bool = False) -> GarbageReport:
        """Has the daemon free what nothing needs; it does so by itself every few minutes.

        :param dry_run: only count.
        :raises AbortedError: if it is being done already.
        """
        return GarbageReport.of(self.native.collect_garbage(dry_run=dry_run))

    def info(self) -> ServerInfo:
        """Version, space and totals of the daemon.

        >>> client.info().checkpoints > 0
        True
        """
        return ServerInfo.of(self.native.server_info())


def _index(name: str, given: SupportsIndex) -> int:
    try:
        return operator.index(given)
    except TypeError:
        raise TypeError(f"{name}: expected an int, found {given!r}") from None


def _texts(name: str, given: str | Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if given is None:
        return ()
    texts = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name}: expected a text or several, found {given!r}")
    return texts


def _path(path: str | tuple[str | int, ...]) -> tuple[str | int, ...]:
    return _native.parse_path(path) if isinstance(path, str) else tuple(path)


def _float_name(dtype: Any) -> str:
    name = dtypes.name_of(dtype)
    if not dtypes.is_float(name):
        raise InvalidArgumentError(f"dtype: {name} is no float; floats alone are cast, and to floats alone")
    return name
