"""What some calls of the client answer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cairn import _native
from cairn.checkpoint import Checkpoint

if TYPE_CHECKING:
    from cairn.client import Client


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage that :meth:`Client.verify` found."""

    path: str
    """Shown key path of the entry."""
    message: str
    object: str
    """In the object store."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What :meth:`Client.verify` found."""

    checkpoint: Checkpoint
    nbytes: int
    """How many were read."""
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """No damage."""
        return not self.problems

    @classmethod
    def of(cls, client: Client, found: _native.VerifyResult) -> Verification:
        """What the native module found."""
        problems = [Problem(p.path, p.message, p.object) for p in found.problems]
        return cls(Checkpoint(client, found.checkpoint), found.bytes, problems)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a daemon says of itself. Numbers are 0 where unknown."""

    version: str
    object_store: str
    registry: str
    free_bytes: int
    total_bytes: int
    checkpoints: int
    open_sessions: int
    objects: int
    object_bytes: int
    logical_bytes: int

    @classmethod
    def of(cls, found: _native.ServerInfo) -> ServerInfo:
        """What the native module found."""
        return cls(**{f.name: getattr(found, f.name) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """What :meth:`Client.gc` has freed, or would free."""

    purged_checkpoints: int
    expired_sessions: int
    deleted_objects: int
    deleted_bytes: int

    @classmethod
    def of(cls, found: _native.GarbageReport) -> GarbageReport:
        """What the native module found."""
        return cls(**{f.name: getattr(found, f.name) for f in fields(cls)})
