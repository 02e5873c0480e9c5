"""Our reader of torch files against torch.load(weights_only=True), on files that are almost right.

Real pickles of torch are taken apart into opcodes and damaged: opcodes taken out, doubled, moved, swapped for others of
the table that torch accepts, numbers and names exchanged, globals exchanged for others, allowed and forbidden. Then:

* what torch reads, we read as the same, but for the differences that `agreed_error` and `Compare` name, one by one;
* what torch refuses never makes us do more than answer: the program stays alive, each of its values is plain or opaque, and
  a call of something forbidden is never anything else than opaque or an error.

TORCH_PROBE names the test program; a run without it fails. Seeds are fixed, so a run is repeatable. CAIRN_FUZZ_SECONDS
makes it run for that long instead, from a new seed each time (printed, and taken from CAIRN_FUZZ_SEED).
"""

import collections
import io
import os
import pickle
import pickletools
import random
import re
import struct
import time
import warnings
import zipfile

import numpy
import pytest
import torch
from probes import Probe

warnings.filterwarnings("ignore")

CASES = 6000  # Some ten seconds.


class TorchProbe(Probe):
    def ask(self, data):
        done, answer = super().ask(data)
        return done, answer.decode(errors="replace")


@pytest.fixture(scope="module")
def probe():
    probe = TorchProbe("TORCH_PROBE")
    yield probe
    probe.close()


# What we say, as an object.


class Opaque:
    """Whatever is carried along and not understood."""


class LeftOut(Opaque):
    pass


def value_of(text):
    """The value that the program wrote, and what is left of the text."""
    if text[0] in "LTD":
        items, rest = [], text[2:]
        while not rest.startswith(") "):
            item, rest = value_of(rest)
            items.append(item)
        if text[0] == "D":
            items = Pairs(zip(items[::2], items[1::2]))
        return tuple(items) if text[0] == "T" else items, rest[2:]
    word, rest = text.split(" ", 1)
    kind, word = word[0], word[1:]
    made = {
        "N": lambda: None, "B": lambda: word == "1", "I": lambda: int(word), "F": lambda: struct.unpack(">d", bytes.fromhex(word))[0],
        "C": lambda: complex(*struct.unpack(">dd", bytes.fromhex(word))), "S": lambda: bytes.fromhex(word).decode(), "Y": lambda: bytes.fromhex(word),
        "O": Opaque,
    }[kind]()  # fmt: skip
    return made, rest


class Pairs(list):
    """A dict, whose keys need not be such that Python has dicts of them."""


class Tensor:
    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, shape, data


def segments(text):
    return tuple(int(part[1:]) if part[0] == "i" else bytes.fromhex(part[1:]).decode() for part in text.split(","))


def flat(answer):
    """{path: what stands there}."""
    found = {}
    for line in answer.splitlines():
        kind, path, *fields = line.split("\t")
        path = segments(path)
        assert path not in found, path
        if kind == "T":
            shape = tuple(map(int, fields[1].split(","))) if fields[1] else ()
            found[path] = Tensor(fields[0], shape, None if fields[2] == "-" else bytes.fromhex(fields[2]))
        elif kind == "A":
            found[path] = found[segments(fields[0])]
        elif kind == "V":
            found[path], rest = value_of(fields[0])
            assert not rest
        else:
            found[path] = LeftOut()
    return found


# What torch says, laid over it.

# The dtypes that nobody else has; torch has them in tensors and we leave those out by name.
COMMON = {
    torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16", torch.int64: "int64",
    torch.int32: "int32", torch.int16: "int16", torch.int8: "int8", torch.uint8: "uint8", torch.bool: "bool", torch.complex64: "complex64",
    torch.complex128: "complex128", torch.uint16: "uint16", torch.uint32: "uint32", torch.uint64: "uint64",
    torch.float8_e4m3fn: "float8_e4m3fn", torch.float8_e5m2: "float8_e5m2", torch.float8_e4m3fnuz: "float8_e4m3fnuz",
    torch.float8_e5m2fnuz: "float8_e5m2fnuz", torch.float8_e8m0fnu: "float8_e8m0fnu",
}  # fmt: skip
PLAIN = (type(None), bool, int, float, str, bytes, bytearray, complex, list, tuple, dict)


