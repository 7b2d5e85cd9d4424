"""Reports add up, and the audit finds what does not."""

from dataclasses import asdict

from sqlalchemy import delete, insert, update

from tests.ledger.moves import Moves, ceiling, settlement
from tierqueue.ledger import tables
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.accounting.audit import Discrepancy
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Usage


def test_a_report_counts_attempts_tokens_and_money_by_tier_and_outcome(moves: Moves) -> None:
    usage = asdict(
        Usage(input_tokens=100, cache_read_tokens=7, output_tokens=9, reasoning_tokens=4)
    )
    first, second, third, fourth = moves.running(4)
    moves.settle(
        settlement(first, usage=usage, simulated=True),
        settlement(second, usage=usage, simulated=True, cost=30),
        settlement(third, outcome="failed", next_state=State.DEAD, reason="exhausted", cost=0),
    )
    with moves.ledger.read() as connection:
        report = audit.report(connection)
    assert report.states == {"succeeded": 2, "dead": 1, "running": 1}
    assert report.dead == {"exhausted": 1}
    lines = {line.outcome: line for line in report.lines}
    accepted = lines["accepted"]
    assert (accepted.tier, accepted.deployment, accepted.simulated) == ("gpu", "small", True)
    assert (accepted.attempts, accepted.cost, accepted.held) == (2, 100, 0)
    assert accepted.tokens == {
        "input_tokens": 200,
        "cache_read_tokens": 14,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 18,
        "reasoning_tokens": 8,
    }
    assert (lines["failed"].simulated, lines["failed"].cost) == (None, 0)
    assert (lines[None].attempts, lines[None].held) == (1, fourth.held)
    assert (report.cost, report.tokens) == (100, 232)


def test_a_report_covers_the_job_or_the_time_it_was_asked_for(moves: Moves) -> None:
    moves.running(job_id="job", job_index=0)
    moves.running()
    later = moves.now() + 1
    with moves.ledger.read() as connection:
        assert audit.report(connection, job="job").states == {"running": 1}
        assert audit.report(connection).states == {"running": 2}
        assert audit.report(connection, since=later).states == {}
        assert audit.report(connection, since=later).lines == []


def test_the_audit_of_honest_books_finds_nothing(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000), ceiling("budget", 1_000))
    first, _ = moves.running(2)
    moves.settle(settlement(first))
    assert moves.books()


def test_the_audit_finds_each_figure_that_was_tampered_with(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    spent, held = moves.running(2)
    moves.settle(settlement(spent))
    balance = "everything:*:total:all"
    with moves.ledger.write() as connection:
        connection.execute(update(tables.balances).values(spent=71, held=99))
        connection.execute(
            update(tables.items).where(tables.items.c.id == spent.item.id).values(spent=5)
        )
        connection.execute(
            update(tables.items).where(tables.items.c.id == held.item.id).values(held=0)
        )
        stray = {"balance_id": "gone", "item_id": "x", "fence": 1, "kind": "hold", "at": 1}
        connection.execute(insert(tables.entries).values(**stray, held=0, spent=8))
    with moves.ledger.read() as connection:
        found = audit.audit(connection)
    assert found == [
        Discrepancy("balance held", balance, 99, 100),
        Discrepancy("balance spent", balance, 71, 70),
        Discrepancy("entries without a balance", "gone", 0, 8),
        Discrepancy("item spent", spent.item.id, 5, 70),
        Discrepancy("item held", held.item.id, 0, 100),
    ]


def test_the_audit_finds_an_entry_that_is_missing(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    moves.running()
    with moves.ledger.write() as connection:
        connection.execute(delete(tables.entries))
        [found] = audit.audit(connection)
    assert (found.what, found.stands, found.should_be) == ("balance held", 100, 0)


def test_the_audit_finds_an_attempt_whose_charge_is_not_in_the_books(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    [claim] = moves.running()
    moves.settle(settlement(claim))
    with moves.ledger.write() as connection:
        connection.execute(update(tables.attempts).values(cost=60))
        connection.execute(update(tables.items).values(spent=60))
        found = audit.audit(connection)
    key = f"{claim.item.id}:1"
    assert found == [Discrepancy("attempt in everything:*:total:all", key, 70, 60)]
