"""What the doctor says of ceilings and of what died: true of each, and the way back."""

import pytest

from tests.tasks.findings.facts import ROUTING, ceiling, died, facts, notes, toll, waits, wrong
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.monitoring.endings import SuccessCost
from tierqueue.tasks.findings import findings

FULL = Balance("budget", "acme", "day", "2026-11-20")


def lately(cost: int) -> list[SuccessCost]:
    return [SuccessCost(tier="gpu", deployment="house", budget="acme", job=None, spent=cost)] * 5


def test_what_waits_for_a_ceiling_and_will_not_fit_is_wrong() -> None:
    full = ceiling(spent=700_000_000, held=290_000_000)
    looked = facts(
        ROUTING,
        ceilings=[full],
        waiting=[waits("ceiling", 343, FULL, least=20_000_000)],
        lately=lately(10_000_000),
    )
    found = wrong(looked)["ceiling_full"]
    assert "343 items wait for headroom in the ceiling budget:acme day" in found.what
    assert "about 29 fit" in found.what
    assert "dies with cost_ceiling" in found.meanwhile
    assert "tierqueue ceilings raise budget:acme day LIMIT --replay" in found.do
    assert found.detail["fitting_items"] == 29


def test_what_waits_for_a_ceiling_and_fits_at_the_price_of_the_last_ones_is_a_note() -> None:
    full = ceiling(spent=700_000_000, held=290_000_000)
    waiting = [waits("ceiling", 12, FULL, least=20_000_000)]
    assert "ceiling_full" in notes(
        facts(ROUTING, ceilings=[full], waiting=waiting, lately=lately(10_000_000))
    )
    unknown = notes(facts(ROUTING, ceilings=[full], waiting=waiting))["ceiling_full"]
    assert unknown.detail["fitting_items"] is None


def test_what_fits_no_more_is_wrong_whatever_the_last_ones_cost() -> None:
    full = ceiling(spent=990_000_000, held=10_000_000)
    waiting = [waits("ceiling", 12, FULL, least=20_000_000)]
    found = wrong(facts(ROUTING, ceilings=[full], waiting=waiting))["ceiling_full"]
    assert "none fits any more" in found.what


def test_a_ceiling_that_is_used_up_says_that_new_items_die_at_once() -> None:
    looked = facts(ROUTING, ceilings=[ceiling(spent=10**9), ceiling(name="b", spent=10**9 - 1)])
    assert wrong(looked) == {}
    found = notes(looked)["ceiling_used_up"]
    assert "budget:acme day is used up" in found.what
    assert "dies at once with cost_ceiling, also if the next day is near" in found.meanwhile


def test_the_ceiling_of_a_job_that_is_done_is_nobodys_business() -> None:
    assert findings(facts(ROUTING, ceilings=[ceiling(scope="job", spent=10**9)])) == []


def test_rows_that_died_are_wrong_with_what_ended_them_and_the_way_back() -> None:
    looked = facts(ROUTING, toll=toll(500, died("exhausted", 465, "http_500")))
    found = wrong(looked)["died"]
    assert found.what == (
        "465 items died: exhausted, http_500 (tierqueue.classify on house), the last one 3 min"
        " ago; they had cost $4.00"
    )
    assert found.do.startswith(
        "tierqueue dead-letters show 01a1 (see what its last call failed of)"
    )
    assert "replay --reason exhausted --task tierqueue.classify --yes" in found.do
    assert found.detail["items"] == 465
    assert found.detail["example_item"] == "01a1"


@pytest.mark.parametrize("reason", ["no_route", "invalid", "rejected", "deadline"])
def test_single_items_that_brought_their_end_about_are_notes_and_many_are_wrong(
    reason: str,
) -> None:
    assert wrong(facts(ROUTING, toll=toll(1_000, died(reason, 3)))) == {}
    assert wrong(facts(ROUTING, toll=toll(1_000, died(reason, 30)))) == {}
    assert "died" in wrong(facts(ROUTING, toll=toll(100, died(reason, 30))))
    assert "died" in notes(facts(ROUTING, toll=toll(1_000, died(reason, 3))))


@pytest.mark.parametrize("reason", ["exhausted", "unknown", "poison", "egress", "unpriced"])
def test_what_only_a_person_brings_back_is_wrong_from_the_first_on(reason: str) -> None:
    assert "died" in wrong(facts(ROUTING, toll=toll(100_000, died(reason, 1))))


def test_what_died_of_a_ceiling_comes_back_with_it() -> None:
    shared = died("cost_ceiling", 40, ceiling=FULL)
    looked = facts(ROUTING, ceilings=[ceiling(spent=10**9)], toll=toll(9_999, shared))
    assert "tierqueue ceilings raise budget:acme day LIMIT --replay" in wrong(looked)["died"].do
    assert "ceiling_used_up" not in notes(looked)
    own = notes(facts(ROUTING, toll=toll(9_999, died("cost_ceiling", 2, "item"))))["died"]
    assert "its own max_cost" in own.what
    assert "--max-cost" in own.do
