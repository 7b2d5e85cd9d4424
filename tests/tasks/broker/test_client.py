"""A client that has an answer soon or none."""

import socket
from pathlib import Path

import pytest
import redis

from tierqueue.tasks.broker import client
from tierqueue.tasks.broker.client import deadline_client


@pytest.mark.parametrize(
    ("address", "to"),
    [
        ("redis://broker.internal:6380/2", {"host": "broker.internal", "port": 6380, "db": 2}),
        ("redis+socket:///run/valkey.sock", {"path": "/run/valkey.sock"}),
    ],
)
def test_an_address_is_read_as_celery_writes_it(address: str, to: dict[str, object]) -> None:
    arguments = deadline_client(address).connection_pool.connection_kwargs
    assert to.items() <= arguments.items()


def test_who_takes_the_connection_and_says_nothing_is_asked_twice_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENT_SECONDS", 0.05)
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with deadline_client(f"redis+socket://{path}") as asked, pytest.raises(redis.RedisError):
            asked.ping()
        server.setblocking(False)
        calls = [server.accept()[0] for _ in range(2)]
        with pytest.raises(BlockingIOError):
            server.accept()
    for call in calls:
        call.close()
