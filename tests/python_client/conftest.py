"""One daemon for all tests, of the build that the package comes from.

PYTHONPATH holds BUILD/python and CAIRN_CAIRND names BUILD/bin/cairnd; ctest sets both.
"""

import os

# Before JAX is loaded by anything: a mesh of processors.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import itertools

import pytest

import cairn.testing
from cairn import _native

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with cairn.testing.server() as server:
        yield server


@pytest.fixture(scope="session")
def target(server):
    return server.target


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture
def native(target):
    """A client of the extension itself."""
    return _native.Client(target, retry_for=10.0)


@pytest.fixture
def name():
    """A checkpoint name that no other test uses."""
    return f"native/test-{next(numbers)}"


@pytest.fixture
def own_server():
    """A daemon that a test may kill and stop."""
    with cairn.testing.server() as server:
        yield server
