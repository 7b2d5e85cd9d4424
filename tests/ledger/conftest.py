"""What the ledger's tests share."""

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.ledger.moves import Moves
from tests.ledger.priced import PRICED
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import Policy, parse_policy


@pytest.fixture(scope="session")
def policy() -> Policy:
    """One's own engine by the hour, ``small``, and a vendor's model by the token, ``best``."""
    return parse_policy(PRICED, "test")


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    """The ledger's moves over a fresh ledger, once on each database."""
    return Moves(ledger)


Everywhere = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


@pytest.fixture(scope="session")
def everywhere() -> Everywhere:
    """Run a function at once in one real process for each argument; returns what they return."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ledger.moves"])

    def run(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        given = list(arguments)
        with context.Pool(len(given)) as pool:
            return pool.map(function, given, chunksize=1)

    return run
