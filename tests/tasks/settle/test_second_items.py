"""An accepted item is answered a second time, through the real stages: by whom, at whose cost."""

from typing import Any

import pytest
from sqlalchemy import select

from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.accounting import audit, spending
from tierqueue.ledger.accounting.spending import SpendingQuery
from tierqueue.ledger.ceilings.status import ceiling_statuses
from tierqueue.ledger.contents.content_store import Content
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.lifecycle import settlements
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.monitoring import endings
from tierqueue.ledger.operations import erasure, item_list
from tierqueue.ledger.operations.accepted_answers import accepted as learned
from tierqueue.ledger.results import announcements
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import item_contents, items
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Accepted, Completed, Failed, Rejected, Usage
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.write import Verdict

DEPLOYMENTS = """
default_sensitivity = "internal"
ceilings_count = "everything"
[retry]
calls = 1
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 32000
prices = { input = "1", output = "1" }
[deployments.best]
tier = "frontier"
engine = "openai"
model = "best"
boundary = "vendor:best"
key_env = "A_KEY"
context_window = 32000
prices = { input = "9", output = "9" }
[deployments.pilot]
tier = "gpu"
engine = "vllm"
model = "p"
boundary = "house"
context_window = 32000
candidate = true
prices = { input = "0.1", output = "0.1" }
"""
BOUNDED = '[[ceilings]]\nscope = "purpose"\nname = "{}"\nwindow = "day"\nlimit = "{}"\n'
EXPLORED = "[tasks.ticket.explore]\nshare = 0.5\n" + BOUNDED.format("exploration", "1usd")
SHADOWED = '[tasks.ticket.shadow]\nshare = 1\ndeployment = "pilot"\n' + BOUNDED.format(
    "shadow", "1usd"
)
SECRET = "a secret"


def policy(more: str) -> Policy:
    return parse_policy(DEPLOYMENTS + more, "test")


def answered(text: str = "yes", tokens: int = 100) -> Accepted:
    usage = Usage(input_tokens=tokens, output_tokens=10)
    done = Completed(text="{}", usage=usage, model_served="m", seconds=0.5)
    return Accepted(output={"label": text}, completed=done, prompt_version="1")


def rows(ledger: Ledger) -> list[Any]:
    """Every second item, in the order in which they were made."""
    with ledger.read() as connection:
        found = select(items).where(items.c.second_to.is_not(None)).order_by(items.c.id)
        return list(connection.execute(found))


def first(way: Way, **stated: Any) -> str:
    """An item that is accepted at once; its id."""
    way.submit(**stated)
    claim = way.claim()
    assert claim is not None
    way.settle(claim, answered())
    assert way.column("state") == "succeeded"
    return way.item_id


def explored(way: Way, **stated: Any) -> str:
    """The first of such items that is drawn: half of them are."""
    for _ in range(64):
        item_id = first(way, **stated)
        if any(row.second_to == item_id for row in rows(way.ledger)):
            return item_id
    raise AssertionError("of 64 items none was drawn")


def second(way: Way) -> Claim:
    """The claim of the only second item, once it was routed."""
    (row,) = rows(way.ledger)
    way.item_id = row.id
    claim = way.claim()
    assert claim is not None
    return claim


