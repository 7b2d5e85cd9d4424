"""Dead letters: found, looked at, replayed and discarded, exactly once and on record."""

from typing import Any

import pytest

from tests.ledger.moves import SECOND, Moves, ceiling, promise_of, settlement
from tierqueue.ledger import audit_log
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.operations.dead_letters import DeadLetterQuery
from tierqueue.ledger.results import chords, promises
from tierqueue.router.lifecycle import State


def _dead(moves: Moves, reason: str = "rejected", **stated: Any) -> str:
    [claim] = moves.running(**stated)
    moves.settle(
        settlement(
            claim,
            outcome="rejected",
            next_state=State.DEAD,
            reason=reason,
            error={"reason": reason, "message": "no", "fields": {}},
            output=None,
            receipt=None,
            refused_by=["gpu"],
            lost_more=1,
            throttles_more=1,
        )
    )
    return str(claim.item.id)


def _listed(moves: Moves, **wanted: Any) -> list[str]:
    with moves.ledger.read() as connection:
        return [row.id for row in dead_letters.listed(connection, DeadLetterQuery(**wanted), 100)]


def test_dead_letters_are_listed_by_what_one_asks_for(moves: Moves) -> None:
    first = _dead(moves, "rejected", budget="acme")
    second = _dead(moves, "exhausted", budget="other", task="tierqueue.extract")
    third = _dead(moves, "exhausted", budget="acme", job_id="job", job_index=0)
    moves.ready()
    assert set(_listed(moves)) == {first, second, third}
    assert set(_listed(moves, reason="exhausted")) == {second, third}
    assert _listed(moves, reason="exhausted", budget="acme") == [third]
    assert _listed(moves, task="tierqueue.extract") == [second]
    assert _listed(moves, job="job") == [third]
    assert _listed(moves, tier="frontier") == []
    assert _listed(moves, since=moves.now() + SECOND) == []


def test_pages_of_dead_letters_neither_repeat_nor_leave_out(moves: Moves) -> None:
    ids = {_dead(moves) for _ in range(5)}
    seen: list[str] = []
    before = None
    with moves.ledger.read() as connection:
        while page := dead_letters.listed(connection, DeadLetterQuery(), 2, before):
            seen += [row.id for row in page]
            before = (page[-1].ended_at, page[-1].id)
    assert len(seen) == 5
    assert set(seen) == ids


def test_a_dead_letter_shows_its_whole_history(moves: Moves) -> None:
    item_id = _dead(moves)
    with moves.ledger.read() as connection:
        shown = dead_letters.show(connection, item_id)
        assert dead_letters.show(connection, "nothing") is None
    assert shown is not None
    item, attempts = shown
    assert item.reason == "rejected"
    assert [(attempt.fence, attempt.cost, attempt.outcome) for attempt in attempts] == [
        (1, 70, "rejected")
    ]


def test_a_replay_begins_anew_and_forgets_no_charge(moves: Moves) -> None:
    item_id = _dead(moves)
    with moves.ledger.write() as connection:
        assert dead_letters.replay(connection, [item_id, "nothing"], "ada") == [item_id]
        assert dead_letters.replay(connection, [item_id], "ada") == []
    row = moves.row(item_id)
    assert (row.state, row.fence, row.spent) == ("submitted", 1, 70)
    assert (row.calls, row.lost_claims, row.throttles, row.refused_by) == (0, 0, 0, None)
    assert (row.reason, row.error, row.ended_at, row.deployment) == (None, None, None, None)
    moves.route()
    [claim] = moves.claim(moves.queue()).claimed
    moves.settle(settlement(claim))
    assert (claim.fence, moves.row(item_id).spent) == (2, 140)
    moves.books()
    with moves.ledger.read() as connection:
        [action] = audit_log.newest(connection, 10)
    assert (action.by, action.what) == ("ada", "replay")


@pytest.mark.parametrize("way", [dead_letters.replay, dead_letters.discard])
def test_how_an_item_had_ended_outlives_its_replay_and_its_discard(moves: Moves, way: Any) -> None:
    item_id = _dead(moves)
    before = moves.row(item_id)
    with moves.ledger.write() as connection:
        way(connection, [item_id], "ada", chosen_by=DeadLetterQuery(reason="rejected", since=5))
        [action] = audit_log.newest(connection, 10)
    assert action.detail == {
        "items": [item_id],
        "filters": {"reason": "rejected", "since": 5},
        "deaths": [{"item": item_id, "reason": "rejected", "ended_at": before.ended_at}],
    }


