"""Providers that are down, throttle, refuse the key or have no quota, through real processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_system import POLICY, Build, RunningSystem
from tests.servers import PostgreSQL
from tests.waiting import until
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.tables import items
from tierqueue.router.condition import Condition
from tierqueue.router.errors import DeadlineExceeded, Exhausted
from tierqueue.tasks import classify, complete

LABELS = ["lost card", "refund", "other"]
MORE = """
[tiers.gpu]
concurrency = 12
slice = 6

[deployments.second]
tier = "open_weight"
engine = "openai"
model = "open-large"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "vendor:others"
simulated = true
timeout = 20
prices = { input = "1", output = "4" }

[deployments.keyless]
tier = "frontier"
engine = "anthropic"
model = "frontier-small"
base_url = "http://127.0.0.1:{port}"
key_env = "NOBODY_HAS_THIS_KEY"
context_window = 200000
boundary = "vendor:closed"
simulated = true
prices = { input = "4", output = "20" }
"""
PROCESSES = ("sandbox", "routing", "gpu", "open_weight", "frontier")


class Provider:
    """What the simulated provider does to everybody, by the sandbox's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def meets(self, *lines: str) -> None:
        """Every call of these models meets this, until ``mended``."""
        written = self.path.with_suffix(".new")
        written.write_text("\n".join(lines), encoding="utf-8")
        written.rename(self.path)

    def mended(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def troubles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("troubles") / "now"


@pytest.fixture(scope="module")
def running(postgresql: PostgreSQL, build_system: Build, troubles: Path) -> RunningSystem:
    """On one database: what is written in an outage is tested on both in tests/ledger."""
    line = "python -m sandbox --port ${SANDBOX_PORT} --log ${SANDBOX_LOG} --troubles " + str(
        troubles
    )
    text = POLICY.replace("{more}", MORE)
    url = postgresql.empty_database()
    return build_system(url, policy_text=text, lines={"sandbox": line}, processes=PROCESSES)


@pytest.fixture
def provider(running: RunningSystem, troubles: Path) -> Any:
    yield (found := Provider(troubles))
    found.mended()
    # The next test begins where every deployment serves.
    for tier in ("gpu", "open_weight", "frontier"):
        classify.delay("all is well", labels=LABELS, floor=tier).get(timeout=60)
    until(lambda: nothing_left(running))
    until(lambda: all(condition.code in (None, "no_key") for condition in known(running).values()))


def known(running: RunningSystem) -> dict[str, Condition]:
    with running.ledger.read() as connection:
        return conditions.by_deployment(connection)


def nothing_left(running: RunningSystem) -> bool:
    """Whether every item has ended: what a test left would be called in the next one."""
    left = items.select().where(items.c.ended_at.is_(None))
    with running.ledger.read() as connection:
        return connection.execute(left).first() is None


def held(running: RunningSystem, deployment: str) -> bool:
    condition = known(running).get(deployment)
    return condition is not None and condition.held


def many(count: int, **demands: Any) -> list[Any]:
    return [classify.delay(f"ticket {n}", labels=LABELS, **demands) for n in range(count)]


def ended(running: RunningSystem, waiting: list[Any]) -> list[Any]:
    return [running.item(result.id) for result in waiting]


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("503", "outage"),
        ("503 after=4", "outage"),
        ("unauthorized", "unauthorized"),
        ("no_quota", "quota"),
        ("no_model", "not_found"),
    ],
)
def test_what_breaks_for_everybody_uses_up_nobody_s_calls_and_goes_on_by_itself(
    running: RunningSystem, provider: Provider, trouble: str, code: str
) -> None:
    provider.meets(f"house-tiny {trouble}")
    called = len(running.served())
    waiting = many(60)
    until(lambda: held(running, "house"))
    assert known(running)["house"].code == code
    _tried_twice_in_vain(running, called)
    provider.mended()
    receipts = [result.get(timeout=60)["receipt"] for result in waiting]
    assert {receipt["tier"] for receipt in receipts} == {"gpu"}
    # Those in flight when it broke, and then one at a time.
    assert len(_refused(running, called)) < 30
    assert all(receipt["attempts"] <= 2 for receipt in receipts)
    assert known(running)["house"].code is None


@pytest.mark.parametrize("trouble", ["gateway status=502", "charged_lost"])
def test_a_paid_deployment_whose_replies_are_lost_kills_no_item_and_books_each_hold(
    running: RunningSystem, provider: Provider, trouble: str
) -> None:
    provider.meets(f"frontier-large {trouble}")
    called = len(running.served())
    waiting = many(40, floor="frontier")
    until(lambda: held(running, "best"))
    assert known(running)["best"].code == "reply_lost"
    _tried_twice_in_vain(running, called)
    assert all(item.ended_at is None for item in ended(running, waiting))
    provider.mended()
    receipts = {result.id: result.get(timeout=60)["receipt"] for result in waiting}
    # No call of the items was used up, and each lost one stands in the books at its hold.
    assert {receipt["attempts"] for receipt in receipts.values()} == {1}
    lost: dict[str, int] = {}
    for key, receipt in receipts.items():
        tried = running.attempts(key)
        unknown = [attempt for attempt in tried if attempt.outcome == "unknown"]
        assert all(attempt.cost == attempt.held > 0 for attempt in unknown)
        assert receipt["cost_nanousd"] == sum(attempt.cost for attempt in tried)
        lost[key] = len(unknown)
    billed = [line for line in running.served()[called:] if line["fault"] and line["item"] in lost]
    # Those in flight when it began, and then one at a time.
    assert sum(lost.values()) == len(billed) < 30


