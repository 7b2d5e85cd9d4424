"""The routing stage's look: what was submitted is routed, by what it is when it is routed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

import tierqueue.tasks.kinds  # noqa: F401 - declares the task types whose prompts are counted
from tests.ledger.moves import Moves, promise_of
from tests.ledger.placed import column, place
from tests.ledger.plans import plans_of, reads_of_every_item
from tests.tasks.routing.tokenizer import write_tokenizer
from tierqueue.ledger import tables
from tierqueue.ledger.in_force import evidence, pauses, policy_versions, prompts, stated_limits
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.monitoring import queue_depths
from tierqueue.ledger.monitoring.progress import beat
from tierqueue.ledger.monitoring.queue_depths import ItemsAhead
from tierqueue.ledger.results.promises import Promise, make_once, note_fulfilled
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import Wait
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.selection.evidence import ENOUGH
from tierqueue.tasks.broker.slices import Slice
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.routing_stage.filling import depth
from tierqueue.workers.routing_stage.stage import RoutingStage

TEXT = "The transfer has not arrived. " * 60
POLICY = """
default_sensitivity = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 1200
gpu_hour = "3.60"
{tokenizer}

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 200000
prices = {{ input = "5", output = "25" }}
"""

SECOND_PROMPT = """
[tasks."tierqueue.complete".prompt]
system = "Answer in one word."
share = 0.5
"""


def stage_on(
    ledger: Ledger,
    policy: Policy,
    taken: Callable[[Policy], None] = lambda _: None,
    send: Callable[[Tier, Slice], None] = lambda *_: None,
    received: Callable[[Sequence[Promise]], None] = lambda _: None,
) -> RoutingStage:
    """A routing stage whose slices go nowhere, unless ``send`` takes them."""
    return RoutingStage(
        ledger=ledger,
        policy=policy,
        send=send,
        delivery=Mock(spec=Delivery),
        received=received,
        resend_seconds=4.0,
        checkpoint=lambda _: None,
        taken=taken,
    )


def submitted(ledger: Ledger, text: str = TEXT, deadline: int | None = None, **stated: str) -> str:
    nowhere = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound"))
    return place(
        ledger,
        "submitted",
        arguments={"prompt": text},
        deadline=deadline,
        prompt_bytes=len(text),
        **{**nowhere, **stated},
    )


@pytest.fixture
def counting(tmp_path: Path) -> Policy:
    """A policy whose house model states its tokenizer."""
    path = write_tokenizer(tmp_path / "tokenizer.json", TEXT)
    return parse_policy(POLICY.format(tokenizer=f'tokenizer = "{path}"'), "test")


def test_an_item_is_received_also_where_it_ended_before_that_could_be_said(ledger: Ledger) -> None:
    item_id = submitted(ledger)
    owed = promise_of(item_id)
    with ledger.write() as connection:
        make_once(connection, owed, 1)
    received: list[Promise] = []

    def end(*_: object) -> None:
        with ledger.write() as connection:
            note_fulfilled(connection, [owed], 2)

    policy = parse_policy(POLICY.format(tokenizer=""), "test")
    stage_on(ledger, policy, send=end, received=received.extend).round()
    assert received == [owed]


def test_a_tier_that_is_stopped_has_no_depth() -> None:
    assert depth(0, 64) == 0
    assert depth(8, 64) >= 8


def test_what_fits_a_window_by_its_tokens_but_not_by_its_bytes_goes_there_once_it_is_counted(
    ledger: Ledger, counting: Policy
) -> None:
    bounded = submitted(ledger)
    stage_on(ledger, parse_policy(POLICY.format(tokenizer=""), "test")).round()
    assert column(ledger, bounded, "deployment") == "best"
    counted = submitted(ledger)
    stage_on(ledger, counting).round()
    assert column(ledger, counted, "deployment") == "house"
    assert column(ledger, counted, "token_bound") < column(ledger, bounded, "token_bound")
    assert any(
        "by its own tokenizer" in reason for reason in column(ledger, counted, "route")["reasons"]
    )


def test_more_than_is_counted_in_one_look_is_routed_by_the_next_ones(
    ledger: Ledger, counting: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierqueue.tasks.routing.token_counter.COUNTED", len(TEXT) + 1)
    placed = [submitted(ledger) for _ in range(3)]
    stage = stage_on(ledger, counting)
    for left in (2, 1, 0):
        stage.round()
        states = [column(ledger, item_id, "state") for item_id in placed]
        assert states.count("submitted") == left


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"state": "cancelled"},
        {"floor": "frontier", "ready_at": items.c.ready_at + 1},
        {"fence": items.c.fence + 1},
    ],
)
def test_a_choice_made_ahead_is_dropped_for_what_is_not_as_it_was(
    ledger: Ledger,
    counting: Policy,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: dict[str, object],
) -> None:
    changed, untouched = submitted(ledger), submitted(ledger)
    real = routes.still_submitted

    def late(*given: object) -> set[str]:
        # As another process would between the choice and its transaction.
        connection = given[0]
        connection.execute(update(items).where(items.c.id == changed).values(**meanwhile))  # type: ignore[attr-defined]
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(routes, "still_submitted", late)
    stage = stage_on(ledger, counting)
    stage.round()
    monkeypatch.undo()
    assert column(ledger, untouched, "deployment") == "house"
    assert column(ledger, changed, "deployment") is None
    stage.round()
    assert column(ledger, changed, "deployment") == (
        None if "state" in meanwhile else "best" if "floor" in meanwhile else "house"
    )


def test_what_answers_have_shown_and_what_waits_decide_where_an_item_goes(ledger: Ledger) -> None:
    policy = parse_policy(POLICY.format(tokenizer=""), "test")
    with ledger.write() as connection:
        slow = [
            JudgedAnswer("tierqueue.complete", "house", True, 500, 16, 60.0) for _ in range(ENOUGH)
        ]
        evidence.add(connection, slow)
        now = database_now(connection)
    stage = stage_on(ledger, policy)
    stage.round()
    soon, later = submitted(ledger, "hello", now + 30 * 10**6), submitted(ledger, "hello")
    stage.round()
    assert column(ledger, later, "deployment") == "house"
    assert column(ledger, soon, "deployment") == "best"
    [refusal] = column(ledger, soon, "route")["refusals"]
    assert (refusal["deployment"], refusal["rule"]) == ("house", "deadline")


def test_what_was_routed_to_a_tier_and_not_called_yet_is_ahead_of_what_comes(
    ledger: Ledger,
) -> None:
    for state, tier in (("routed", "gpu"), ("queued", "gpu"), ("running", "gpu"), ("routed", "x")):
        place(ledger, state, tier=tier)
    place(ledger, "routed", tier="gpu", flow="a0")
    for number in range(3):
        place(ledger, "routed", tier="gpu", flow="b0", budget="paused", due=number)
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "paused", "ada")
        pauses.pause(connection, "tier", "gpu", "ada")
        ahead = queue_depths.ahead(connection)
    none = ItemsAhead(0, 0)
    assert ahead == {"gpu": ItemsAhead(3, 1), "open_weight": none, "frontier": none}


@pytest.mark.parametrize(
    ("beats", "goes_to"),
    [([], "best"), ([{"loading": "house"}], "best"), ([{"loading": "house"}, {}], "house")],
    ids=["nobody", "loading", "ready"],
)
def test_what_somebody_waits_for_moves_up_where_no_engine_is_ready_and_the_policy_says_so(
    ledger: Ledger, beats: list[dict[str, str]], goes_to: str
) -> None:
    with ledger.write() as connection:
        for number, detail in enumerate(beats):
            beat(connection, f"w{number}", kind="worker", tier="gpu", detail=detail)
    here = "\n[tiers.gpu]\ninteractive_within = 20\n"
    text = POLICY.format(tokenizer="")
    for policy, expected in ((text + here, goes_to), (text, "house")):
        item, other = submitted(ledger, "hello", latency="interactive"), submitted(ledger, "hello")
        stage = stage_on(ledger, parse_policy(policy, "test"))
        stage.start()
        stage.round()
        assert column(ledger, item, "deployment") == expected
        assert column(ledger, other, "deployment") == "house"


def test_a_policy_is_taken_whole_although_the_ledger_was_away_in_the_middle(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = POLICY.format(tokenizer="")
    after = parse_policy(text + SECOND_PROMPT, "test")
    told: list[Policy] = []
    stage = stage_on(ledger, parse_policy(text, "test"), taken=told.append)
    stage.start()
    with ledger.write() as connection:
        policy_versions.apply(connection, after, text + SECOND_PROMPT, by="ada", reason=None)
    stage.round()
    store = Mock(side_effect=OperationalError("INSERT", None, Exception("the database restarts")))
    monkeypatch.setattr(prompts, "store", store)
    for _ in range(2):
        with pytest.raises(OperationalError):
            stage.round()
    assert told == []
    monkeypatch.undo()
    waiting = submitted(ledger)
    stage.round()
    assert [policy.digest for policy in told] == [after.digest]
    with ledger.read() as connection:
        kept = connection.execute(select(tables.prompts.c.system)).scalars().all()
    assert kept == list(after.prompts.values()) != []
    assert column(ledger, waiting, "deployment") == "best"
    stage.round()
    assert len(told) == 1


LIMITED = """
[budgets.acme.limits]
requests_per_minute = 3
"""


def test_who_waits_for_a_budget_is_asked_wholly_once_a_tick_and_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "SOONEST", 1)
    moves = Moves(ledger)
    of_acme, of_other = moves.ready(budget="acme"), moves.ready(budget="other")
    with ledger.write() as connection:
        at = database_now(connection)
        routes.give_back(connection, of_other, at + 20 * 10**6, Wait.BUDGET_RATE)
        routes.give_back(connection, of_acme, at + 30 * 10**6, Wait.BUDGET_RATE)
    more = {name: submitted(ledger, budget=name) for name in ("acme", "other", "third")}

    def states() -> dict[str, str]:
        return {name: column(ledger, item_id, "state") for name, item_id in more.items()}

    stage = stage_on(ledger, parse_policy(POLICY.format(tokenizer="") + LIMITED, "test"))
    stage.start()
    ask = Mock(side_effect=stage._out_of_rate.ask)
    monkeypatch.setattr(stage._out_of_rate, "ask", ask)
    for _ in range(3):
        stage.round()
        assert states() == {"acme": "routed", "other": "routed", "third": "queued"}
    assert [call.kwargs["wholly"] for call in ask.call_args_list] == [True, False, False]
    monkeypatch.setattr(stated_limits, "_IN_FORCE_US", 0)
    with ledger.write() as connection:
        stated_limits.set_limits(connection, "budget:acme", {"in_flight": 3}, "x")
    stage._ticked = True
    stage.round()
    assert states() == {"acme": "queued", "other": "routed", "third": "queued"}


def test_no_part_of_a_round_reads_every_item(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    submitted(ledger)
    stage = stage_on(ledger, parse_policy(POLICY.format(tokenizer=""), "test"))
    with plans_of(ledger) as plans:
        stage.round()
    ledger.close()
    assert reads_of_every_item(plans) == []
