"""An hour that is paid anyway: on the receipt, and counted only where the policy says so."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import entries
from tierqueue.router.item import Tier
from tierqueue.router.outcome import Accepted, Completed, Rejected, Usage
from tierqueue.router.policy.policy import parse_policy

POLICY = """
default_sensitivity = "internal"
ceilings_count = "{counts}"

[tasks.ticket]
risk = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 32000
gpu_hour = "3.60"
timeout = 60

[deployments.best]
tier = "frontier"
engine = "openai"
model = "best"
boundary = "vendor:best"
key_env = "A_KEY"
context_window = 200000
prices = {{ input = "1", output = "1" }}

[[ceilings]]
scope = "everything"
limit = "{limit}"
"""
SECOND = Usage(engine_seconds=1.0)
A_SECOND = 1_000_000
"""Nano-dollars of a second of the engine's hour."""


def way(ledger: Ledger, counts: str, limit: str = "1.00") -> Way:
    policy = parse_policy(POLICY.format(counts=counts, limit=limit), "test")
    with ledger.write() as connection:
        books.seed(connection, policy.ceilings, 1)
    return Way(ledger, policy)


def accepted(usage: Usage = SECOND) -> Accepted:
    done = Completed(text="yes", usage=usage, model_served="small", finish="stop")
    return Accepted(output={"text": "yes"}, completed=done, prompt_version="1")


def rejected() -> Rejected:
    return Rejected(reasons=("not good",), usage=SECOND, reason="rejected", model_served="small")


def test_a_call_of_the_house_needs_no_headroom_under_any_ceiling(ledger: Ledger) -> None:
    case = way(ledger, "cash", limit="0")
    case.submit(max_cost=1)
    claim = case.claim()
    assert claim is not None
    assert claim.balances == ()
    case.settle(claim, accepted())
    assert case.column("state") == "succeeded"
    assert case.column("receipt")["cost_nanousd"] == A_SECOND
    assert (case.column("spent"), case.column("attributed")) == (A_SECOND, A_SECOND)
    with ledger.read() as connection:
        assert connection.execute(select(entries)).all() == []
        assert audit.audit(connection) == []


def test_where_the_policy_counts_everything_so_much_as_the_time_limit_is_held(
    ledger: Ledger,
) -> None:
    case = way(ledger, "everything", limit="0.07")
    case.submit()
    claim = case.claim()
    assert claim is not None
    assert claim.balances == ("everything:*:total:all",)
    case.settle(claim, accepted())
    assert (case.column("spent"), case.column("attributed")) == (A_SECOND, 0)
    with ledger.read() as connection:
        moved = [(row.held, row.spent) for row in connection.execute(select(entries))]
        assert moved == [(61 * A_SECOND, 0), (-61 * A_SECOND, A_SECOND)]


def test_a_refused_answer_of_the_house_leaves_max_cost_to_whoever_is_paid(ledger: Ledger) -> None:
    asked = way(ledger, "cash")
    asked.submit(floor=Tier.FRONTIER)
    paid = asked.claim()
    assert paid is not None

    case = way(ledger, "cash")
    case.submit(max_cost=paid.held)
    first = case.claim()
    assert first is not None
    assert first.item.deployment == "house"
    case.settle(first, rejected())
    assert case.column("attributed") == A_SECOND
    second = case.claim()
    assert second is not None
    assert second.item.deployment == "best"
    assert second.balances == ("everything:*:total:all",)


def test_a_job_of_the_house_is_done_to_its_last_row_under_a_ceiling_below_one_hold(
    ledger: Ledger,
) -> None:
    case = way(ledger, "cash", limit="0.05")
    for _ in range(50):
        case.submit()
        claim = case.claim()
        assert claim is not None
        case.settle(claim, accepted())
        assert case.column("state") == "succeeded"
    with ledger.read() as connection:
        assert connection.execute(select(entries)).all() == []
        assert audit.audit(connection) == []


@given(timeout=st.integers(1, 86_400), cents=st.integers(0, 10_000))
def test_what_is_counted_hangs_on_the_policy_and_never_on_a_figure(
    timeout: int, cents: int
) -> None:
    gpu_hour = f'gpu_hour = "{cents / 100:.2f}"'
    stated = POLICY.replace('gpu_hour = "3.60"\ntimeout = 60', f"{gpu_hour}\ntimeout = {timeout}")
    cash, everything = (
        parse_policy(stated.format(counts=counts, limit="1.00"), "test")
        for counts in ("cash", "everything")
    )
    for policy in (cash, everything):
        assert policy.counts(policy.deployments["best"])
    assert not cash.counts(cash.deployments["house"])
    assert everything.counts(everything.deployments["house"])


def test_a_late_reply_that_took_no_engine_time_leaves_max_cost_as_it_was(ledger: Ledger) -> None:
    case = way(ledger, "cash")
    case.submit(max_cost=5)
    claim = case.claim()
    assert claim is not None
    case.lose(lease_us=60_000_000)
    assert case.column("spent") == case.column("attributed") == 60 * A_SECOND
    case.settle(claim, accepted(Usage()))
    assert (case.column("spent"), case.column("attributed")) == (0, 0)