def is_plain(item, depth=0):
    """Nothing in it is opaque to us."""
    if depth > 50:
        return False
    if isinstance(item, str):
        return not re.search("[\ud800-\udfff]", item)
    if type(item) in (dict, collections.OrderedDict):
        return all(is_plain(k, depth + 1) and is_plain(v, depth + 1) for k, v in item.items())
    if type(item) in (list, tuple, torch.Size):
        return all(is_plain(i, depth + 1) for i in item)
    return type(item) in PLAIN


def is_common(item):
    """A tensor that others than torch have."""
    return (
        isinstance(item, torch.Tensor) and type(item) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer) and item.layout == torch.strided
        and item.dtype in COMMON and item.device.type == "cpu" and not item.is_quantized and not item.is_nested
    )  # fmt: skip


class Compare:
    """Raises AssertionError with the path where the two differ."""

    def __init__(self, ours, data, damaged):
        self.ours = ours
        self.left = set(ours)
        self.damaged = damaged
        self.called = CALLED if damaged else ()
        if damaged and any(name in data for name in CLASSES):
            self.called += (torch.Tensor, torch.nn.Parameter)
        self.untyped = damaged and b"UntypedStorage" in data

    def run(self, theirs):
        if type(theirs) in (dict, collections.OrderedDict) and self.has_keys(theirs):
            self.children((), theirs.items())
        elif type(theirs) in (list, tuple, torch.Size) and theirs:
            self.children((), enumerate(theirs))  # Agreed: the kind of a list at the root is not kept.
        elif not (type(theirs) in (dict, collections.OrderedDict) and not theirs):  # Agreed: {} at the root is nothing.
            self.at(("tensor",) if ("tensor",) in self.ours else ("value",), theirs)
        # Agreed: where Python takes 1, 1.0 and True for one key and keeps the first one's type, we keep that of each.
        assert not self.left, f"we have more: {self.left}"

    @staticmethod
    def has_keys(mapping):
        return bool(mapping) and all(
            type(key) is str and not re.search("[\ud800-\udfff]", key) or type(key) is int and -(2**63) <= key < 2**63 for key in mapping
        )

    def children(self, path, items):
        for key, item in items:
            self.at((*path, key), item)

    def at(self, path, theirs):
        assert len(path) < 100, path
        known = [p for p in self.left if p[: len(path)] == path]
        if path not in self.ours:
            # A dict is where its items are.
            assert type(theirs) in (dict, collections.OrderedDict) and self.has_keys(theirs), f"{path}: we lack {type(theirs)}"
            return self.children(path, theirs.items())
        ours = self.ours[path]
        self.left.discard(path)
        if isinstance(ours, Tensor):
            return self.tensor(path, ours, theirs)
        if type(ours) in (list, tuple) and not ours and len(known) > 1:
            assert type(theirs) in ((list,) if type(ours) is list else (tuple, torch.Size)), f"{path}: {type(theirs)}"
            return self.children(path, enumerate(theirs))
        self.value(path, ours, theirs)

    def value(self, path, ours, theirs):
        if isinstance(ours, Opaque):
            # Agreed: what is no plain thing of Python is opaque (set, Counter, dtype, device, classes, functions).
            odd = not is_common(theirs) and not is_plain(theirs)
            what = "left out" if isinstance(ours, LeftOut) else "opaque"
            assert odd or type(theirs) in self.called or what == "left out" and self.untyped, f"{path}: {what}, and torch has {type(theirs)}"
        elif type(ours) is Pairs:
            assert type(theirs) in (dict, collections.OrderedDict) and len(ours) == len(theirs), f"{path}: {type(theirs)} {theirs}"
            for (key, item), (their_key, their_item) in zip(ours, theirs.items()):
                self.value((*path, "key"), key, their_key)
                self.value((*path, key), item, their_item)
        elif type(ours) in (list, tuple):
            kinds = (list,) if type(ours) is list else (tuple, torch.Size)
            assert type(theirs) in kinds and len(ours) == len(theirs), f"{path}: {type(theirs)}"
            for i, (item, their_item) in enumerate(zip(ours, theirs)):
                self.value((*path, i), item, their_item)
        elif type(ours) is bytes:
            assert type(theirs) in (bytes, bytearray) and ours == theirs, f"{path}: {ours!r} {theirs!r}"  # Agreed: a bytearray is bytes.
        else:
            assert type(ours) is type(theirs) and repr(ours) == repr(theirs), f"{path}: {ours!r} {theirs!r}"

    def tensor(self, path, ours, theirs):
        assert is_common(theirs), f"{path}: a tensor, and torch has {type(theirs)}"
        # Agreed: of a storage that is mentioned as two classes, torch takes the first one's dtype, and we each one's.
        assert self.damaged or ours.dtype == COMMON[theirs.dtype], f"{path}: {ours.dtype} {theirs.dtype}"
        assert ours.shape == tuple(theirs.shape), f"{path}: {ours.shape} {theirs.shape}"
        if ours.data is not None and theirs.numel():
            data = theirs.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
            assert ours.data == bytes(data.numpy()), f"{path}: bytes differ"