def test_a_share_of_accepted_items_is_answered_by_another_tier(ledger: Ledger) -> None:
    way = Way(ledger, policy(EXPLORED))
    item_id = explored(way, metadata={"customer": 7})
    before = {name: column_of(ledger, item_id, name) for name in ("output", "receipt", "spent")}
    claim = second(way)
    assert (claim.item.deployment, claim.arguments) == ("best", {"text": "x"})
    way.settle(claim, answered("no"))
    row = rows(ledger)[0]
    assert (row.state, row.purpose, row.pinned, row.second_to) == (
        *("succeeded", "exploration", "frontier"),
        item_id,
    )
    assert (row.receipt["purpose"], row.receipt["second_to"]) == ("exploration", item_id)
    assert (row.metadata, row.latency, row.job_id) == ({"customer": 7}, "background", None)
    after = {name: column_of(ledger, item_id, name) for name in before}
    assert after == before
    with ledger.read() as connection:
        groups = {one.key: one for one in spending.spending(connection, "purpose", SpendingQuery())}
        assert audit.audit(connection) == []
        statuses = {one.name: one for one in ceiling_statuses(connection, database_now(connection))}
        assert len(list(learned(connection, "ticket", 1000))) == groups["work"].items
        recorded = item_list.recorded(connection, 0, 1000)
    assert groups["exploration"].cost == row.spent == statuses["exploration"].spent > 0
    assert (groups["exploration"].items, groups["work"].cost) == (1, groups["work"].items * 110_000)
    assert row.id not in {one.item.id for one in recorded}
    assert len(rows(ledger)) == 1  # a second item is not drawn again


def column_of(ledger: Ledger, item_id: str, name: str) -> Any:
    with ledger.read() as connection:
        return connection.execute(select(items.c[name]).where(items.c.id == item_id)).scalar_one()


def test_a_candidate_answers_in_the_shadow_and_nowhere_else(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    way.submit()
    claim = way.claim()
    assert claim is not None
    # The candidate is the cheapest and would be taken otherwise.
    assert claim.item.deployment == "house"
    way.settle(claim, answered())
    again = second(way)
    assert (again.item.deployment, again.item.candidate) == ("pilot", "pilot")
    way.settle(again, Rejected(reasons=("no",), usage=Usage(), model_served="m"))
    # It is not climbed from, and nobody is told of its end.
    assert (way.column("state"), way.column("reason")) == ("dead", "rejected")
    with ledger.read() as connection:
        assert announcements.of_items(connection, [way.item_id]) == []
        assert endings.toll(connection, 0).deaths == []


def test_nobody_is_asked_whom_a_wall_keeps_out(ledger: Ledger) -> None:
    way = Way(ledger, policy(EXPLORED + SHADOWED.replace("pilot", "best")))
    for _ in range(8):
        # The other tier and the candidate are a vendor's.
        first(way, sensitivity="confidential")
    for _ in range(8):
        # What the first call has left does not pay for them.
        first(way, max_cost=1_000_000)
    assert rows(ledger) == []
    below = Way(ledger, policy(EXPLORED + SHADOWED))
    for _ in range(8):
        first(below, floor="frontier")
    for _ in range(8):
        first(below, pinned="frontier")
    assert rows(ledger) == []


def test_an_item_and_its_second_together_keep_to_its_own_ceiling(ledger: Ledger) -> None:
    way = Way(ledger, policy(EXPLORED))
    explored(way, max_cost=10_000_000)
    claim = second(way)
    assert claim.item.max_cost == 10_000_000 - 110_000


def test_a_used_up_ceiling_makes_no_second_item_and_keeps_no_first_one(ledger: Ledger) -> None:
    tight = SHADOWED.replace("1usd", "0.0001usd")
    way = Way(ledger, policy(tight))
    first(way)
    way.settle(second(way), answered(tokens=600))
    for _ in range(3):
        first(way)
    assert len(rows(ledger)) == 1


def test_a_second_item_pays_into_the_ceiling_of_the_first_one_s_job(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED + '[[ceilings]]\nscope = "job"\nlimit = "1usd"\n'))
    first(way, job_id="j", job_index=0, budget="acme")
    claim = second(way)
    names = {balance.rsplit(":", 2)[0] for balance in claim.balances}
    assert names == {"job:j", "purpose:shadow"}
    assert claim.item.budget == "acme"


