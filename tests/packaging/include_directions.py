"""Finds includes that point the wrong way: a module may include what docs/architecture.md says, and nothing else of ours.

The linker sees calls only; a header that is all inline, or a type that is only named, passes it.

Usage: include_directions.py ROOT
"""

import pathlib
import re
import sys

BASE, IO, TENSOR, CAST, TLS = "common/base", "common/io", "common/tensor", "common/cast", "common/tls"
NET = "common/net"
FORMAT = "common/format/format.h"
FORMATS = "common/format/all_formats.h"
FORMAT_FILES = "common/format/checkpoint_file.h"
WIRE = "proto/wire"
CLIENT = "client/cpp/include"
COMMON_FOR_PROGRAMS = [BASE, IO, TENSOR, CAST, FORMAT, FORMATS, FORMAT_FILES, "common/convert", "common/diff", "common/namemap", "common/pickle", "common/recipe", "common/seed"]

# Folder -> the folders and headers that it may include besides its own. The longest folder that fits a file counts.
MODULES = {
    BASE: [],
    IO: [BASE],
    "common/handover": [BASE, IO],
    TENSOR: [BASE],
    CAST: [BASE, TENSOR],
    TLS: [],
    NET: [BASE, IO],
    "common/view": [BASE, TENSOR],
    "common/zip": [BASE, IO],
    "common/pickle": [BASE, IO, TENSOR],
    "common/format": [BASE, IO, TENSOR],
    "common/convert": [BASE, TENSOR, CAST, FORMAT],
    "common/delta": [BASE],
    "common/diff": [BASE, IO, TENSOR, CAST, FORMAT, "common/delta", "common/format/cairndiff"],
    "common/namemap": [BASE, IO, TENSOR, FORMAT, "common/view"],
    "common/recipe": [BASE, IO, TENSOR, FORMAT, "common/convert", "common/namemap"],
    "common/seed": [BASE, TENSOR, CAST, FORMAT, "common/namemap"],
    WIRE: [BASE, TENSOR],
    "server/store": [BASE, IO],
    "server/registry": [BASE],
    "server/engine": [BASE, TENSOR, CAST, FORMAT, "common/delta", "server/store", "server/registry"],
    "server/convert": [BASE, IO, NET, TENSOR, FORMAT, FORMATS, FORMAT_FILES, "common/convert", "common/diff", "common/format/cairndiff", "common/recipe", "server/engine"],
    "server/service": [BASE, TENSOR, WIRE, "common/handover", "common/delta", "server/convert", "server/engine", "server/registry/registry.h"],
    "server/app": [BASE, IO, TLS, "common/handover", "server/store", "server/registry", "server/convert", "server/engine", "server/service"],
    "client/cpp/include": [BASE, TENSOR],
    "client/cpp/src": [BASE, TENSOR, TLS, WIRE, CLIENT, "common/handover", "common/delta"],
    "client/transfer": [*COMMON_FOR_PROGRAMS, CLIENT],
    "client/cli": [*COMMON_FOR_PROGRAMS, NET, CLIENT, "client/transfer", "common/format/cairndiff"],
    "client/python/native": [*COMMON_FOR_PROGRAMS, NET, CLIENT, "client/transfer", "common/format/cairndiff"],
}
# A single format knows the interface and itself, unless it is listed here. These are what knows them all.
FORMAT_FOLDERS = {
    "common/format/colossalai": ["common/format/folder", "common/format/safetensors", "common/format/torch", "common/pickle"],
    "common/format/dcp": ["common/format/folder", "common/format/safetensors", "common/format/torch", "common/pickle", "common/view"],
    "common/format/easylm": ["common/format/flax_msgpack"],
    "common/format/flax": ["common/format/flax_msgpack", "common/format/folder"],
    "common/format/lightning": ["common/format/dcp", "common/format/folder", "common/format/torch"],
    "common/format/litgpt": ["common/format/torch"],
    "common/format/llama": ["common/format/folder", "common/format/torch"],
    "common/format/npz": ["common/view", "common/zip"],
    "common/format/safetensors": ["common/format/folder"],
    "common/format/torch": ["common/format/folder", "common/pickle", "common/view", "common/zip"],
}
ALL_FORMATS = ("common/format/all_formats", "common/format/assets_beside", "common/format/checkpoint_file", "common/format/resuming_writer")

