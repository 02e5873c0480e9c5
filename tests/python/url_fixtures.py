"""What tests of URLs share: `cairn` without the surroundings' own credentials and certificates, the servers, and what they serve."""

import os
import subprocess

import numpy as np
import programs
import pytest
from url_servers import FileServer, S3Server

CLEAN = {name: value for name, value in os.environ.items() if not (name.startswith("AWS_") or "proxy" in name.lower() or "CA_BUNDLE" in name or "SSL_CERT" in name)}
CLEAN["HOME"] = "/nonexistent"
USAGE, NOT_FOUND, PRECONDITION, UNREACHABLE = 2, 3, 4, 6


def cairn(*arguments, **variables):
    return programs.cairn(*arguments, variables={**CLEAN, **variables})


def done(*arguments, **variables):
    return programs.ok(*arguments, variables={**CLEAN, **variables})


def refused(code, *arguments, **variables):
    return programs.refused(*arguments, code=code, variables={**CLEAN, **variables})


def started(*arguments, server=programs.NOBODY, **variables):
    return programs.start(*arguments, server=server, variables={**CLEAN, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def state():
    generator = np.random.default_rng(1)
    tensors = {f"layers.{i}.weight": generator.standard_normal((300, 700), np.float32) for i in range(6)}
    return {**tensors, "step": np.array(7), "empty": np.zeros((0, 3), np.float32)}


@pytest.fixture(scope="module")
def large():
    """40 MiB that do not compress, in one tensor of 24 MiB and several smaller ones."""
    generator = np.random.default_rng(2)
    sizes = [24 << 20] + [2 << 20] * 8
    return {f"t{i}": generator.integers(0, 256, size, np.uint8) for i, size in enumerate(sizes)}


@pytest.fixture
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.close()
