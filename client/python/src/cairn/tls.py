"""TLS towards the daemon: which files, and what the environment says."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import NamedTuple, TypeAlias

from cairn.errors import InvalidArgumentError

Pem: TypeAlias = "str | os.PathLike[str] | bytes"


@dataclasses.dataclass(frozen=True)
class Tls:
    """How to speak TLS (1.2 or newer) to a daemon that has a certificate.

    Each of the three is the path of a PEM file, or its content as bytes.

    :param ca: the authorities one of which issued the daemon's certificate; without it those of the system.
    :param cert: this client's own certificate, its chain behind it, for a daemon that wants one (mutual TLS).
    :param key: the key of `cert`, without a passphrase.
    :param server_name: the name to expect in the daemon's certificate, if it is not that of the target.
    """

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = dataclasses.field(default=None, repr=False)
    server_name: str | None = None


def resolve(tls: Tls | bool | None, target: str) -> Tls | None:
    """What `tls` means for `target`: None is plain text."""
    if tls is None:
        return None if target.startswith("unix:") else _from_environment()
    if isinstance(tls, bool):
        return Tls() if tls else None
    return tls


class PemTexts(NamedTuple):
    """What the native client takes."""

    root_certificates: str
    client_certificate: str
    client_key: str


def read(tls: Tls | None) -> PemTexts:
    """The content of the files.

    :raises OSError: if one cannot be read.
    :raises InvalidArgumentError: if one is no PEM text.
    """
    tls = tls or Tls()
    return PemTexts(_text(tls.ca, "ca"), _text(tls.cert, "cert"), _text(tls.key, "key"))


def _from_environment() -> Tls | None:
    switch = os.environ.get("CAIRN_TLS", "")
    if switch.lower() in ("0", "false", "no"):
        return None
    tls = Tls(
        ca=os.environ.get("CAIRN_TLS_CA") or None,
        cert=os.environ.get("CAIRN_TLS_CERT") or None,
        key=os.environ.get("CAIRN_TLS_KEY") or None,
        server_name=os.environ.get("CAIRN_TLS_SERVER_NAME") or None,
    )
    return tls if switch or tls != Tls() else None


def _text(pem: Pem | None, what: str) -> str:
    if pem is None:
        return ""
    content = pem if isinstance(pem, bytes) else pathlib.Path(pem).read_bytes()
    if b"-----BEGIN " not in content:
        source = "the bytes given" if isinstance(pem, bytes) else str(pem)
        raise InvalidArgumentError(f'tls {what}: expected PEM text, found none of its "-----BEGIN" lines in {source}')
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"tls {what}: expected PEM text, found bytes that are no text") from error
