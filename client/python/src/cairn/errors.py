"""Exceptions: one class for each canonical code of gRPC, all of them :class:`CairnError`.

Act on the class first, then on :attr:`CairnError.reason`, never on the text. The text names ref, entry and box where
there are any. :class:`UnavailableError` means "try again later", and nothing else does; the client has tried for
``retry_for`` seconds by then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from cairn import _native


class CairnError(Exception):
    """Whatever the daemon or the client refuses.

    >>> try:
    ...     client.load("no/such@1")
    ... except cairn.CairnError as error:
    ...     print(type(error).__name__, error.code, error.metadata["ref"])
    NotFoundError NOT_FOUND no/such@1
    """

    code: str = "UNKNOWN"
    """The canonical code: ``"NOT_FOUND"``, ``"DATA_LOSS"``, ..."""

    reason: str
    """UPPER_SNAKE_CASE, finer than the code (``"TENSOR_HOLE"``); "" if there is none. docs/api.md has the table."""

    metadata: dict[str, str]
    """Facts by name: ``ref``, ``path``, ``box``, ``expected``, ``found``, ``object``; those that there are."""

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = dict(metadata or {})

    @property
    def message(self) -> str:
        """The text alone, without the code."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.code}: {self.args[0]}"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.message, self.__dict__.copy())


class CancelledError(CairnError):
    """The call was cancelled: by ``cancel()``, by an interrupt, or by an exception of a progress callback."""

    code = "CANCELLED"


class UnknownError(CairnError):
    """The other side failed in a way that has no code."""

    code = "UNKNOWN"


class InvalidArgumentError(CairnError, ValueError):
    """What was asked for makes no sense, whatever is stored. Also a :class:`ValueError`."""

    code = "INVALID_ARGUMENT"


class TreeMismatchError(InvalidArgumentError):
    """The tree given as ``into=`` is not like the checkpoint. Nothing has been filled.

    The text lists everything that is wrong, by key path; so do the three attributes.
    """

    missing: list[str]
    """Shown key paths that the tree has and the checkpoint lacks."""
    unexpected: list[str]
    """Shown key paths that the checkpoint has and the tree lacks."""
    mismatched: list[str]
    """Sentences about entries of another shape, dtype or kind."""

    def __init__(
        self,
        message: str,
        *,
        missing: list[str],
        unexpected: list[str],
        mismatched: list[str],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason="TREE_MISMATCH", metadata=metadata)
        self.missing = missing
        self.unexpected = unexpected
        self.mismatched = mismatched


class DeadlineExceededError(CairnError, TimeoutError):
    """A call took longer than its timeout. Also a :class:`TimeoutError`."""

    code = "DEADLINE_EXCEEDED"


class NotFoundError(CairnError, LookupError):
    """No such checkpoint, tag, entry or pattern. Also a :class:`LookupError`."""

    code = "NOT_FOUND"


class AlreadyExistsError(CairnError):
    """The step is taken. Save under another one, or with ``overwrite=True``."""

    code = "ALREADY_EXISTS"


class PermissionDeniedError(CairnError, PermissionError):
    """Known, but not allowed. Also a :class:`PermissionError`."""

    code = "PERMISSION_DENIED"


class UnauthenticatedError(CairnError, PermissionError):
    """Not known. Also a :class:`PermissionError`."""

    code = "UNAUTHENTICATED"


class ResourceExhaustedError(CairnError):
    """No space or no memory is left, here or there."""

    code = "RESOURCE_EXHAUSTED"


class FailedPreconditionError(CairnError):
    """The call makes sense, but not now: :attr:`~CairnError.reason` says why."""

    code = "FAILED_PRECONDITION"


class AbortedError(CairnError):
    """Somebody else was faster."""

    code = "ABORTED"


class OutOfRangeError(CairnError):
    """A position behind the end."""

    code = "OUT_OF_RANGE"


class UnimplementedError(CairnError, NotImplementedError):
    """This version cannot do that. Also a :class:`NotImplementedError`."""

    code = "UNIMPLEMENTED"


class InternalError(CairnError):
    """A defect of Cairn."""

    code = "INTERNAL"


class UnavailableError(CairnError, ConnectionError):
    """Nobody answers, although the client has tried for ``retry_for`` seconds. Also a :class:`ConnectionError`."""

    code = "UNAVAILABLE"


class DataLossError(CairnError):
    """Bytes are damaged: on the disk (``reason`` says where) or on the way."""

    code = "DATA_LOSS"


BY_CODE: dict[str, type[CairnError]] = {
    kind.code: kind
    for kind in (
        CancelledError, UnknownError, InvalidArgumentError, DeadlineExceededError, NotFoundError, AlreadyExistsError,
        PermissionDeniedError, UnauthenticatedError, ResourceExhaustedError, FailedPreconditionError, AbortedError,
        OutOfRangeError, UnimplementedError, InternalError, UnavailableError, DataLossError,
    )
}  # fmt: skip


def _restore(kind: type[CairnError], message: str, state: dict[str, object]) -> CairnError:
    """For pickle, which multiprocessing takes exceptions across with."""
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


def _make_error(code: str, message: str, reason: str, metadata: dict[str, str]) -> CairnError:
    """What the native module makes its exceptions with. A code that this version lacks keeps its name."""
    kind = BY_CODE.get(code, UnknownError)
    error = kind(message, reason=reason, metadata=metadata)
    if kind.code != code:
        error.code = code
    return error


@contextlib.contextmanager
def naming(pinned: str, ref: str) -> Iterator[None]:
    """Errors within it speak of `ref` where the daemon speaks of the uid that it was asked for."""
    try:
        yield
    except CairnError as error:
        error.args = (error.message.replace(pinned, ref),)
        error.metadata = {key: value.replace(pinned, ref) for key, value in error.metadata.items()}
        raise


_native.set_error_factory(_make_error)
