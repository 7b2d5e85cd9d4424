"""Items and jobs as people look at them: lists, pages, and one item's history in words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from tests.fork_server import ForkServer
from tests.ledger.moves import Moves, new_item, promise_of, settlement
from tests.operations.cli.command import Command
from tests.operations.cli.terminal import in_terminal
from tierqueue.ledger.ceilings.books import Shortfall
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.ledger.lifecycle.deaths import ceiling_exceeded
from tierqueue.ledger.lifecycle.items import Death, die, submit
from tierqueue.ledger.operations import item_list, jobs
from tierqueue.ledger.operations.item_list import ItemFilter
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Usage

POLICY = 'default_sensitivity = "internal"\n'
BEST = Claimant(
    worker="frontier@host:12",
    tier="frontier",
    deployment="best",
    provider="acme",
    metered=True,
    lease_us=10**7,
)


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_items_are_listed_the_newest_first_and_in_pages(tierqueue: Command, moves: Moves) -> None:
    made = [moves.submit()[0] for _ in range(7)]
    listed: list[str] = []
    page = tierqueue.json("item", "list", "--limit", "3")
    while page:
        listed += ids(page)
        page = tierqueue.json("item", "list", "--limit", "3", "--after", page[-1]["id"][:20])
    assert sorted(listed) == sorted(made)
    submitted = [row["submitted_at_epoch_us"] for row in tierqueue.json("item", "list")]
    assert submitted == sorted(submitted, reverse=True)
    said = tierqueue.run("item", "list", "--limit", "3")[2]
    assert said == f"there may be more: --after {listed[2]}\n"


def test_items_are_listed_by_every_filter(tierqueue: Command, moves: Moves) -> None:
    (blue,) = moves.submit(budget="blue")
    (red,) = moves.submit(budget="red", task="tierqueue.extract")
    moves.route()
    fences = moves.queue("gpu")
    [claim] = moves.claim({blue: fences[blue]}).claimed
    (green,) = moves.submit(budget="green")
    with moves.ledger.write() as connection:
        die(connection, [Death(green, "no_route", "none", {})], 5)

    def listed(*words: str) -> set[str]:
        return set(ids(tierqueue.json("item", "list", *words)))

    assert listed() == {blue, red, green}
    assert listed("--budget", "blue") == {blue}
    assert listed("--task", "tierqueue.extract") == {red}
    assert listed("--state", "running") == {claim.item.id}
    assert listed("--state", "dead", "--reason", "no_route") == {green}
    assert listed("--tier", "gpu") == {blue, red}
    assert listed("--since", "1h") == {blue, red, green}
    assert listed("--older-than", "1h") == set()
    assert "did you mean 'dead'?" in tierqueue.complaint("item", "list", "--state", "daed")


def test_a_list_shows_neither_what_was_asked_nor_what_was_answered(
    tierqueue: Command, moves: Moves
) -> None:
    moves.submit(arguments={"text": "a secret"}, metadata={"customer": "a secret"})
    for words in (["item", "list"], ["item", "list", "--json"]):
        assert "a secret" not in tierqueue(*words)


def _rows(count: int) -> Iterator[dict[str, Any]]:
    zero = ("prompt_bytes", "messages", "output_limit", "priority", "ready_at", "fence", "calls")
    filled = {"task": "t", "prefix": "", "fingerprint": "", "state": "submitted"}
    counts = dict.fromkeys((*zero, "lost_claims", "throttles", "spent", "held"), 0)
    for number in range(count):
        named = {"id": f"i{number:06}", "submitted_at": number, "cancel_requested": False}
        yield {**filled, **counts, **named}


def test_a_page_is_read_off_the_index_however_deep_it_is(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(insert(items), list(_rows(5_000)))
    asked: list[tuple[str, Any]] = []
    with ledger.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        page = item_list.newest(connection, ItemFilter(), 50, "i001000")
    assert [row.id for row in page] == [f"i{number:06}" for number in range(999, 949, -1)]
    statement, values = asked[-1]
    explain = "EXPLAIN QUERY PLAN " if ledger.dialect == "sqlite" else "EXPLAIN "
    with ledger.write() as connection:
        if ledger.dialect == "postgresql":
            connection.exec_driver_sql("ANALYZE items")
        plan = " ".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
    assert "ix_items_submitted_at" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_the_few_items_of_a_state_are_found_by_it_and_not_along_all_others(ledger: Ledger) -> None:
    rows = list(_rows(3_000))
    for row in rows[1:]:
        row.update(state="succeeded", ended_at=1)
    with ledger.write() as connection:
        connection.execute(insert(items), rows)
    asked: list[tuple[str, Any]] = []
    with ledger.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        (only,) = item_list.newest(connection, ItemFilter(state="submitted"), 50)
    assert only.id == "i000000"
    statement, values = asked[-1]
    explain = "EXPLAIN QUERY PLAN " if ledger.dialect == "sqlite" else "EXPLAIN "
    with ledger.write() as connection:
        plan = " ".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
    assert "ix_items_submitted_at" not in plan
    assert "ix_items_submitted" in plan


def lived(moves: Moves) -> str:
    """An item that was refused below, throttled, and answered above."""
    new = new_item(
        budget="acme",
        max_cost=10**8,
        min_confidence=0.7,
        arguments={"text": "a secret"},
        metadata={"who": "a secret"},
    )
    with moves.ledger.write() as connection:
        item_id = submit(connection, new, promise_of(new.id, "celery-1"))
    why = {"deployment": "best", "rule": "dearer", "why": "it can cost $0.02"}
    moves.route(bound=700_000, route={"reasons": ["the cheapest of 2"], "refusals": [why]})
    [claim] = moves.claim(moves.queue("gpu")).claimed
    moves.settle(
        settlement(
            claim,
            cost=200_000,
            outcome="rejected",
            next_state=State.SUBMITTED,
            reason="escalated",
            output=None,
            receipt=None,
            seconds=0.18,
            usage=asdict(Usage(input_tokens=90, output_tokens=10)),
            price_source="gpu_hour",
            confidence=0.4125,
            detail={"reasons": ["no such label"], "model_served": "tiny"},
        )
    )
    why = {"deployment": "small", "rule": "floor", "why": "frontier or better is needed"}
    above = {"reasons": ["the cheapest of 1"], "refusals": [why]}
    moves.route(tier="frontier", deployment="best", bound=20_000_000, route=above)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    nothing = {"output": None, "receipt": None, "calls_more": 0, "throttles_more": 1}
    waits = {"next_state": State.WAITING, "reason": "throttled", "ready_at": moves.now()}
    moves.settle(settlement(claim, cost=0, outcome="throttled", **nothing, **waits))
    with moves.ledger.write() as connection:
        routes.wake_due(connection, moves.now())
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    moves.settle(
        settlement(
            claim,
            cost=3_200_000,
            seconds=1.2,
            simulated=True,
            usage=asdict(
                Usage(
                    input_tokens=90,
                    cache_read_tokens=1000,
                    output_tokens=210,
                    reasoning_tokens=150,
                )
            ),
            receipt={"model_asked": "best-1", "model_served": "best-1-20260101"},
            output={"answer": "a secret"},
        )
    )
    return item_id


FACTS = [
    "succeeded after",
    "$0.0034 (simulated) spent on 3 calls",
    "as Celery task celery-1",
    "budget acme",
    "max_cost $0.10",
    "call 1: small (gpu)",
    "$0.0007 held",
    "the answer was refused",
    "no such label",
    "90 tokens in, 10 out",
    "cost $0.0002 of $0.0007 held in 0.18 s, priced by gpu_hour",
    "confidence 0.412",
    "min_confidence 0.7",
    "from gpu to frontier",
    "not small: frontier or better is needed",
    "the provider said not now",
    "call 3: best (frontier) (simulated)",
    "by frontier@host:12",
    "model best-1 asked, best-1-20260101 served",
    "1,090 tokens in (1,000 from the cache), 210 out (150 of them reasoning)",
    "cost $0.0032 of $0.02 held in 1.2 s",
    "not told yet: Celery task celery-1",
]


def test_an_item_is_told_as_a_timeline_in_words_and_dollars(
    tierqueue: Command, moves: Moves
) -> None:
    item_id = lived(moves)
    said = tierqueue("item", "show", item_id)
    for fact in FACTS:
        assert fact in said
    assert "a secret" not in said
    assert "nano" not in said
    words = [line[14:23].strip() for line in said.splitlines()[3:]]
    assert words == [
        *("submitted", "called", "rejected", "called", "throttled", "called"),
        *("accepted", "succeeded", "owed"),
    ]
    assert said.count("a secret") == 0
    assert tierqueue("item", "show", item_id, "--payload").count("a secret") == 3


@pytest.mark.processes
@pytest.mark.parametrize("columns", [80, 40])
def test_a_narrow_terminal_gets_the_whole_timeline_in_its_local_time(
    forks: ForkServer, command: Callable[[str], Command], sqlite_url: str, columns: int
) -> None:
    command(sqlite_url)
    ledger = Ledger(sqlite_url)
    item_id = lived(Moves(ledger))
    ledger.close()
    shown = in_terminal(forks, columns, "item", "show", item_id[:13])
    assert max(map(len, shown.splitlines())) <= columns
    assert item_id in shown.split()
    assert "(CET, UTC+01:00)" in shown or "(CEST, UTC+02:00)" in shown
    joined = " ".join(shown.split())
    for fact in FACTS:
        assert fact in joined


def test_scripts_get_the_whole_record_with_its_units(tierqueue: Command, moves: Moves) -> None:
    told = tierqueue.json("item", "show", lived(moves))
    assert told["item"]["spent_nanousd"] == 3_400_000
    assert [attempt["cost_nanousd"] for attempt in told["attempts"]] == [200_000, 0, 3_200_000]
    assert told["item"]["submitted_at_epoch_us"] <= told["promises"][0]["made_at_epoch_us"]
    assert [promise["id"] for promise in told["promises"]] == ["celery-1"]
    assert not told["item"].keys() & {"arguments", "output", "metadata"}


def test_a_rule_that_an_older_release_wrote_is_shown_under_its_present_code(
    tierqueue: Command, moves: Moves
) -> None:
    moves.submit()
    older = {"deployment": "best", "rule": "dearer", "why": "it can cost $0.02"}
    [item_id] = moves.route(route={"reasons": [], "refusals": [older, older | {"rule": "floor"}]})
    refusals = tierqueue.json("item", "show", item_id)["item"]["route"]["refusals"]
    assert [refusal["rule"] for refusal in refusals] == ["more_expensive", "floor"]


def test_what_has_not_ended_says_what_it_waits_for_and_until_when(
    tierqueue: Command, moves: Moves
) -> None:
    (waiting,) = moves.submit(not_before=moves.now() + 3_600_000_000)
    said = tierqueue("item", "show", waiting)
    assert "waiting (not_before) for" in said
    assert "now           waiting    not_before; until " in said
    [claim] = moves.running()
    said = tierqueue("item", "show", claim.item.id)
    assert "now           running    its lease holds for" in said
    assert "$0.0000001 held" in said


def test_an_item_that_a_ceiling_ended_says_so_in_dollars(tierqueue: Command, moves: Moves) -> None:
    (item_id,) = moves.submit()
    full = Shortfall("budget:acme:day:2026-11-26", 2 * 10**9, 10**9, 5 * 10**8, 7 * 10**8)
    death = ceiling_exceeded(item_id, full)
    assert "nano" not in death.message
    assert "$0.70" in death.message
    assert "$2.00" in death.message
    assert death.fields["needed"] == 7 * 10**8


def job_of(moves: Moves, total: int, **stated: Any) -> str:
    with moves.ledger.write() as connection:
        job_id = jobs.create(
            connection, task="tierqueue.classify", source="a.csv", max_cost=10**9, now=moves.now()
        )
    for index in range(total):
        moves.submit(job_id=job_id, job_index=index, **stated)
    return job_id


def test_jobs_are_listed_with_their_rows_and_their_cost(tierqueue: Command, moves: Moves) -> None:
    first = job_of(moves, 2)
    moves.route()
    claims = moves.claim(moves.queue("gpu")).claimed
    moves.settle(settlement(claims[0], cost=5_000))
    moves.settle(settlement(claims[1], cost=6_000))
    with moves.ledger.write() as connection:
        jobs.complete(connection, first, 2)
    second = job_of(moves, 1)
    newest, oldest = tierqueue.json("job", "list")
    assert (newest["job"], newest["state"], newest["total"]) == (second, "submitting", 1)
    assert (oldest["job"], oldest["state"], oldest["cost_nanousd"]) == (first, "ended", 11_000)
    assert (oldest["source"], oldest["max_cost_nanousd"]) == ("a.csv", 10**9)
    assert [row["job"] for row in tierqueue.json("job", "list", "--limit", "1")] == [second]
    after = tierqueue.json("job", "list", "--after", second)
    assert [row["job"] for row in after] == [first]
    said = tierqueue("job", "list")
    assert "$0.000011" in said
    assert ids(tierqueue.json("item", "list", "--job", first[:36])) != []


MONEY = {
    *("spent", "held", "cost", "bound", "limit", "overage", "unknown", "expected", "per_accepted"),
    *("max_cost", "booked", "billed", "drift", "corrected", "moved", "before", "after", "from"),
    *("to", "per_hour", "charged", "idle_cost", "stands", "should_be", "needed"),
}


def unitless(value: Any) -> list[str]:
    """Keys of numbers that are money and do not say of what."""
    if isinstance(value, Mapping):
        bare = [key for key, inner in value.items() if key in MONEY and isinstance(inner, int)]
        told = [inner for key, inner in value.items() if key not in ("fields", "receipt", "detail")]
        return bare + [key for inner in told for key in unitless(inner)]
    if isinstance(value, list):
        return [key for inner in value for key in unitless(inner)]
    return []


def test_money_in_json_says_its_unit_in_every_command(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    item_id = lived(moves)
    (dead,) = moves.submit()
    with moves.ledger.write() as connection:
        die(connection, [Death(dead, "no_route", "none", {})], moves.now())
    job = job_of(moves, 1)
    tierqueue("ceilings", "set", "everything", "day", "9usd")
    commands: list[list[str]] = [
        ["ceilings", "list"],
        ["ceilings", "history"],
        ["ceilings", "set", "budget:acme", "day", "9usd"],
        ["ceilings", "raise", "budget:acme", "day", "10usd"],
        ["dead-letters", "list"],
        ["item", "show", item_id],
        ["item", "list"],
        ["job", "list"],
        ["job", "cancel", job],
        ["spend"],
        ["audit"],
        ["pause", "list"],
    ]
    for words in commands:
        assert unitless(tierqueue.json(*words)) == [], words
