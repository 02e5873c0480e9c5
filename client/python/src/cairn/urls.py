"""What is a URL, and what people may see of one."""

from __future__ import annotations

_SCHEMES = ("http://", "https://", "s3://")


def _without_prefixes(text: str) -> str:
    # "torch::https://...": a prefix has no '/'.
    while (begin := text.partition("::"))[1] and "/" not in begin[0]:
        text = begin[2]
    return text


def is_url(text: str) -> bool:
    """Whether the text begins as a URL that this package reads, also behind the prefix of a format."""
    return _without_prefixes(text).lower().startswith(_SCHEMES)


def shown(text: str) -> str:
    """The text without what may be secret of a URL: user, password and query."""
    if not is_url(text):
        return text
    begin, _, rest = text.partition("://")
    path = rest.partition("?")[0].partition("#")[0]
    host, slash, tail = path.partition("/")
    return f"{begin}://{host.rpartition('@')[2]}{slash}{tail}"
