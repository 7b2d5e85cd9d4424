"""What died and why, since when, and what items cost lately."""

from typing import Any

import pytest

from tests.ledger.placed import balance, place
from tierqueue.ledger.monitoring import endings
from tierqueue.ledger.monitoring.endings import Toll
from tierqueue.ledger.session import Ledger

SECOND = 1_000_000


def died(ledger: Ledger, reason: str, fields: dict[str, Any], **columns: Any) -> str:
    error = {"reason": reason, "message": "said to people", "fields": fields}
    return place(ledger, "dead", reason=reason, error=error, **columns)


def toll(ledger: Ledger, seconds: float = 60) -> Toll:
    with ledger.read() as connection:
        return endings.toll(connection, ledger.now() - round(seconds * SECOND))


def test_the_dead_are_told_apart_by_what_ended_them(ledger: Ledger) -> None:
    last = {"last": {"kind": "http_500", "message": "m"}}
    died(ledger, "exhausted", last, spent=5, id="1")
    newest = died(ledger, "exhausted", last, spent=6, id="2")
    died(ledger, "exhausted", {"last": {"kind": "connection"}})
    full = balance(ledger, "budget", "acme", "day", "2026-11-20")
    died(ledger, "cost_ceiling", {"ceiling": full.id})
    died(ledger, "cost_ceiling", {"ceiling": "item:3"}, id="3")
    died(ledger, "cost_ceiling", {"ceiling": "item:4"}, id="4")
    died(ledger, "no_route", {})
    place(ledger, "succeeded")
    found = toll(ledger)
    assert (found.dead, found.ended) == (7, 8)
    told = {(group.reason, group.kind, group.ceiling, group.items) for group in found.deaths}
    assert told == {
        ("exhausted", "http_500", None, 2),
        ("exhausted", "connection", None, 1),
        ("cost_ceiling", "", full, 1),
        ("cost_ceiling", "item", None, 2),
        ("no_route", "", None, 1),
    }
    [failed] = [group for group in found.deaths if group.kind == "http_500"]
    assert (failed.spent, failed.example, failed.deployment) == (11, newest, "house")


def test_only_what_died_since_then_counts(ledger: Ledger) -> None:
    died(ledger, "no_route", {}, ended_at=ledger.now() - 90 * SECOND)
    assert toll(ledger).dead == 0
    assert toll(ledger, 120).dead == 1


def test_what_somebody_has_seen_is_told_no_more_and_what_dies_later_is(ledger: Ledger) -> None:
    died(ledger, "no_route", {})
    with ledger.write() as connection:
        endings.acknowledge(connection, "ada", {"dead_letters": 1})
    assert toll(ledger).dead == 0
    died(ledger, "no_route", {})
    assert toll(ledger).dead == 1


def test_of_very_many_dead_letters_the_newest_are_told(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "NEWEST", 2)
    for reason in ("no_route", "poison", "poison"):
        died(ledger, reason, {})
    assert [(group.reason, group.items) for group in toll(ledger).deaths] == [("poison", 2)]


def test_what_items_cost_lately_is_that_of_answers(ledger: Ledger) -> None:
    place(ledger, "succeeded", spent=7, budget="acme", job_id=None)
    place(ledger, "dead", reason="exhausted", spent=900)
    with ledger.read() as connection:
        [ended] = endings.lately(connection)
    assert (ended.spent, ended.budget, ended.deployment) == (7, "acme", "house")
