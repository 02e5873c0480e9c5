"""The command line."""

import argparse
import dataclasses
import pathlib
import re
import sys
import tempfile

UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def size(text):
    match = re.fullmatch(r"(\d+)\s*([KMG]i?B?)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 256MiB or 4GiB")
    unit = (match.group(2) or "").upper()
    return int(match.group(1)) * UNITS[unit and unit[0] + "IB"]


@dataclasses.dataclass
class Options:
    bin: pathlib.Path
    python: str
    out: pathlib.Path
    size: int
    rounds: int
    cases: list
    memory_dir: pathlib.Path
    disk_dir: pathlib.Path
    python_path: str | None
    markdown: pathlib.Path | None
    count: int
    peak_gib: float
    bin_without_checks: pathlib.Path | None


def parse(arguments, known_cases):
    parser = argparse.ArgumentParser(
        prog="run.sh", description="Measures Cairn against baselines, in interleaved rounds. See tests/benchmark/README.md."
    )
    parser.add_argument("--quick", action="store_true", help="256 MiB, 3 rounds, 20000 small tensors, 1 GiB for memory")
    parser.add_argument(
        "--cases", default="all", help=f"comma-separated; all,-NAME leaves one out. There are: {', '.join(known_cases)}"
    )
    parser.add_argument("--size", type=size, help="of the tensor or checkpoint (default 4GiB)")
    parser.add_argument("--rounds", type=int, help="after one that warms up and is not counted (default 7)")
    parser.add_argument("--count", type=int, help="of small tensors (default 100000)")
    parser.add_argument("--peak-gib", type=float, help="checkpoint of the case memory (default 10)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/benchmark/results"), help="folder of the results")
    parser.add_argument("--markdown", type=pathlib.Path, help="also write the table as Markdown, to this file")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of cairnd, cairn and the benchmark's programs")
    parser.add_argument("--bin-without-checks", type=pathlib.Path, help="the same, built with CAIRN_WITHOUT_CHECKS: for the case checks")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the peers' packages")
    parser.add_argument("--python-path", help="folder of the built Python package cairn (default: BIN/../python)")
    parser.add_argument("--memory-dir", type=pathlib.Path, default=pathlib.Path("/dev/shm"), help="storage in memory")
    parser.add_argument("--disk-dir", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()), help="storage on a disk")
    given = parser.parse_args(arguments)

    names = [name for name in given.cases.split(",") if name]
    unwanted = [name[1:] for name in names if name.startswith("-")]
    wanted = [name for name in names if not name.startswith("-")]
    if "all" in wanted or not wanted:
        wanted = list(known_cases)
    if unknown := [name for name in wanted + unwanted if name not in known_cases]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(known_cases)}")
    quick = given.quick
    bytes_ = given.size or (256 << 20 if quick else 4 << 30)
    if bytes_ % (1 << 20) or bytes_ < 1 << 20:
        parser.error("--size is a multiple of 1MiB")
    python_path = given.python_path
    if python_path is None and (given.bin.parent / "python").is_dir():
        python_path = str((given.bin.parent / "python").resolve())
    return Options(
        bin=given.bin.resolve(),
        python=given.python,
        out=given.out,
        size=bytes_,
        rounds=given.rounds or (3 if quick else 7),
        cases=[name for name in wanted if name not in unwanted],
        memory_dir=given.memory_dir,
        disk_dir=given.disk_dir,
        python_path=python_path,
        markdown=given.markdown,
        count=given.count or (20_000 if quick else 100_000),
        peak_gib=given.peak_gib or (1 if quick else 10),
        bin_without_checks=given.bin_without_checks,
    )
