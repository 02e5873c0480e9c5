"""Every hostile file and folder of tests/attacks through the program: refused for its own reason, at once, in little memory.

CAIRN_BIN names the binary, WRITE_ATTACKS what writes the files."""

import collections
import json
import os
import re
import shutil
import subprocess

import measured
import pytest
import shared_messages

CAIRN = os.environ.get("CAIRN_BIN")
WRITE_ATTACKS = os.environ.get("WRITE_ATTACKS")
pytestmark = pytest.mark.skipif(not CAIRN or not WRITE_ATTACKS, reason="CAIRN_BIN and WRITE_ATTACKS name no binaries")

FORMATS = ["cairndiff", "colossalai", "dcp", "easylm", "flax", "lightning", "lightning_weights", "litgpt", "llama", "npz", "safetensors", "torch"]
MIB = 1 << 20
REFUSED = (1, 3, 4, 5)  # What cannot be carried, is missing, does not fit, is damaged.
REWORDED = {"no diff file": "is no exact diff"}  # By `cairn recover`, which says what it takes instead.
ATTEMPTS = 3
count = collections.Counter()


@pytest.fixture(scope="module")
def attacks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    subprocess.run([WRITE_ATTACKS, folder], check=True)
    by_format = collections.defaultdict(list)
    for attack in json.loads((folder / "attacks.json").read_text()):
        by_format[attack["format"]].append(attack)
    assert sorted(by_format) == FORMATS
    return folder, by_format


@pytest.fixture(scope="module")
def launcher():
    launcher = measured.Launcher()
    yield launcher
    launcher.close()


def cheaply(launcher, *command):
    """What came out, of a process that took less than a second and 256 MiB. Of the clock the best of some attempts: others
    may have the machine."""
    for attempt in range(ATTEMPTS):
        result = launcher.run(*command, limit=60)
        assert result.processor < 1 and result.peak < 256 * MIB, (command, result)
        if result.wall < 1:
            return result
    raise AssertionError((command, result))


def groups(texts):
    """The names that have one text, where they are several, as in shared_messages."""
    by_text = collections.defaultdict(list)
    for name, text in texts.items():
        by_text[text].append(name)
    return {" ".join(sorted(names)) for names in by_text.values() if len(names) > 1}


@pytest.mark.parametrize("name", FORMATS)
def test_every_hostile_file_is_refused_for_its_own_reason_at_once_and_in_little_memory(name, attacks, launcher, tmp_path):
    folder, by_format = attacks
    (tmp_path / "out").mkdir()
    messages = {}
    for attack in by_format[name]:
        path = folder / attack["path"]
        target = f"{tmp_path}/out/target/"
        shown = cheaply(launcher, CAIRN, "show", f"{name}::{path}")
        assert shown.code == 0 or shown.code in REFUSED, (attack["name"], shown)
        if name == "cairndiff":
            command = ["recover", folder / "base.safetensors", path, target]
        else:
            command = ["convert", f"{name}::{path}", f"torch::{target}", "--dtype", "keep"]
        result = cheaply(launcher, CAIRN, "--quiet", *command)
        if not attack["message"]:
            shutil.rmtree(target, ignore_errors=True)
            continue
        count[name] += 1
        assert result.code in REFUSED, (attack["name"], result)
        reason = REWORDED.get(attack["message"], attack["message"]) if name == "cairndiff" else attack["message"]
        assert result.errors.startswith("cairn: ") and reason in result.errors, (attack["name"], result.errors)
        assert list((tmp_path / "out").iterdir()) == [], attack["name"]
        messages[attack["name"]] = result.errors.replace(str(path).rstrip("/"), "FILE")
        if shown.code != 0:
            assert attack["message"] in shown.errors, (attack["name"], shown.errors)
    print(f"{name}: {count[name]} hostile files, {len(set(messages.values()))} messages")
    same = groups(messages)
    assert same == set(shared_messages.SAME.get(name, ()))
    numberless = groups({file: re.sub(r"\d+(, \d+)*", "N", text) for file, text in messages.items()})
    assert numberless - same == set(shared_messages.SAME_BUT_FOR_NUMBERS.get(name, ()))


def test_there_are_enough_of_them():
    print(f"{sum(count.values())} hostile files in all")
    assert sum(count.values()) >= 60
