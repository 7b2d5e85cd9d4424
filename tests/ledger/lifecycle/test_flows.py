"""Flows: who shares a place as one, who of them goes first, and what is passed over."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from tests.ledger.placed import column, place
from tierqueue.ledger.lifecycle import flows, routes
from tierqueue.ledger.lifecycle.flows import due_at, name_of
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items

HOUR = 3_600_000_000


def flow(**named: str) -> str:
    """A flow's name, and one for which nobody waits if nothing else is said."""
    filled = {"urgent": False, "budget": None, "job_id": None, "task": "t", **named}
    return name_of(**filled)


def queued(ledger: Ledger, wanted: dict[str, int]) -> list[str]:
    with ledger.write() as connection:
        return [item.id for item in routes.queue(connection, "gpu", wanted, 10**16)]


def found(ledger: Ledger, tier: str | None, since: str = "") -> list[str]:
    with ledger.read() as connection:
        return [flow.name for flow in flows.with_work(connection, tier, since)]


def test_a_flow_is_one_budget_job_task_and_deployment_and_whether_somebody_waits() -> None:
    apart = [
        flow(),
        flow(budget="acme"),
        flow(job_id="acme"),
        flow(task="acme"),
        flow(deployment="acme"),
        name_of(urgent=True, budget=None, job_id=None, task="t"),
    ]
    assert len(set(apart)) == len(apart)
    assert flow(budget="acme") == flow(budget="acme")


def test_each_step_of_priority_halves_the_time_to_the_deadline() -> None:
    assert due_at(1000, 1000 + HOUR, 0) == 1000 + HOUR
    assert due_at(1000, 1000 + HOUR, 1) == 1000 + HOUR // 2
    assert due_at(0, None, 0) == 24 * HOUR


def test_a_deadline_that_has_passed_makes_an_item_due_at_once() -> None:
    assert due_at(1000, 10, 5) == 1000


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, HOUR))
def test_what_waits_long_enough_goes_before_any_priority(one: int, other: int, left: int) -> None:
    early = due_at(0, left, one)
    assert early <= due_at(left, 2 * left, other)


def test_of_a_flow_the_items_due_first_are_queued_and_no_more_than_are_wanted(
    ledger: Ledger,
) -> None:
    late, early = (place(ledger, "routed", flow="bx", due=due) for due in (20, 10))
    other = place(ledger, "routed", flow="by", due=5)
    assert queued(ledger, {"bx": 1}) == [early]
    assert set(queued(ledger, {"bx": 1, "by": 3})) == {late, other}


def test_flows_with_work_are_found_by_name_the_urgent_first(ledger: Ledger) -> None:
    for name in ("b2", "a1", "", "b1", "b1"):
        place(ledger, "routed", flow=name)
    place(ledger, "routed", flow="b9", tier="frontier")
    place(ledger, "submitted", flow="b7")
    assert found(ledger, "gpu") == ["", "a1", "b1", "b2"]
    assert found(ledger, "gpu", since="b1 ") == ["b2"]
    assert found(ledger, "frontier") == ["b9"]
    assert found(ledger, None) == ["b7"]
    assert found(ledger, "open_weight") == []


def test_few_items_of_a_tier_are_queued_whosever_they_are_the_urgent_first(ledger: Ledger) -> None:
    usual = [place(ledger, "routed", flow=f"b{number}", due=9 - number) for number in range(3)]
    urgent = place(ledger, "routed", flow="a9", due=10)
    place(ledger, "routed", flow="a1", tier="frontier")
    with ledger.write() as connection:
        found = routes.queue_all(connection, "gpu", 10**16, 9)
    assert found is not None
    assert [item.id for item in found] == [urgent, *usual]
    assert {column(ledger, item_id, "state") for item_id in [urgent, *usual]} == {"queued"}


def test_where_more_than_a_few_items_wait_none_is_taken_without_its_flow(ledger: Ledger) -> None:
    placed = [place(ledger, state, flow="b") for state in ("routed", "submitted")]
    for state in ("routed", "submitted"):
        for _ in range(flows.FEW):
            place(ledger, state, flow="b")
    with ledger.write() as connection:
        assert routes.queue_all(connection, "gpu", 10**16, 9) is None
        assert routes.all_submitted(connection) is None
    assert [column(ledger, item_id, "state") for item_id in placed] == ["routed", "submitted"]


def test_few_submitted_items_are_read_as_their_flows_would_give_them(ledger: Ledger) -> None:
    late, early = (place(ledger, "submitted", flow="b1", due=due) for due in (2, 1))
    with ledger.write() as connection:
        every = routes.all_submitted(connection)
        assert every == routes.submitted(connection, {"b1": 5})
    assert [item.id for item in every or ()] == [early, late]


def test_many_flows_are_taken_from_at_once(ledger: Ledger) -> None:
    placed = {place(ledger, "routed", flow=f"b{number}") for number in range(70)}
    assert set(queued(ledger, {f"b{number}": 2 for number in range(70)})) == placed


def test_the_next_items_of_a_flow_are_found_along_the_index_without_sorting(
    ledger: Ledger,
) -> None:
    for number in range(300):
        place(ledger, "routed", flow=f"b{number % 3}", due=number)
    read = flows.ItemSelection(
        (items.c.id, items.c.task), tuple, (items.c.lost_claims < 9,), lock=False
    )
    with ledger.write() as connection:
        explain = "EXPLAIN QUERY PLAN "
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN "

        def say(_: object, cursor: object, statement: str, *rest: object) -> tuple[str, object]:
            return explain + statement, rest[0]

        event.listen(connection, "before_cursor_execute", say, retval=True)
        rows = flows.first_of(connection, "gpu", {"b1": 5}, read, {})
    plan = " ".join(str(row) for row in rows)
    assert "ix_items_routed" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
