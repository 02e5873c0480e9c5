"""Cairn: save and load the state of training jobs in a checkpoint server.

    import cairn

    client = cairn.Client("localhost:7710")
    client.save("team/run@400", {"params": params, "opt_state": opt_state, "step": 400})
    state = client.load("team/run@latest")

Arrays of NumPy, PyTorch, JAX and of whatever speaks DLPack or the buffer protocol are borrowed when they are saved and
filled in place when they are loaded (``into=``). Importing this package needs NumPy alone.
"""

from __future__ import annotations

from cairn import dtypes
from cairn._native import Opaque, __version__
from cairn.arrays import Shard
from cairn.checkpoint import Checkpoint, CheckpointList, Entry
from cairn.client import Client
from cairn.convert import ConvertResult, convert
from cairn.diff import DiffReport, DiffResult, DiffStatistics, EntryDiff, RecoverResult, diff, recover, write_diff
from cairn.errors import (
    AbortedError,
    AlreadyExistsError,
    CairnError,
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    TreeMismatchError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)
from cairn.files import FilesResult
from cairn.progress import Progress
from cairn.results import GarbageReport, Problem, ServerInfo, Verification
from cairn.save import SaveResult
from cairn.tls import Tls
from cairn.tree import ELSEWHERE
from cairn.weights import Weights, find_weights

__all__ = [
    "ELSEWHERE",
    "AbortedError",
    "AlreadyExistsError",
    "CairnError",
    "CancelledError",
    "Checkpoint",
    "CheckpointList",
    "Client",
    "ConvertResult",
    "DataLossError",
    "DeadlineExceededError",
    "DiffReport",
    "DiffResult",
    "DiffStatistics",
    "Entry",
    "EntryDiff",
    "FailedPreconditionError",
    "FilesResult",
    "GarbageReport",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "Opaque",
    "OutOfRangeError",
    "PermissionDeniedError",
    "Problem",
    "Progress",
    "RecoverResult",
    "ResourceExhaustedError",
    "SaveResult",
    "ServerInfo",
    "Shard",
    "Tls",
    "TreeMismatchError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Verification",
    "Weights",
    "__version__",
    "convert",
    "diff",
    "dtypes",
    "find_weights",
    "recover",
    "write_diff",
]