AGREED_ERRORS = [
    # Cycles, and what is deeper than any checkpoint.
    r"holds itself",
    # Names that no file of ours could have.
    r"over the limit of 4096 bytes",
    # torch calls with anything that can be iterated; CPython's unpickler too wants a tuple.
    r"expected a tuple of arguments, found",
    # Metadata of a tensor that is false, of whatever kind, is none to torch; its bits are whatever is true.
    r"expected a dict of a tensor's metadata", r"expected True or False",
    # Of a storage that is mentioned twice, torch looks at the first mention alone.
    r'expected \("storage", class, key, location, elements\)', r"a number of elements", r"the view leaves its storage",
    r"bytes, expected \d+ by the pickle",
    # Views without elements: torch lets them lie anywhere, and count backwards.
    r"negative strides and offsets are not supported", r"negative extent",
    # torch.empty(dtype=complex): classes of Python are dtypes too, and True is an extent of 1.
    r"expected a dtype, found builtins", r"expected an integer, found bool",
    # Strides that are None are those of a contiguous tensor to torch, which never writes that.
    r"expected a tuple of at most 32 integers, found None",
    # torch warns of protocols that nobody knows.
    r"unknown protocol \d+",
]  # fmt: skip
# Agreed: what these make of arguments that no pickler writes (complex(1.0, 2), an OrderedDict of pairs, torch.Tensor())
# stays opaque, and tensors of bytes whose dtype no file says (torch takes uint8) are left out.
CALLED = (collections.OrderedDict, complex, bytes, bytearray, torch.Size)
CLASSES = (b"ctorch\nTensor\n", b"ctorch.nn.parameter\nParameter\n")


def agreed_error(message):
    return any(re.search(pattern, message) for pattern in AGREED_ERRORS)


# Files that are right.

DTYPES = list(COMMON)


