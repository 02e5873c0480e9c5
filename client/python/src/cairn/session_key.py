"""The session key of a save with `resume=True`: the same content under the same ref gives the same key.

So a save that broke off goes on where it stopped when the same thing is saved again, by the same process or by another
one; and a save of anything else never goes on with the bytes of an earlier one. That needs every byte to be looked at:
an open session says what has arrived, but not whether it is still what the tree holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from cairn import _native
from cairn.tree import Alias, Flat, Tensor


def derive(name: str, step: int, options: Mapping[str, str], flat: Flat, assets: Mapping[str, Any]) -> str:
    """The key of what is about to be saved: "py-" and 40 hexadecimal digits."""
    digest = hashlib.sha256()

    def add(*texts: str) -> None:
        for text in texts:
            raw = text.encode()
            digest.update(b"%d:" % len(raw) + raw)

    add(name, str(step), repr(sorted(options.items())))
    for item in flat.items:
        add(_native.format_path(item.path))
        if isinstance(item, Tensor):
            add("tensor", item.source.dtype, repr(item.source.shape))
            for part in item.source.parts:
                add(repr((part.offset, part.extent)))
                digest.update(_native.content_digest(part.read()))
        elif isinstance(item, Alias):
            add("alias", _native.format_path(item.target))
        else:
            # repr tells every two plain values apart: -0.0 from 0.0, 1 from 1.0 and True, a list from a tuple.
            add("value", repr(item.value))
    for asset, content in sorted(assets.items()):
        add("asset", asset)
        if isinstance(content, (str, os.PathLike)):
            facts = os.stat(content)
            add(os.path.realpath(content), str(facts.st_size), str(facts.st_mtime_ns))
        else:
            digest.update(_native.content_digest(content))
    return f"py-{digest.hexdigest()[:40]}"
