"""Where the weights of a model are, in a checkpoint that may hold more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cairn import _native

if TYPE_CHECKING:
    from cairn.client import Client


@dataclass(frozen=True, slots=True)
class Weights:
    """The place of the weights; ``convert(weights_only=True)`` takes exactly these."""

    root: str
    """Key path that they lie below; "" is the top level."""
    prefix: str
    """In front of each name, and none of the model's: ``"model."`` in checkpoints of Lightning."""
    wrappers: tuple[str, ...]
    """Parts of names that ``torch.compile`` and others have left: ``"_orig_mod"``."""
    form: str
    """Whose way of saving it is: ``"EasyLM train state"``."""
    tensors: int
    parameters: int
    nbytes: int
    text: str
    """All of it in words."""

    def __str__(self) -> str:
        return self.text


def find_weights(source: str | os.PathLike[str], *, root: str = "") -> Weights | None:
    """Where the weights are in a file or folder of any format, or behind a URL; None if there are none, or several that could be meant.

    :param root: look below this key path.

    >>> _ = client.save("docs/weights@1", {"model": {"a.w": np.ones(4, np.float32)}, "optimizer": {"lr": 0.1}})
    >>> client.show("docs/weights@1").weights.root
    'model'
    >>> result = client.convert("docs/weights@1", tmp_path / "w.safetensors", weights_only=True)
    >>> str(cairn.find_weights(tmp_path / "w.safetensors"))
    'state dict'
    """
    place, _ = _native.find_weights(os.fspath(source), root=root)
    return _weights(place)


def weights_of(client: Client, ref: str) -> Weights | None:
    place, _ = _native.find_weights(ref, client=client.native)
    return _weights(place)


def _weights(place: _native.WeightsPlace | None) -> Weights | None:
    if place is None:
        return None
    return Weights(
        place.root, place.prefix, tuple(place.wrappers), place.form, place.tensors, place.parameters, place.bytes, str(place)
    )