# Headers of others by how they begin -> who may include them. Abseil and the system's headers are everybody's.
LIBRARIES = {
    "absl/": [""],
    "CLI/": ["client/cli"],
    "cairn/v1/": [WIRE, "server/service", "client/cpp/src"],
    "gmock/": ["client/cpp/include/cairn/mock_connection.h"],
    "google/": [WIRE, "server/service", "server/app/library_logs.cc", "client/cpp/src"],
    "grpc/": [WIRE, "server/service", "server/app", "client/cpp/src"],
    "grpcpp/": [WIRE, "server/service", "server/app", "client/cpp/src"],
    "hwy/": ["common"],
    "libdeflate.h": ["common/zip"],
    "nanobind/": ["client/python/native"],
    "curl/": [NET],
    "pugixml.hpp": [NET],
    "nlohmann/": ["common/format", "common/namemap", "client/cli"],
    "openssl/": [BASE, TLS, NET, "client/cpp/src/tls_probe.cc"],
    "spdlog/": ["server/app"],
    "sqlite3.h": ["server/registry"],
    "yaml-cpp/": ["common/namemap", "common/seed", "server/app"],
    "zlib.h": ["common/zip"],
    "zstd.h": ["common/delta", "common/format/dcp"],
}

SOURCES = {".h", ".hpp", ".cc", ".cpp"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def inside(path, place):
    return place == "" or path == place or path.startswith(place + "/")


def module_of(path):
    fitting = [folder for folder in MODULES if inside(path, folder)]
    return max(fitting, key=len, default=None)


def allowed(path):
    """What the file may include of ours, or None where no rule speaks of it."""
    module = module_of(path)
    if module is None:
        return None
    if module != "common/format":
        return [module, *MODULES[module]]
    if path.startswith(ALL_FORMATS):
        return [module, *MODULES[module]]
    folder = path.rpartition("/")[0]
    own = [FORMAT] if folder == module else [FORMAT, folder, *FORMAT_FOLDERS.get(folder, [])]
    return [*own, *MODULES[module]]


def target_of(root, name):
    """The path in this tree that an include names, or None: it is somebody else's."""
    if (root / name).is_file():
        return name
    public = f"{CLIENT}/{name}"
    return public if (root / public).is_file() else None


def problems_of_file(root, path, text):
    may = allowed(path)
    if may is None:
        yield f"{path}: no rule says what this folder may include; add it to MODULES in include_directions.py"
        return
    for match in INCLUDE.finditer(text):
        quoted, name = match[1], match[1] or match[2]
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        target = target_of(root, name)
        if target is not None:
            if not any(inside(target, place) for place in may):
                yield f"{where}: includes {name}, expected only {', '.join(may)}"
            continue
        library = next((begin for begin in LIBRARIES if name.startswith(begin)), None)
        if library is not None:
            if not any(inside(path, place) for place in LIBRARIES[library]):
                yield f"{where}: includes {name}, which is for {', '.join(LIBRARIES[library])}"
        elif quoted and "/" not in name and (root / path).parent.joinpath(name).is_file():
            yield f"{where}: includes {name}, expected its path from the root of the repository"
        elif quoted and not generated(root, path, name):
            yield f"{where}: includes {name}, which is neither in this tree nor in LIBRARIES of include_directions.py"


def generated(root, path, name):
    """Whether CMake makes the header in the folder of the file that includes it."""
    return name.rpartition("/")[0] == path.rpartition("/")[0] and (root / f"{name}.in").is_file()


def problems(root):
    for top in ("common", "proto", "server", "client"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix in SOURCES and file.is_file():
                yield from problems_of_file(root, file.relative_to(root).as_posix(), file.read_text())


if __name__ == "__main__":
    found = list(problems(pathlib.Path(sys.argv[1])))
    print("\n".join(found))
    sys.exit(1 if found else 0)
