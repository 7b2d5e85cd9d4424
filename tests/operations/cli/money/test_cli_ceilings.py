"""The commands that set, raise and record ceilings, on both databases."""

from typing import Any

import pytest

from tests.ledger.placed import balance, commit
from tests.operations.cli.command import Command
from tests.operations.cli.test_cli_ledger import dead, state
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle.items import Death, die, new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule
from tierqueue.tasks import classify

USD = 1_000_000_000


def stopped_by(ledger: Ledger, *parts: str) -> str:
    """A dead letter that the ceiling ended whose scope, name, window and start these are."""
    item_id = new_id()
    ceiling = balance(ledger, *parts).id if parts else f"item:{item_id}"
    with ledger.write() as connection:
        call = {"text": "x", "labels": ["a", "b"]}
        commit(connection, [classify.new_item((), call, item_id=item_id)])
        fields = {"item": item_id, "ceiling": ceiling}
        die(
            connection,
            [Death(item_id, "cost_ceiling", "too expensive", fields)],
            database_now(connection),
        )
    return item_id


def seeded(ledger: Ledger, limit: int, **stated: Any) -> None:
    """What the policy says, as a routing stage brings it in when it starts."""
    rule = {"scope": "budget", "name": "*", "window": "day", "timezone": "UTC", **stated}
    with ledger.write() as connection:
        found = CeilingRule.model_construct(**rule, limit=NanoUSD(limit))
        books.seed(connection, [found], database_now(connection))


def listed(tierqueue: Command) -> dict[tuple[str, str, str], int]:
    return {
        (ceiling["scope"], ceiling["name"], ceiling["window"]): ceiling["limit_nanousd"]
        for ceiling in tierqueue.json("ceilings", "list")
    }


def test_what_an_operator_sets_stays_over_the_policys_value(
    tierqueue: Command, ledger: Ledger
) -> None:
    seeded(ledger, 5 * USD)
    said = tierqueue.json("ceilings", "set", "budget", "day", "50usd", "--by", "ana")
    assert (said["from_nanousd"], said["to_nanousd"]) == (5 * USD, 50 * USD)
    seeded(ledger, 7 * USD)
    (status,) = tierqueue.json("ceilings", "list")
    assert (status["limit_nanousd"], status["set_by"]) == (50 * USD, "ana")


def test_a_change_is_written_down_with_who_when_from_and_to(tierqueue: Command) -> None:
    tierqueue("ceilings", "set", "budget:acme", "month", "10usd", "--by", "ana")
    tierqueue("ceilings", "raise", "budget:acme", "month", "20usd", "--by", "bo")
    newest, oldest = tierqueue.json("ceilings", "history", "budget:acme")
    assert (newest["by"], newest["before_nanousd"], newest["after_nanousd"]) == (
        "bo",
        10 * USD,
        20 * USD,
    )
    assert (oldest["by"], oldest["before_nanousd"], oldest["after_nanousd"]) == (
        "ana",
        None,
        10 * USD,
    )
    assert newest["at_epoch_us"] >= oldest["at_epoch_us"] > 0
    complaint = tierqueue.complaint("ceilings", "history", "budget:other")
    assert "there is no budget 'other'" in complaint
    assert "$20.00" in tierqueue("ceilings", "history")


def test_a_ceiling_of_its_own_was_what_held_for_each_name(tierqueue: Command) -> None:
    tierqueue("ceilings", "set", "budget:*", "day", "1usd")
    assert "$5.00, was $1.00" in tierqueue("ceilings", "raise", "budget:acme", "day", "5usd")
    (change,) = tierqueue.json("ceilings", "history", "budget:acme")
    assert (change["before_nanousd"], change["after_nanousd"]) == (1 * USD, 5 * USD)


def test_a_raise_that_would_lower_a_ceiling_is_refused(tierqueue: Command) -> None:
    tierqueue("ceilings", "set", "everything", "day", "100usd")
    assert "is not above the $100.00" in tierqueue.complaint(
        "ceilings", "raise", "everything", "day", "99usd"
    )
    assert "there is no ceiling" in tierqueue.complaint(
        "ceilings", "raise", "everything", "hour", "99usd"
    )
    assert listed(tierqueue) == {("everything", "*", "day"): 100 * USD}


