"""Ceilings as people are shown them: what is spent and held of each in its present window."""

import pytest
from sqlalchemy import update

from tests.ledger.moves import Moves, ceiling
from tests.ledger.placed import balance
from tierqueue.ledger.ceilings.balance import label
from tierqueue.ledger.ceilings.status import CeilingStatus, ceiling_statuses
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances

DAY = 86_400_000_000


def statuses(ledger: Ledger, now: int = 0) -> dict[str, CeilingStatus]:
    with ledger.write() as connection:
        found = ceiling_statuses(connection, now)
    by_label = {label(one): one for one in found}
    assert len(by_label) == len(found)
    return by_label


def spend(ledger: Ledger, name: str, spent: int, start: str = "1970-01-01") -> None:
    made = balance(ledger, "budget", name, "day", start)
    with ledger.write() as connection:
        connection.execute(
            update(balances).where(balances.c.id == made.id).values(spent=spent, held=5)
        )


def test_a_ceiling_that_nobody_spent_from_stands_at_nothing(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    [one] = statuses(moves.ledger).values()
    assert (one.name, one.limit, one.spent, one.held, one.share) == ("*", 1_000, 0, 0, 0.0)


def test_each_name_under_a_star_has_its_own_share_of_its_own_window(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100, window="day"))
    spend(moves.ledger, "acme", 40)
    spend(moves.ledger, "other", 10)
    found = statuses(moves.ledger)
    assert {name: (one.spent, one.held) for name, one in found.items()} == {
        "budget:acme day": (40, 5),
        "budget:other day": (10, 5),
    }
    assert found["budget:acme day"].share == pytest.approx(0.4)
    tomorrow = statuses(moves.ledger, DAY)
    assert [(one.name, one.spent) for one in tomorrow.values()] == [("*", 0)]


def test_a_ceiling_of_its_own_takes_a_name_from_under_the_star(moves: Moves) -> None:
    moves.ceilings(
        ceiling("budget", 100, window="day"), ceiling("budget", 30, window="day", name="acme")
    )
    spend(moves.ledger, "acme", 40)
    found = statuses(moves.ledger)
    assert {name: (one.limit, one.spent) for name, one in found.items()} == {
        "budget day": (100, 0),
        "budget:acme day": (30, 40),
    }


def test_of_a_ceiling_of_nothing_all_is_spent_with_the_first_nano_dollar(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 0, window="day"))
    spend(moves.ledger, "acme", 1)
    [one] = statuses(moves.ledger).values()
    assert one.share == float("inf")