class Generator:
    def __init__(self, chance):
        self.chance = chance
        self.storages = []

    def tensor(self):
        chance = self.chance
        dtype = chance.choice(DTYPES)
        if self.storages and chance.random() < 0.3:
            base = chance.choice(self.storages)
        else:
            item = torch.empty((), dtype=dtype).element_size()
            data = torch.frombuffer(bytearray(chance.randbytes(24 * item)), dtype=torch.uint8).clone()
            base = (data % 2 if dtype == torch.bool else data).view(dtype)
            self.storages.append(base)
        view = chance.choice([
            lambda: base, lambda: base[3:7], lambda: base.reshape(4, 6).t(), lambda: base.reshape(2, 3, 4).permute(2, 0, 1), lambda: base[:0],
            lambda: base[5], lambda: base[1].expand(3, 2), lambda: base.reshape(4, 6)[::2, 1::2], lambda: base.reshape(4, 6)[:, 0:0],
        ])()  # fmt: skip
        if view.is_complex() and chance.random() < 0.3:
            view = view.conj()
        if view.dtype.is_floating_point and chance.random() < 0.2:
            view = torch.nn.Parameter(view, requires_grad=False)
        return view

    def leaf(self):
        chance = self.chance
        return chance.choice([
            lambda: None, lambda: True, lambda: False, lambda: chance.randrange(300), lambda: -chance.randrange(2**40), lambda: 2 ** chance.randrange(200),
            lambda: chance.random(), lambda: "é\n" * chance.randrange(4), lambda: chance.randbytes(chance.randrange(1, 6)), lambda: complex(1, chance.random()),
            lambda: torch.Size([2, 3]), lambda: torch.float16, lambda: torch.device("cpu"), lambda: {1, "a"}, lambda: bytearray(b"xy"), self.tensor, self.tensor,
            self.tensor, lambda: torch.strided, lambda: collections.Counter("aab"), lambda: torch.eye(2).to_sparse(),
            lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        ])()  # fmt: skip

    def value(self, depth=0):
        chance = self.chance
        if depth > 3 or chance.random() < 0.35:
            return self.leaf()
        some = [self.value(depth + 1) for _ in range(chance.choice([0, 1, 2, 3, 4]))]
        kind = chance.choice(["list", "tuple", "dict", "dict", "ordered", "ints"])
        if kind == "list":
            return some
        if kind == "tuple":
            return tuple(some)
        keys = range(len(some)) if kind == "ints" else [f"k{i}" for i in range(len(some))]
        made = dict(zip(keys, some))
        if kind == "ordered":
            made = collections.OrderedDict(made)
            if chance.random() < 0.5:
                made._metadata = {"version": 1}
        if some and chance.random() < 0.3:
            made[("odd",) if chance.random() < 0.2 else "again"] = chance.choice(some)
        return made

    def file(self):
        state = {"w": self.tensor(), "v": self.value(), "u": self.value()}
        file = io.BytesIO()
        torch.save(state, file)
        with zipfile.ZipFile(file) as archive:
            records = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
        return records.pop("data.pkl"), {name: data for name, data in records.items() if name.startswith("data/")}


def torch_zip(data, storages):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        for name, storage in storages.items():
            archive.writestr(f"archive/{name}", storage)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


# Damage.

SAFE = [
    "collections OrderedDict", "collections Counter", "torch Size", "torch device", "torch float32", "torch bfloat16", "torch uint16", "torch FloatStorage",
    "torch HalfStorage", "torch LongStorage", "torch.storage UntypedStorage", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor", "torch.nn.parameter Parameter", "_codecs encode", "__builtin__ set",
    "__builtin__ complex", "torch._tensor _rebuild_from_type_v2", "torch Tensor", "torch.serialization _get_layout",
]  # fmt: skip
UNSAFE = [
    "os system", "posix system", "__builtin__ eval", "builtins exec", "__builtin__ getattr", "subprocess Popen", "functools partial", "collections defaultdict",
    "numpy.core.multiarray scalar", "argparse Namespace", "torch load", "torch.storage _load_from_bytes", "sys exit",
]  # fmt: skip
SIMPLE = [pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.MARK,
          pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.REDUCE, pickle.BUILD, pickle.NEWOBJ, pickle.APPEND, pickle.APPENDS,
          pickle.SETITEM, pickle.SETITEMS, pickle.BINPERSID, pickle.STOP]  # fmt: skip
FOREIGN = [pickle.POP, pickle.DUP, pickle.MEMOIZE, pickle.STACK_GLOBAL, pickle.ADDITEMS, pickle.FROZENSET, pickle.POP_MARK, pickle.DICT, pickle.LIST]


def opcodes(data):
    ends = [position for _, _, position in pickletools.genops(data)][1:] + [len(data)]
    begin, pieces = 0, []
    for end in ends:
        pieces.append(data[begin:end])
        begin = end
    return pieces


