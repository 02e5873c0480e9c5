"""A throwaway daemon for tests of code that saves and loads.

import cairn.testing, pytest

@pytest.fixture(scope="session")
def server():
    with cairn.testing.server() as server:
        yield server

def test_my_trainer(server):
    client = server.client()
"""

from __future__ import annotations

from cairn.testing.daemon import Server, find_cairnd, server

__all__ = ["Server", "find_cairnd", "server"]
