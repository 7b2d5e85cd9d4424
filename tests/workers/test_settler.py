"""The settler: what a bill above its bound sets off, and what another model's answer does."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from tests.ledger.moves import WORKER, Moves, ceiling
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Condition, Fault
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    FlexRefused,
    Outcome,
    Throttled,
    Unavailable,
    Usage,
)
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.pricing import charge
from tierqueue.workers.limits.bounds import CallUsage, Slot
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.settler import Settler, SettlingCall
from tierqueue.workers.verdicts import EndedCall

POLICY = parse_policy(
    """
[deployments.small]
tier = "gpu"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "KEY"
context_window = 1000
prices = { input = "1", output = "2" }
""",
    "test",
)


NOTHING_KNOWN: Mapping[str, Condition] = {}


def settled(
    ledger: Ledger, claim: Claim, usage: Usage, completed: Completed | None = None
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Settle an accepted call of that usage; what was logged, and what the hook was told."""
    done = threading.Event()
    told: list[dict[str, object]] = []
    settler = Settler(
        ledger,
        POLICY,
        Breaker(lambda: (0, {})),
        free=lambda _: None,
        notify=lambda *_: None,
        wake=lambda: None,
        hook=lambda message: told.append(dict(message)),
        checkpoint=lambda _: None,
    )
    completed = completed or Completed(text="yes", usage=usage, model_served="m")
    call = EndedCall(
        claim=claim,
        deployment=POLICY.deployments["small"],
        outcome=Accepted(output={}, completed=completed, prompt_version="1"),
        telling=True,
        cancelled=False,
    )
    with capture_logs() as logged:
        settler.start()
        settler.put(SettlingCall(call, Slot("slot", 0, 10, 10), lambda _: done.set()))
        settler.stop(timeout=60)
    assert done.is_set()
    return [dict(line) for line in logged], told


@pytest.mark.parametrize(("bound", "over"), [(5_000, 0), (4_999, 1), (100, 4_900)])
def test_a_bill_above_its_bound_is_alarmed_at_once_and_booked_in_full(
    ledger: Ledger, bound: int, over: int
) -> None:
    moves = Moves(ledger)
    moves.ceilings(ceiling("everything", 10_000))
    [claim] = moves.running(bound=bound)
    usage = Usage(input_tokens=3, output_tokens=1)
    cost = charge(POLICY.deployments["small"], usage, datetime(2026, 11, 20, tzinfo=UTC)).cost
    logged, told = settled(ledger, claim, usage)
    said = {
        "item": claim.item.id,
        "fence": 1,
        "deployment": WORKER.deployment,
        "held": bound,
        "over": over,
        "simulated": False,
    }
    alarms = [line for line in logged if line["event"] == "overage"]
    assert alarms == ([{"event": "overage", "log_level": "error", **said}] if over else [])
    assert told == ([{"what": "overage", **said}] if over else [])
    assert moves.books()["everything:*:total:all"][:2] == (0, cost) == (0, 5_000)


def test_another_models_answer_is_on_the_receipt_in_the_log_and_told_to_the_hook(
    ledger: Ledger,
) -> None:
    moves = Moves(ledger)
    [claim] = moves.running(bound=5_000)
    usage = Usage(input_tokens=3, output_tokens=1)
    completed = Completed(text="yes", usage=usage, model_served="other", other_model=True)
    logged, told = settled(ledger, claim, usage, completed)
    said = {
        "item": claim.item.id,
        "fence": 1,
        "deployment": "small",
        "asked": "m",
        "served": "other",
        "outcome": "accepted",
    }
    assert told == [{"what": "other_model", **said}]
    assert {"event": "other_model", "log_level": "warning", **said} in logged
    receipt = moves.row(claim.item.id).receipt or {}
    assert (receipt["model_asked"], receipt["model_served"]) == ("m", "other")
    assert receipt["other_model"] is True
    assert (moves.history(claim.item.id)[0].detail or {})["other_model"] is True


