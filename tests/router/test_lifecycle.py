"""The table of moves."""

from pathlib import Path

from tierqueue.router.lifecycle import ENDS, MOVES, State, Wait


def _reachable(start: State) -> set[State]:
    seen, ahead = {start}, [start]
    while ahead:
        for after in MOVES[ahead.pop()] - seen:
            seen.add(after)
            ahead.append(after)
    return seen


def test_every_state_has_its_moves_and_no_move_leaves_the_table() -> None:
    assert set(MOVES) == set(State)
    assert all(after in MOVES for moves in MOVES.values() for after in moves)


def test_an_end_is_left_by_a_replay_or_a_discard_of_a_dead_letter_alone() -> None:
    assert {end: MOVES[end] for end in ENDS} == {
        State.SUCCEEDED: frozenset(),
        State.CANCELLED: frozenset(),
        State.DEAD: frozenset({State.SUBMITTED, State.CANCELLED}),
    }


def test_every_state_is_reached_from_submitted() -> None:
    assert _reachable(State.SUBMITTED) == set(State)


def test_from_every_open_state_every_end_can_be_reached() -> None:
    for state in set(State) - ENDS:
        assert _reachable(state) >= ENDS, state


def test_every_open_state_can_be_cancelled_or_declared_dead() -> None:
    for state in set(State) - ENDS:
        assert {State.DEAD, State.CANCELLED} <= MOVES[state], state


def test_only_a_claim_leads_to_running_and_only_from_a_slice() -> None:
    assert [state for state in State if State.RUNNING in MOVES[state]] == [State.QUEUED]


def test_the_lifecycle_s_page_names_every_code_of_waiting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text(encoding="utf-8")
    assert [code.value for code in Wait if f"`{code.value}`" not in page] == []
