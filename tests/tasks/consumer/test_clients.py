"""A channel talks to its broker by one client, for as long as its pool is the same."""

from types import SimpleNamespace
from typing import Any

import redis

from tierqueue.tasks.consumer.clients import one_client


class _Channel:
    """As kombu's: a pool that is made when it is asked for, and a client for each command."""

    def __init__(self) -> None:
        self.pool = redis.ConnectionPool()
        self.made = 0

    def _brpop_read(self) -> None:
        raise AssertionError("nothing is read here")

    def _create_client(self, asynchronous: bool = False) -> Any:
        self.made += 1
        pool = redis.ConnectionPool() if asynchronous else self.pool
        return redis.Redis(connection_pool=pool)


def _channel() -> Any:
    transport = SimpleNamespace(Channel=_Channel)
    one_client(transport)
    return transport.Channel()


def test_all_commands_of_a_channel_share_a_client() -> None:
    channel = _channel()
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel.made == 1


def test_a_pool_that_was_replaced_has_a_client_of_its_own() -> None:
    channel = _channel()
    first = channel._create_client()
    channel.pool = redis.ConnectionPool()
    second = channel._create_client()
    assert second is not first
    assert second.connection_pool is channel.pool


def test_who_listens_has_a_client_of_its_own() -> None:
    channel = _channel()
    assert channel._create_client(asynchronous=True) is not channel._create_client()
    assert channel._create_client(asynchronous=True) is not channel._create_client()


def test_a_transport_that_is_not_redis_is_left_alone() -> None:
    transport = SimpleNamespace(Channel=object)
    one_client(transport)
    assert transport.Channel is object
