"""Runs the cases, and writes the table."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import environment, options, plot, report, rounds
from harness.cases import CASES
from harness.workplace import Workplace

PACKAGES = ("pyarrow", "torch", "safetensors", "orbax-checkpoint", "jax", "flax", "msgpack", "numpy")


def package_versions(python):
    code = (
        "import importlib.metadata as m, json, sys\n"
        "def version(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    return json.loads(subprocess.run([python, "-c", code, *PACKAGES], check=True, capture_output=True, text=True).stdout)


@contextlib.contextmanager
def folder_in(parent):
    parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-benchmark-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(results, facts, given):
    """After each group, so that an interrupted run leaves what it has measured."""
    given.out.mkdir(parents=True, exist_ok=True)
    text = report.text_table(results, facts)
    data = report.as_json(results, facts)
    (given.out / "benchmark.txt").write_text(text)
    (given.out / "benchmark.json").write_text(json.dumps(data, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(report.markdown_table(results, facts))
    return text, data


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that folders are removed and daemons stopped.
    given = options.parse(sys.argv[1:], list(CASES))
    repository = pathlib.Path(__file__).resolve().parents[3]
    facts = environment.describe(given.bin, package_versions(given.python), repository)
    facts["size_bytes"], facts["rounds"] = given.size, given.rounds
    results = []
    with folder_in(given.memory_dir) as memory, folder_in(given.disk_dir) as disk:
        place = Workplace(given, (memory, disk))
        for name in given.cases:
            for group in CASES[name](place):
                print(f"{group.case}: {group.title}", file=sys.stderr, flush=True)
                results.append(rounds.run_group(group, given.rounds))
                write(results, facts, given)
    text, data = write(results, facts, given)
    print(text)
    if not plot.write_svg(data, given.out / "benchmark.svg"):
        print("no plot: matplotlib is not installed", file=sys.stderr)
    print(f"written to {given.out}", file=sys.stderr)
    failed = [
        f"{contender.title}: {result.failures[contender.key]}"
        for result in results
        for contender in result.contenders
        if contender.is_cairn and contender.key in result.failures
    ]
    failed += [f"{result.group.title}: {result.left_out}" for result in results if result.failed]
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