def _tried_twice_in_vain(running: RunningSystem, called: int) -> None:
    before = len(_refused(running, called))
    until(lambda: len(_refused(running, called)) >= before + 2)


def _refused(running: RunningSystem, called: int) -> list[dict[str, Any]]:
    """What the provider has not answered since so many calls."""
    return [line for line in running.served()[called:] if line["status"] != 200]


def test_a_port_that_refuses_connections_is_waited_for(
    running: RunningSystem, provider: Provider
) -> None:
    (sandbox := running.system.processes["sandbox"]).end()
    assert sandbox.wait(60) is not None
    waiting = many(20)
    until(lambda: held(running, "house"))
    assert known(running)["house"].code == "unreachable"
    running.system.spawn("sandbox").wait_ready()
    assert {result.get(timeout=60)["receipt"]["attempts"] for result in waiting} <= {1, 2}


def test_items_wait_for_a_provider_until_their_own_deadline_and_say_for_what(
    running: RunningSystem, provider: Provider
) -> None:
    provider.meets("house-tiny 503")
    patient = many(8)
    until(lambda: held(running, "house"))
    waiting = [classify.apply_async([f"late {n}", LABELS], expires=10) for n in range(8)]
    for result in waiting:
        with pytest.raises(DeadlineExceeded, match="it waited for house: outage") as died:
            result.get(timeout=60)
        assert died.value.fields["waited_for"]["deployment"] == "house"
        assert running.item(result.id).calls == 0
    provider.mended()
    assert all(result.get(timeout=60) for result in patient)


def test_a_stated_wait_holds_back_the_deployment_and_not_one_item(
    running: RunningSystem, provider: Provider
) -> None:
    classify.delay("before", labels=LABELS, floor="open_weight").get(timeout=60)
    provider.meets("open-* 429 after=4")
    called = len(running.served())
    waiting = many(24, floor="open_weight")
    until(lambda: held(running, "open"))
    until(lambda: not any(item.state == "running" for item in ended(running, waiting)))
    provider.mended()
    for result in waiting:
        result.get(timeout=60)
    lines = running.served()[called:]
    throttled = [line for line in lines if line["status"] == 429]
    assert 1 <= len(throttled) <= 40
    first = min(line["ended"] for line in throttled)
    served = [line["started"] for line in lines if line["status"] == 200]
    assert min(served) - first >= 3.9
    assert all(item.calls == 1 for item in ended(running, waiting))


@pytest.mark.parametrize("trouble", ["unauthorized", "gateway status=524"])
def test_another_deployment_of_the_tier_takes_over_and_the_receipt_says_for_whom(
    running: RunningSystem, provider: Provider, trouble: str
) -> None:
    provider.meets(f"open-small {trouble}")
    receipts = [result.get(timeout=60)["receipt"] for result in many(30, floor="open_weight")]
    assert {receipt["deployment"] for receipt in receipts} == {"second"}
    assert {receipt["stands_in_for"] for receipt in receipts} == {"open"}
    assert all("in place of open" in receipt["why"][0] for receipt in receipts)
    assert {receipt["model_asked"] for receipt in receipts} == {"open-large"}
    provider.mended()
    until(lambda: _deployment(floor="open_weight") == "open")


def _deployment(**demands: Any) -> str:
    receipt = classify.delay("who serves?", labels=LABELS, **demands).get(timeout=60)["receipt"]
    return str(receipt["deployment"])


def test_no_other_tier_takes_over_but_where_somebody_allowed_it(
    running: RunningSystem, provider: Provider
) -> None:
    provider.meets("frontier-large 503")
    stays = many(6, floor="frontier")
    until(lambda: held(running, "best"))
    asked = complete.delay("Say hello", max_output_tokens=50, floor="gpu", on_outage="gpu")
    assert asked.get(timeout=60)["receipt"]["tier"] == "gpu"
    assert all(item.ended_at is None for item in ended(running, stays))
    provider.mended()
    assert {stay.get(timeout=60)["receipt"]["tier"] for stay in stays} == {"frontier"}


def test_an_item_that_alone_fails_ends_and_holds_up_nobody(
    running: RunningSystem, provider: Provider
) -> None:
    poison = classify.delay("[[sandbox:503]] my refund", labels=LABELS)
    while running.item(poison.id).ended_at is None:
        classify.delay("a good one", labels=LABELS).get(timeout=60)
    with pytest.raises(Exhausted):
        poison.get(timeout=60)
    assert running.item(poison.id).calls == 3


def test_a_worker_without_a_key_serves_its_other_deployments_and_one_takes_over(
    running: RunningSystem,
) -> None:
    receipt = classify.delay("mine", labels=LABELS, floor="frontier").get(timeout=60)["receipt"]
    assert (receipt["deployment"], receipt["stands_in_for"]) == ("best", "keyless")
    condition = known(running)["keyless"]
    assert (condition.code, condition.needs_somebody) == ("no_key", True)


def test_workers_say_once_what_they_cannot_call_and_when_it_serves_again(
    running: RunningSystem, provider: Provider, log_of: Callable[[RunningSystem, str], str]
) -> None:
    provider.meets("house-tiny unauthorized")
    waiting = many(20)
    until(lambda: held(running, "house"))
    provider.mended()
    for result in waiting:
        result.get(timeout=60)
    said = log_of(running, "gpu")
    assert "deployment_held_back" in said
    assert "deployment_serves_again" in said
    assert "HTTP 401" in said
    assert said.count("HTTP 401") < 40
    # What became of a slice stands in Celery's own line.
    assert "'unavailable': " in said
    assert "'accepted': " in said
