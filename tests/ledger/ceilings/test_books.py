"""Ceilings: which cover a claim, in which window, and who set them."""

from datetime import UTC, datetime

from sqlalchemy import event, select

from tests.ledger.moves import SECOND, Moves, ceiling, settlement
from tierqueue.ledger import tables
from tierqueue.ledger.ceilings import books

HOUR = 3_600 * SECOND


def _micros(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * SECOND


def test_a_hold_is_settled_in_the_window_it_was_made_in(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000, window="day", timezone="Europe/Berlin"))
    far = moves.now() + 400 * 24 * HOUR
    wanted = moves.ready(2, deadline=far)
    first, second = wanted
    midnight = _micros(2027, 1, 10, 23)
    before = moves.claim({first: 0}, now=midnight - 1).claimed
    after = moves.claim({second: 0}, now=midnight).claimed
    moves.settle(*(settlement(row) for row in (*before, *after)), now=midnight + HOUR)
    assert moves.books() == {
        "everything:*:day:2027-01-10": (0, 70, 100),
        "everything:*:day:2027-01-11": (0, 70, 100),
    }


def test_a_ceiling_of_a_name_stands_in_place_of_the_one_for_each_name(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100), ceiling("budget", 300, name="acme"))
    assert len(moves.running(3, bound=100, budget="acme")) == 3
    assert len(moves.running(3, bound=100, budget="other")) == 1
    assert len(moves.running(3, bound=100, budget="third")) == 1


def test_a_ceiling_of_a_name_leaves_other_windows_to_the_one_for_each_name(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 150), ceiling("budget", 900, name="acme", window="day"))
    assert len(moves.running(3, bound=100, budget="acme")) == 1


def test_a_claim_asks_once_for_the_balances_that_are_there_and_makes_those_that_are_new(
    moves: Moves,
) -> None:
    moves.ceilings(ceiling("budget", 900), ceiling("everything", 900))
    asked: list[str] = []
    engine = moves.ledger.engine
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))

    def questions(budget: str) -> int:
        asked.clear()
        assert len(moves.running(bound=100, budget=budget)) == 1
        return sum(one.startswith("SELECT balances.id") for one in asked)

    assert questions("acme") == 2
    assert questions("acme") == 1
    # Of one that is new and one that is there, none is locked before both are.
    assert questions("other") == 2
    assert moves.books() == {
        "budget:acme:total:all": (200, 0, 200),
        "budget:other:total:all": (100, 0, 100),
        "everything:*:total:all": (300, 0, 300),
    }


def test_a_name_with_colons_keeps_its_own_balance(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 150))
    moves.running(bound=100, budget="team:eu:chat")
    assert list(moves.books()) == ["budget:team:eu:chat:total:all"]
    with moves.ledger.read() as connection:
        row = connection.execute(select(tables.balances)).one()
    assert (row.scope, row.name, row.window, row.start) == (
        *("budget", "team:eu:chat"),
        *("total", "all"),
    )


def test_every_change_of_a_ceiling_is_written_down(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 100))
    moves.ceilings(ceiling("everything", 250), by="ada")
    with moves.ledger.read() as connection:
        rows = connection.execute(select(tables.ceiling_changes)).all()
    assert [(row.by, row.before, row.after) for row in rows] == [
        ("policy", None, 100),
        ("ada", 100, 250),
    ]


def test_a_new_policy_moves_its_own_ceilings_and_leaves_an_operators(moves: Moves) -> None:
    first = [ceiling("everything", 100), ceiling("tier", 100), ceiling("budget", 100)]
    with moves.ledger.write() as connection:
        books.seed(connection, first, 1)
        books.put(connection, ceiling("tier", 500), by="ada", now=2)
        changed = [
            ceiling("everything", 300),
            ceiling("tier", 300),
            ceiling("budget", 100, timezone="Asia/Kathmandu"),
        ]
        books.seed(connection, changed, 3)
        books.seed(connection, changed, 4)
        rows = connection.execute(select(tables.ceilings).order_by(tables.ceilings.c.scope)).all()
        changes = connection.execute(select(tables.ceiling_changes.c.at)).scalars().all()
    assert [(row.scope, row.limit, row.timezone) for row in rows] == [
        ("budget", 100, "Asia/Kathmandu"),
        ("everything", 300, "UTC"),
        ("tier", 500, "UTC"),
    ]
    assert sorted(changes) == [1, 1, 1, 2, 3, 3]


def test_a_raised_ceiling_lets_what_waited_go(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 100))
    moves.running(bound=100)
    assert moves.claim(moves.ready(bound=100)).waiting == 1
    moves.ceilings(ceiling("everything", 200), by="ada")
    moves.wake()
    assert len(moves.claim(moves.queue()).claimed) == 1