def test_raising_one_budget_under_a_ceiling_over_each_raises_that_one_alone(
    tierqueue: Command, ledger: Ledger
) -> None:
    seeded(ledger, 5 * USD, timezone="Europe/Berlin")
    said = tierqueue.json("ceilings", "raise", "budget:acme", "day", "9usd")
    assert (said["from_nanousd"], said["timezone"]) == (5 * USD, "Europe/Berlin")
    assert listed(tierqueue) == {
        ("budget", "*", "day"): 5 * USD,
        ("budget", "acme", "day"): 9 * USD,
    }


def test_a_raise_with_replay_puts_back_what_this_ceiling_ended_and_nothing_else(
    tierqueue: Command, ledger: Ledger
) -> None:
    tierqueue("ceilings", "set", "budget:acme", "day", "1usd")
    meant = stopped_by(ledger, "budget", "acme", "day", "2026-11-20")
    others = [
        stopped_by(ledger, "budget", "other", "day", "2026-11-20"),
        stopped_by(ledger, "budget", "acme:day", "day", "2026-11-20"),
        stopped_by(ledger, "budget", "acme", "month", "2026-11-01"),
        stopped_by(ledger),
        dead(ledger, "no_route"),
    ]
    said = tierqueue.json("ceilings", "raise", "budget:acme", "day", "2usd", "--replay")
    assert said["replayed"] == 1
    assert state(ledger, meant) == "submitted"
    assert {state(ledger, other) for other in others} == {"dead"}


def test_a_raise_of_each_name_s_ceiling_puts_back_what_it_ended_of_any_name(
    tierqueue: Command, ledger: Ledger
) -> None:
    tierqueue("ceilings", "set", "budget", "day", "1usd")
    meant = [stopped_by(ledger, "budget", name, "day", "2026-11-20") for name in ("a", "b:c")]
    other = stopped_by(ledger, "tier", "gpu", "day", "2026-11-20")
    said = tierqueue.json("ceilings", "raise", "budget", "day", "2usd", "--replay")
    assert said["replayed"] == 2
    assert {state(ledger, item) for item in meant} == {"submitted"}
    assert state(ledger, other) == "dead"


def test_raising_everything_replays_what_it_ended(tierqueue: Command, ledger: Ledger) -> None:
    tierqueue("ceilings", "set", "everything", "day", "1usd")
    meant = stopped_by(ledger, "everything", "*", "day", "2026-11-20")
    assert "replayed 1 dead letter\n" in tierqueue(
        "ceilings", "raise", "everything", "day", "100usd", "--replay"
    )
    assert state(ledger, meant) == "submitted"


def test_a_list_shows_the_share_that_is_spent(tierqueue: Command, ledger: Ledger) -> None:
    tierqueue("ceilings", "set", "budget:acme", "total", "10usd")
    with ledger.write() as connection:
        now = database_now(connection)
        need = books.Need("i", 1, 8 * USD, [("budget", "acme")])
        books.hold(connection, now, [need])
        paid = books.Entry("budget:acme:total:all", "i", 1, "settle", -8 * USD, 4 * USD)
        books.write(connection, now, [paid])
    (status,) = tierqueue.json("ceilings", "list")
    assert (status["spent_nanousd"], status["held_nanousd"], status["share"]) == (
        4 * USD,
        0,
        0.4,
    )
    assert "40%" in tierqueue("ceilings", "list")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("budgets:acme", "day", "1usd"), "is not a scope"),
        (("budget:", "day", "1usd"), "is not a scope"),
        (("everything:x", "day", "1usd"), "is not a scope"),
        (("budget:acme", "day", "much"), "is not an amount of money"),
        (("budget:acme", "day", "99999999999"), "more than the ledger can count"),
        (("budget:acme", "fortnight", "1usd"), "is not one of"),
        (("budget:acme", "day", "1usd", "--timezone", "Berlin"), "is not a time zone"),
        (("tier:gqu", "day", "1usd"), "there is no tier 'gqu'"),
        (("deployment:best", "day", "1usd"), "there is no deployment 'best'"),
        (("provider:acme", "day", "1usd"), "there is no provider 'acme'"),
        (("job:none", "total", "1usd"), "there is no job none"),
        (("budget:acme", "day", "1usd", "--by", "policy"), "stands for no person"),
    ],
)
def test_a_ceiling_that_would_bound_nothing_is_refused(
    tierqueue: Command, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in tierqueue.complaint("ceilings", "set", *words)
    assert tierqueue.json("ceilings", "list") == []
