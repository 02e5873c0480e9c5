"""Two checkpoints of bfloat16 weights in safetensors files, of which the second comes from the first.

   python pairs.py KIND FOLDER BYTES SEED      writes FOLDER/base.safetensors and FOLDER/target.safetensors

KIND: `changed`, 1 % of the elements are other ones; `equal`; `unrelated`, drawn anew.
"""

import json
import pathlib
import sys

import numpy as np

PIECE = 16 << 20  # Elements that are drawn at a time.
TENSOR = 64 << 20


def bfloat16(values):
    """The upper halves of float32: cut, which is near enough for weights."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def header(bytes_):
    sizes = [min(TENSOR, bytes_ - at) for at in range(0, bytes_, TENSOR)]
    entries = {
        f"layers.{i}.weight": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [i * TENSOR, i * TENSOR + size]}
        for i, size in enumerate(sizes)
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def main(kind, folder, bytes_, seed):
    generator = np.random.default_rng(seed)
    with open(folder / "base.safetensors", "wb") as base, open(folder / "target.safetensors", "wb") as target:
        for file in (base, target):
            file.write(header(bytes_))
        for at in range(0, bytes_ // 2, PIECE):
            count = min(PIECE, bytes_ // 2 - at)
            weights = generator.standard_normal(count, np.float32) * np.float32(0.02)
            old = bfloat16(weights)
            if kind == "unrelated":
                new = bfloat16(generator.standard_normal(count, np.float32) * np.float32(0.02))
            else:
                new = old.copy()
            if kind == "changed":
                where = generator.integers(0, count, count // 100)
                new[where] = bfloat16(weights[where] * np.float32(1.01))
            base.write(old.tobytes())
            target.write(new.tobytes())


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
