"""Ids by any beginning that only one has; typos of every kind of name are told the nearest."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from tests.ledger.moves import Moves, ceiling, new_item, promise_of
from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tierqueue.ledger.accounting import spending
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.operations import jobs, names
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items as item_table
from tierqueue.operations.cli.input.names import item_named, job_named
from tierqueue.operations.cli.money import spend
from tierqueue.operations.cli.work import pause
from tierqueue.router.errors import InvalidItem

POLICY = ONE_DEPLOYMENT


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def job_of(ledger: Ledger) -> str:
    with ledger.write() as connection:
        return jobs.create(connection, task="t", source="work.csv", max_cost=None, now=1)


def item_with(moves: Moves, item_id: str, **stated: Any) -> str:
    (made,) = moves.submit(id=item_id, **stated)
    return made


def test_an_id_is_taken_by_any_beginning_that_only_one_has(
    tierqueue: Command, moves: Moves
) -> None:
    mine = item_with(moves, "aaaa1111-x")
    item_with(moves, "aaaa2222-x")
    assert tierqueue.json("item", "show", "aaaa1")["item"]["id"] == mine
    complaint = tierqueue.complaint("item", "show", "aaaa")
    assert complaint == (
        "error: several items begin with aaaa: aaaa1111-x, aaaa2222-x; say more of the id\n"
    )


def test_an_id_that_begins_another_means_itself(tierqueue: Command, moves: Moves) -> None:
    item_with(moves, "aaaa")
    item_with(moves, "aaaab")
    assert tierqueue.json("item", "show", "aaaa")["item"]["id"] == "aaaa"


def test_what_like_takes_for_wildcards_means_itself(tierqueue: Command, moves: Moves) -> None:
    for item_id in ("a_c%d\\e", "abcxd", "axc%d"):
        item_with(moves, item_id)
    assert tierqueue.json("item", "show", "a_c%d\\")["item"]["id"] == "a_c%d\\e"
    for wild in ("a%", "%", "_bcxd", "a_cx"):
        assert f"there is no item {wild}" in tierqueue.complaint("item", "show", wild)


def test_many_candidates_are_not_all_listed(tierqueue: Command, moves: Moves) -> None:
    for number in range(9):
        item_with(moves, f"aaaa{number}")
    assert "aaaa4, and more;" in tierqueue.complaint("item", "show", "aaaa")


def test_an_item_is_known_by_the_celery_task_id_it_was_promised_under(
    tierqueue: Command, moves: Moves
) -> None:
    (item_id,) = moves.submit()
    with moves.ledger.write() as connection:
        keyed, again = (new_item(idempotency_key="k") for _ in range(2))
        first = items.submit(connection, keyed, promise_of(keyed.id, "celery-one"))
        items.submit(connection, again, promise_of(again.id, "celery-two"))
    for word in ("celery-two", "celery-t", "celery"):
        assert tierqueue.json("item", "show", word)["item"]["id"] == first
    assert first != item_id


@pytest.mark.parametrize("size", [8, 13, 18, 36])
def test_every_command_takes_a_job_by_the_short_id_that_is_shown(
    tierqueue: Command, ledger: Ledger, size: int
) -> None:
    job = job_of(ledger)
    with ledger.write() as connection:
        jobs.complete(connection, job, 0)
    short = job[:size]
    assert tierqueue.json("job", "watch", short)["job"] == job
    assert tierqueue("job", "results", short) == ""
    assert tierqueue.json("job", "cancel", short)["job"] == job
    assert tierqueue("pause", "job", short) == f"job {job} is paused\n"
    assert tierqueue("resume", "job", short) == f"job {job} goes on\n"
    assert tierqueue.json("dead-letters", "list", "--job", short) == []
    assert tierqueue.json("spend", "--job", short)["groups"] == []
    tierqueue("ceilings", "set", f"job:{short}", "total", "1usd")
    assert tierqueue.json("ceilings", "history", f"job:{short}")[0]["name"] == job


def test_every_command_that_takes_an_item_takes_its_beginning(
    tierqueue: Command, moves: Moves
) -> None:
    dead = item_with(moves, "dddd-1")
    with moves.ledger.write() as connection:
        items.die(connection, [items.Death(dead, "no_route", "none", {})], 5)
    for words in (["dead-letters", "show", "dd"], ["item", "show", "ddd"]):
        assert tierqueue.json(*words)["item"]["id"] == dead
    for verb in ("replay", "discard"):
        assert tierqueue.json("dead-letters", verb, "dd")["matching"] == 1
    assert tierqueue.json("erase", "--item", "dddd")["matching"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ["spend", "--job", "none"],
        ["dead-letters", "list", "--job", "none"],
        ["ceilings", "set", "job:none", "total", "1usd"],
        ["pause", "job", "none"],
        ["job", "watch", ""],
        ["erase", "--item", "none"],
    ],
)
def test_a_name_of_nothing_is_an_error_and_no_empty_list(
    tierqueue: Command, words: list[str]
) -> None:
    complaint = tierqueue.complaint(*words)
    assert "there is no" in complaint or "say which job" in complaint


def test_finding_by_a_beginning_reads_the_primary_key_alone(ledger: Ledger) -> None:
    with ledger.write() as connection:
        rows = [_row(number) for number in range(2_000)]
        connection.execute(insert(item_table), rows)
    asked: list[str] = []
    with ledger.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
        assert item_named(connection, "id-1999") == "id-1999"
    (statement,) = asked
    plan = "EXPLAIN QUERY PLAN " if ledger.dialect == "sqlite" else "EXPLAIN "
    with ledger.read() as connection:
        if ledger.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        filled = {"id_1": "id-1999", "id_2": "id-1999z", "param_1": 6}
        values: Any = ("id-1999", "id-1999z", 6, 0) if ledger.dialect == "sqlite" else filled
        said = " ".join(str(row) for row in connection.exec_driver_sql(plan + statement, values))
    assert "SEARCH" in said or "Index" in said
    assert "SCAN items" not in said


def _row(number: int) -> dict[str, Any]:
    filled = {"id": f"id-{number}", "task": "t", "prefix": "", "fingerprint": ""}
    zero = ("prompt_bytes", "messages", "output_limit", "priority", "ready_at", "fence", "calls")
    more = ("lost_claims", "throttles", "spent", "held", "submitted_at")
    counts = dict.fromkeys((*zero, *more), 0)
    return {**filled, **counts, "cancel_requested": False, "state": "submitted"}


def test_an_empty_beginning_means_nothing(moves: Moves) -> None:
    moves.submit()
    with moves.ledger.read() as connection, pytest.raises(InvalidItem, match="say which job"):
        job_named(connection, "")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["polcy"], "Did you mean 'policy'?"),
        (["dead-letters", "lst"], "Did you mean 'list'?"),
        (["spend", "--sinc", "1h"], "'--since'"),
        (["spend", "--by", "deploiment"], "did you mean 'deployment'?"),
        (["dead-letters", "list", "--reason", "cost_cieling"], "did you mean 'cost_ceiling'?"),
        (["dead-letters", "list", "--tier", "fronteir"], "did you mean 'frontier'?"),
        (["concurrency", "set", "open_wieght", "3"], "did you mean 'open_weight'?"),
        (["pause", "tier", "fronteir"], "did you mean 'frontier'?"),
        (["pause", "task", "tierqueue.clasify"], "did you mean 'tierqueue.classify'?"),
        (["resume", "budgets", "acme"], "did you mean 'budget'?"),
        (["ceilings", "set", "budgt:acme", "day", "1usd"], "did you mean 'budget'?"),
        (["ceilings", "set", "everything", "dya", "1usd"], "did you mean 'day'?"),
        (["ceilings", "set", "tier:fronteir", "day", "1usd"], "did you mean 'frontier'?"),
        (["ceilings", "set", "deployment:bset", "day", "1usd"], "did you mean 'best'?"),
        (["ceilings", "raise", "budget:acmee", "total", "9usd"], "did you mean 'acme'?"),
        (["reconcile", "x.csv", "--deployment", "bets"], "did you mean 'best'?"),
        (["route", "--task", "tierqueue.clasify"], "did you mean 'tierqueue.classify'?"),
        (
            ["route", "--task", "tierqueue.classify", "--arg", "txt=x"],
            "it takes text, labels",
        ),
        (["route", "--task", "tierqueue.classify", "--arg", "lables=x"], "did you mean 'labels'?"),
        (["route", "--task", "tierqueue.classify", "--risk", "intern"], "did you mean 'internal'?"),
    ],
)
def test_a_typo_is_told_the_nearest(
    tierqueue: Command, moves: Moves, words: list[str], near: str
) -> None:
    with moves.ledger.write() as connection:
        books.put(connection, ceiling("budget", 5, name="acme"), by="test", now=1)
        books.hold(connection, 1, [books.Need("i", 1, 1, [("budget", "acme")])])
    assert near in " ".join(tierqueue.complaint(*words).split())


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["--column", "txet"], "did you mean 'text'?"),
        (["--set", "labels=a,b", "--set", "lables=a"], "did you mean 'labels'?"),
    ],
)
def test_a_typo_in_a_column_is_told_the_nearest(
    tierqueue: Command, tmp_path: Path, words: list[str], near: str
) -> None:
    (tmp_path / "work.csv").write_text("text,budgte\nhello,a\n")
    submit = ["job", "submit", "work.csv", "--task", "tierqueue.classify"]
    assert near in tierqueue.complaint(*submit, *words)
    assert "did you mean 'budget'?" in tierqueue.complaint(*submit, "--set", "labels=a,b")


def test_a_budget_that_nothing_has_used_is_paused_with_a_note(
    tierqueue: Command, moves: Moves
) -> None:
    moves.submit(budget="acme")
    status, out, err = tierqueue.run("pause", "budget", "acmee")
    assert (status, out) == (0, "budget acmee is paused\n")
    assert "nothing has used the budget acmee lately; did you mean 'acme'?" in err
    assert tierqueue.run("pause", "budget", "acme")[2] == ""


def test_a_pause_that_is_not_there_is_told_the_nearest(tierqueue: Command) -> None:
    tierqueue("pause", "budget", "acme")
    said = tierqueue("resume", "budget", "acmee", status=1)
    assert said == "budget acmee was not paused; did you mean 'acme'?\n"


def test_budgets_are_known_from_items_and_from_money(moves: Moves) -> None:
    moves.submit(budget="blue")
    with moves.ledger.write() as connection:
        books.put(connection, ceiling("budget", 5), by="test", now=1)
        books.hold(connection, 1, [books.Need("i", 1, 1, [("budget", "red")])])
    with moves.ledger.read() as connection:
        assert names.budgets(connection) == ["blue", "red"]


def test_an_id_has_one_word_in_the_json_of_every_command(tierqueue: Command, moves: Moves) -> None:
    job = job_of(moves.ledger)
    (item_id,) = moves.submit(job_id=job, job_index=0)
    with moves.ledger.write() as connection:
        items.die(connection, [items.Death(item_id, "no_route", "none", {})], 5)
    for words in (["item", "list"], ["dead-letters", "list"]):
        (row,) = tierqueue.json(*words)
        assert (row["item"], row["job"], row["id"], row["job_id"]) == (item_id, job, item_id, job)
    shown = tierqueue.json("item", "show", item_id)["item"]
    assert (shown["item"], shown["job"]) == (item_id, job)
    assert [row["job"] for row in tierqueue.json("job", "list")] == [job]


def test_what_a_command_can_choose_from_is_what_the_ledger_knows() -> None:
    assert tuple(pause._EXAMPLES) == pauses.KINDS
    assert spend._BY == spending.DIMENSIONS
