"""safetensors files by hand, for tests that want no package between them and the bytes."""

import json
import struct


def safetensors_header(tensors, metadata=None):
    """With the length of what follows. `tensors`: name -> (dtype, shape, bytes or a length)."""
    header = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        length = data if isinstance(data, int) else len(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offset


def write_safetensors(path, tensors, metadata=None):
    header, _ = safetensors_header(tensors, metadata)
    path.write_bytes(header + b"".join(data for _, _, data in tensors.values()))
    return path


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])]) for name, entry in header.items()}