def spent(ledger: Ledger, outcome: Outcome, engine: str = "openai") -> CallUsage:
    """What the limiter is told of a call that ended so."""
    moves = Moves(ledger)
    [claim] = moves.running()
    call = EndedCall(
        claim=claim,
        deployment=POLICY.deployments["small"].model_copy(update={"engine": engine}),
        outcome=outcome,
        telling=True,
        cancelled=False,
    )
    return SettlingCall(call, Slot("slot", 0, 10, 10), lambda _: None).spent()


def test_a_throttle_and_an_overload_lower_the_rate_and_an_account_without_money_does_not(
    ledger: Ledger,
) -> None:
    assert spent(ledger, Throttled(over="output_tokens")).refused == "output_tokens"
    assert spent(ledger, Throttled()).refused == "requests"
    overloaded = Unavailable(kind="outage", message="", overloaded=True)
    assert spent(ledger, overloaded).refused == "requests"
    assert spent(ledger, Unavailable(kind="outage", message="")).refused is None
    assert spent(ledger, Unavailable(kind="quota", message="")).refused is None
    assert not spent(ledger, FlexRefused()).sent


@pytest.mark.parametrize(("engine", "counted"), [("openai", 130), ("anthropic", 30)])
def test_what_anthropic_serves_from_its_cache_counts_towards_no_limit(
    ledger: Ledger, engine: str, counted: int
) -> None:
    usage = Usage(input_tokens=30, cache_read_tokens=100, output_tokens=7)
    completed = Completed(text="yes", usage=usage, model_served="m")
    accepted = Accepted(output={}, completed=completed, prompt_version="1")
    assert spent(ledger, accepted, engine).used == (counted, 7)


def wakes(
    ledger: Ledger, *ends: tuple[Claim, Outcome], known: Mapping[str, Condition] = NOTHING_KNOWN
) -> int:
    """How often the routing stage is woken by calls that end so, settled in one commit."""
    woken: list[None] = []
    settler = Settler(
        ledger,
        POLICY,
        Breaker(lambda: (0, known)),
        free=lambda _: None,
        notify=lambda _: None,
        wake=lambda: woken.append(None),
        hook=lambda _: None,
        checkpoint=lambda _: None,
    )
    for claim, outcome in ends:
        call = EndedCall(
            claim=claim,
            deployment=POLICY.deployments["small"],
            outcome=outcome,
            telling=True,
            cancelled=False,
        )
        settler.put(SettlingCall(call, Slot("slot", 0, 10, 10), lambda _: None))
    settler.start()
    settler.stop(timeout=60)
    return len(woken)


def answered() -> Accepted:
    completed = Completed(text="yes", usage=Usage(input_tokens=3), model_served="m")
    return Accepted(output={}, completed=completed, prompt_version="1")


def test_the_routing_stage_is_left_alone_where_every_call_ended_its_item(ledger: Ledger) -> None:
    first, second = Moves(ledger).running(2)
    assert wakes(ledger, (first, answered()), (second, answered())) == 0


def test_the_routing_stage_is_woken_where_an_item_goes_on(ledger: Ledger) -> None:
    first, second = Moves(ledger).running(2)
    assert wakes(ledger, (first, answered()), (second, Throttled())) == 1


def test_the_routing_stage_is_woken_where_a_trial_was_answered(ledger: Ledger) -> None:
    [trial] = Moves(ledger).running()
    with ledger.write() as connection:
        at = database_now(connection) - 60_000_000
        faults = [
            Fault(item=f"{number}", begun=at, at=at, code="outage", detail="HTTP 500")
            for number in range(10)
        ]
        conditions.note(connection, {"small": faults})
        known = conditions.by_deployment(connection)
    assert known["small"].until is not None
    assert wakes(ledger, (trial, answered()), known=known) == 1
    with ledger.read() as connection:
        assert conditions.by_deployment(connection)["small"].until is None