def test_what_fails_is_drawn_neither(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    way.submit()
    claim = way.claim()
    assert claim is not None
    way.settle(claim, Failed(kind="http_500", message="500", transient=True))
    assert (way.column("state"), rows(ledger)) == ("dead", [])


def test_settled_twice_there_is_one_second_item(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    way.submit()
    claim = way.claim()
    assert claim is not None
    way.settle(claim, answered())
    way.settle(claim, answered())
    assert len(rows(ledger)) == 1


@pytest.mark.parametrize("state", ["submitted", "running", "succeeded"])
def test_with_an_item_its_second_is_erased(ledger: Ledger, state: str) -> None:
    way = Way(ledger, policy(SHADOWED))
    body = Content("a" * 64, b"an image")
    item_id = first(way, contents=(body,))
    (row,) = rows(ledger)
    claim = None if state == "submitted" else second(way)
    if state == "succeeded":
        assert claim is not None
        way.settle(claim, answered(SECRET))
    with ledger.write() as connection:
        assert erasure.erase(connection, [item_id], "ada", "asked") == [item_id]
    if state == "running":
        assert claim is not None
        way.settle(claim, answered(SECRET))
    (row,) = rows(ledger)
    assert row.erased_at is not None
    assert (row.arguments, row.output, row.metadata) == (None, None, None)
    assert row.state == ("cancelled" if state == "submitted" else "succeeded")
    with ledger.read() as connection:
        assert connection.execute(select(item_contents)).all() == []
        assert audit.audit(connection) == []


def test_retention_takes_a_second_item_with_its_first(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    item_id = first(way)
    way.settle(second(way), Rejected(reasons=("no",), usage=Usage(), model_served="m"))
    with ledger.write() as connection:
        later = database_now(connection) + 1
        # Dead letters are kept for longer, and this one is none of somebody's work.
        assert erasure.expire(connection, [State.SUCCEEDED], later, 10) == 1
    assert column_of(ledger, item_id, "erased_at") is not None
    assert rows(ledger)[0].erased_at is not None
    assert rows(ledger)[0].arguments is None


def test_what_is_not_settled_has_no_second_item(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    way.submit()
    claim = way.claim()
    assert claim is not None
    deployment = way.policy.deployments["house"]
    verdict = Verdict(condition=None, own=False)
    now = ledger.now()
    made = settlement(
        claim, deployment, answered(), way.policy, now, 0.5, verdict=verdict, stopped=False
    )

    def killed_before_the_commit() -> None:
        with ledger.write() as connection:
            settlements.settle(connection, settlements.prepare(ledger.dialect, [made], now))
            assert len(made.again) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_before_the_commit()
    assert (way.column("state"), rows(ledger)) == ("running", [])
    way.settle(claim, answered())
    assert len(rows(ledger)) == 1


def test_what_is_carried_goes_along(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    first(way, contents=(Content("a" * 64, b"an image"),))
    (row,) = rows(ledger)
    with ledger.read() as connection:
        carried = connection.execute(select(item_contents)).all()
    assert (row.id, "a" * 64) in [tuple(one) for one in carried]


def test_it_is_asked_under_the_prompt_of_the_first(ledger: Ledger) -> None:
    way = Way(ledger, policy(SHADOWED))
    way.submit()
    claim = way.claim()
    assert claim is not None
    with ledger.write() as connection:
        connection.execute(items.update().values(prompt="another"))
    way.settle(claim, answered())
    assert rows(ledger)[0].prompt == "another"


def test_a_second_answer_is_evidence_only_as_often_as_the_first_ones_are_accepted(
    ledger: Ledger,
) -> None:
    way = Way(ledger, policy(SHADOWED))
    for _ in range(12):
        way.submit()
        claim = way.claim()
        assert claim is not None
        way.settle(claim, Rejected(reasons=("no",), usage=Usage(), model_served="m"))
    for _ in range(12):
        first(way)
    with ledger.read() as connection:
        assert evidence.by_task(connection)["ticket"]["house"].accepted == 12
    for row in rows(ledger):
        way.item_id = row.id
        claim = way.claim()
        assert claim is not None
        way.settle(claim, answered())
    with ledger.read() as connection:
        pilot = evidence.by_task(connection)["ticket"]["pilot"]
    # All of its answers were accepted, to items that were accepted before: half of all.
    assert pilot.answers == 12
    assert 2 <= pilot.accepted <= 10
    assert pilot.input_tokens == 1_200