@pytest.mark.parametrize("ahead", [-SECOND, 3_600 * SECOND])
def test_a_replay_clears_a_deadline_only_if_it_has_passed(moves: Moves, ahead: int) -> None:
    deadline = moves.now() + ahead
    [item_id] = moves.submit(deadline=deadline)
    with moves.ledger.write() as connection:
        items.die(connection, [items.Death(item_id, "no_route", "none", {})], 1)
        dead_letters.replay(connection, [item_id], "ada")
    assert moves.row(item_id).deadline == (None if ahead < 0 else deadline)


def test_a_replay_owes_its_promises_anew_and_no_errback_a_second_time(moves: Moves) -> None:
    item_id = _dead(moves)
    told, late, joined = (promise_of(item_id, name) for name in ("told", "late", item_id))
    errbacks: dict[str, Any] = {"errbacks": [{"task": "mourn"}], "callbacks": [{"task": "next"}]}
    told, late = told._replace(**errbacks), late._replace(**errbacks)
    with moves.ledger.write() as connection:
        for owed in (told, late, joined):
            promises.make_once(connection, owed, 1)
        promises.note_fulfilled(connection, [told, joined], 2)
        dead_letters.replay(connection, [item_id], "ada")
        anew = {promise.id: promise for promise in promises.unfulfilled(connection, [item_id])}
        # Told of the death by somebody who read it before the replay.
        promises.note_fulfilled(connection, [late], 3)
        assert len(promises.unfulfilled(connection, [item_id])) == 3
        promises.note_fulfilled(connection, [*anew.values()], 4)
        assert promises.unfulfilled(connection, [item_id]) == []
    assert anew.keys() == {"told", "late", item_id}
    assert (anew["told"].errbacks, anew["late"].errbacks) == (None, late.errbacks)
    assert anew["told"].callbacks == told.callbacks


def test_a_chord_that_failed_is_remembered_for_as_long_as_a_part_may_be_replayed(
    moves: Moves,
) -> None:
    item_id = _dead(moves)
    part = promise_of(item_id, item_id)._replace(group_id="g", group_index=0, chord={"task": "b"})
    with moves.ledger.write() as connection:
        promises.make_once(connection, part, 1)
        chords.announce(connection, "g", 1)
        assert chords.parts(connection, "g")
        assert chords.begin(connection, "g")
        chords.sent(connection, "g", failed=True)
        assert chords.forget_sent(connection, 2**62) == 0
        dead_letters.replay(connection, [item_id], "ada")
        assert chords.has_failed(connection, "g")
        assert chords.parts(connection, "g") is None
        assert chords.begin(connection, "g")
        chords.sent(connection, "g", failed=False)
        assert chords.forget_sent(connection, 2**62) == 1


def test_a_chord_around_one_that_failed_is_remembered_for_as_long_as_that_one(
    moves: Moves,
) -> None:
    item_id = _dead(moves)
    part = promise_of(item_id, item_id)._replace(group_id="g", group_index=0, chord={"task": "b"})
    with moves.ledger.write() as connection:
        promises.make_once(connection, part, 1)
        for group_id in ("g", "around"):
            chords.announce(connection, group_id, 1)
        chords.fail(connection, "around")
        chords.sent(connection, "g", failed=True)
        assert chords.forget_sent(connection, 2**62) == 0
        dead_letters.discard(connection, [item_id], "ada")
        assert chords.forget_sent(connection, 2**62) == 2


def test_a_discarded_dead_letter_is_cancelled_and_says_by_whom(moves: Moves) -> None:
    item_id = _dead(moves)
    [alive] = moves.ready()
    with moves.ledger.write() as connection:
        [ending] = dead_letters.discard(connection, [item_id, alive], "ada").ended
        assert dead_letters.discard(connection, [item_id], "ada").ended == []
        [action] = audit_log.newest(connection, 10)
    assert ending.state == "cancelled"
    assert (moves.row(item_id).error or {})["message"] == f"item {item_id} was discarded by ada"
    assert moves.row(alive).state == State.QUEUED
    assert (action.what, action.detail["items"]) == ("discard", [item_id])


def test_after_a_raised_ceiling_a_replay_by_reason_goes_through(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 50))
    moves.claim(moves.ready(3, bound=100))
    moves.ceilings(ceiling("everything", 500), by="ada")
    wanted = DeadLetterQuery(reason="cost_ceiling")
    with moves.ledger.write() as connection:
        found = sorted(row.id for row in dead_letters.listed(connection, wanted, 100))
        assert dead_letters.replay(connection, found, "ada", chosen_by=wanted) == found
        noted = audit_log.newest(connection, 1)[0]
    assert noted.detail["filters"] == {"reason": "cost_ceiling"}
    moves.route(bound=100)
    assert len(moves.claim(moves.queue()).claimed) == 3