class Mutator:
    def __init__(self, chance):
        self.chance = chance

    def number(self):
        chance = self.chance
        return chance.choice([
            lambda: pickle.BININT1 + bytes([chance.choice([0, 1, 2, 3, 4, 8, 255])]), lambda: pickle.BININT2 + struct.pack("<H", chance.randrange(2**16)),
            lambda: pickle.BININT + struct.pack("<i", chance.choice([-1, -2, 2**31 - 1, 3, -(2**31)])),
            lambda: pickle.LONG1 + b"\x08" + struct.pack("<q", chance.choice([-1, 2**63 - 1, 5, 2**40])), lambda: pickle.LONG1 + b"\x00",
            lambda: pickle.LONG1 + b"\x09" + chance.randbytes(9), lambda: pickle.BINFLOAT + struct.pack(">d", chance.choice([0.0, -1.5, float("nan")])),
        ])()  # fmt: skip

    def text(self):
        text = self.chance.choice(["storage", "0", "1", "cpu", "w", "", "é", "latin1", "conj", "tensor", "a/b", "0" * 30]).encode()
        if self.chance.random() < 0.2:
            return pickle.SHORT_BINSTRING + bytes([len(text)]) + text
        if self.chance.random() < 0.05:
            text += b"\xed\xa0\x80"  # A lone surrogate.
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text

    def glob(self):
        names = SAFE if self.chance.random() < 0.8 else UNSAFE
        module, name = self.chance.choice(names).split(" ")
        return pickle.GLOBAL + f"{module}\n{name}\n".encode()

    def memo(self, limit):
        return self.chance.choice([pickle.BINGET, pickle.BINPUT]) + bytes([self.chance.randrange(min(limit, 256))])

    def any(self, limit):
        chance = self.chance
        return chance.choices(
            [self.number, self.text, self.glob, lambda: self.memo(limit), lambda: chance.choice(SIMPLE), lambda: chance.choice(FOREIGN)], [3, 2, 1, 3, 6, 0.2]
        )[0]()

    def replaced(self, piece, limit):
        """One of the same kind."""
        op = piece[:1]
        if op in (pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT):
            return self.number()
        if op in (pickle.BINUNICODE, pickle.SHORT_BINSTRING):
            return self.text()
        if op == pickle.GLOBAL:
            return self.glob()
        if op in (pickle.BINGET, pickle.BINPUT):
            return op + bytes([self.chance.randrange(min(limit, 256))])
        return self.any(limit)

    def mutate(self, data):
        chance = self.chance
        pieces = opcodes(data)
        for _ in range(chance.choice([1, 1, 1, 2, 3, 5])):
            if len(pieces) < 3:
                break
            at = chance.randrange(1, len(pieces))
            kind = chance.randrange(8)
            if kind == 0:
                del pieces[at]
            elif kind == 1:
                pieces.insert(at, pieces[at])
            elif kind == 2:
                pieces.insert(at, self.any(len(pieces)))
            elif kind == 3:
                other = chance.randrange(1, len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            elif kind == 4:
                begin = chance.randrange(1, len(pieces))
                pieces[at:at] = pieces[begin : begin + chance.randrange(1, 12)]
            elif kind == 5:
                # A value put beside: its opcodes, and an opcode that takes it.
                pieces[at:at] = [self.any(len(pieces)) for _ in range(chance.randrange(1, 4))]
            else:
                pieces[at] = self.replaced(pieces[at], len(pieces))
        data = b"".join(pieces)
        if chance.random() < 0.1:
            broken = bytearray(data)
            broken[chance.randrange(len(broken))] = chance.randrange(256)
            data = bytes(broken)
        return data


def sane(data):
    """Nothing that would make torch take gigabytes (or an abort of its own) before it can refuse."""
    try:
        numbers = [int(argument) for _, argument, _ in pickletools.genops(data) if type(argument) in (int, bool)]
        globs = [argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"]
    except Exception:
        numbers, globs = [], []
    calls = {"__builtin__ bytearray", "torch Tensor"}
    return not (any(abs(number) > 2**20 for number in numbers) and any(glob in calls or "Tensor" in glob for glob in globs))


def by_torch(file):
    try:
        return True, torch.load(io.BytesIO(file), weights_only=True, map_location="cpu")
    except Exception as error:  # Whatever: it is a refusal.
        return False, str(error)


def check(probe, data, storages, damaged):
    """Whether torch read it, and we."""
    file = torch_zip(data, storages)
    we_read, answer = probe.ask(file)
    ours = flat(answer) if we_read else None
    if damaged and not sane(data):
        return False, we_read
    torch_reads, theirs = by_torch(file)
    if torch_reads and we_read:
        Compare(ours, data, damaged).run(theirs)
    elif torch_reads:
        assert damaged and agreed_error(answer), f"torch reads it, and we: {answer}"
    return torch_reads, we_read


def one(probe, seed):
    chance = random.Random(seed)
    torch.manual_seed(seed)
    data, storages = Generator(chance).file()
    counts = collections.Counter()
    for number in range(20):
        broken = data if number == 0 else Mutator(chance).mutate(data)
        try:
            counts[check(probe, broken, storages, number > 0)] += 1
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, case {number}: {error}\n{broken!r}\n{disassembled(broken)}") from None
        if number == 0:
            assert counts[True, True] == 1, f"seed {seed}: a file of torch's own must be read by both"
    return counts


def disassembled(data):
    text = io.StringIO()
    try:
        pickletools.dis(data, text)
    except Exception as error:
        text.write(f"... {error}")
    return text.getvalue()


def test_almost_right_files_are_read_as_torch_reads_them(probe):
    seconds = float(os.environ.get("CAIRN_FUZZ_SECONDS", 0))
    first = int(os.environ.get("CAIRN_FUZZ_SEED", time.time_ns() // 1000)) if seconds else 0
    print(f"seeds from {first}")
    until = time.monotonic() + seconds
    counts = collections.Counter()
    seed = first
    while time.monotonic() < until if seconds else seed < CASES // 20:
        counts += one(probe, seed)
        seed += 1
    print({f"torch {'reads' if t else 'refuses'}, we {'read' if w else 'refuse'}": n for (t, w), n in counts.items()})
    # Damage that both notice is not the whole of it.
    assert counts[True, True] > sum(counts.values()) / 10


@pytest.mark.parametrize("glob", UNSAFE)
@pytest.mark.parametrize("arguments", [("touch {path}",), ()], ids=["arguments", "none"])
def test_what_torch_refuses_as_unsafe_is_never_interpreted(probe, tmp_path, glob, arguments):
    """A call of it is opaque wherever it stands, and nothing happens."""
    module, name = glob.split(" ")
    arguments = tuple(argument.format(path=tmp_path / "ran") for argument in arguments)
    call = pickle.GLOBAL + f"{module}\n{name}\n".encode() + pickle.dumps(arguments, 2)[2:-1] + pickle.REDUCE
    forms = {
        "item": pickle.EMPTY_DICT + b"X\x01\x00\x00\x00a" + call + pickle.SETITEM + pickle.STOP,
        "list": pickle.EMPTY_DICT + b"X\x01\x00\x00\x00a" + pickle.EMPTY_LIST + call + pickle.APPEND + pickle.SETITEM + pickle.STOP,
        "new": pickle.EMPTY_DICT + b"X\x01\x00\x00\x00a" + call[:-1] + pickle.NEWOBJ + pickle.SETITEM + pickle.STOP,
        "state": pickle.EMPTY_DICT + b"X\x01\x00\x00\x00a" + call + pickle.EMPTY_DICT + pickle.BUILD + pickle.SETITEM + pickle.STOP,
        "root": call + pickle.STOP,
    }
    for form, data in forms.items():
        file = torch_zip(pickle.PROTO + b"\x02" + data, {})
        assert not by_torch(file)[0]
        we_read, answer = probe.ask(file)
        if glob == "collections defaultdict" and we_read:
            continue  # Agreed: torch refuses it, and to us it is a dict.
        if we_read:
            values = [value for value in flat(answer).values() if value != []]  # A list is where its items are.
            assert values and all(isinstance(value, Opaque) for value in values), (form, values)
    assert not (tmp_path / "ran").exists()


def test_the_differences_that_are_agreed_are_there(probe):
    """Each difference is wanted: where it goes, these lists must become shorter."""

    # We read what torch's safe loader does not: newer protocols, defaultdicts, numbers of NumPy, empty bytes.
    for item, protocol in [({"a": 1}, 4), ({"a": collections.defaultdict(list, {"b": 1})}, 2), ({"a": numpy.float64(0.5)}, 2), ({"a": b""}, 2)]:
        file = io.BytesIO()
        torch.save(item, file, pickle_protocol=protocol)
        assert not by_torch(file.getvalue())[0]
        we_read, answer = probe.ask(file.getvalue())
        assert we_read and not any(isinstance(value, Opaque) for value in flat(answer).values()), answer

    # And refuse what it loads: cycles.
    ring = {"a": []}
    ring["a"].append(ring["a"])
    file = io.BytesIO()
    torch.save(ring, file)
    we_read, message = probe.ask(file.getvalue())
    assert by_torch(file.getvalue())[0] and not we_read and "holds itself" in message
