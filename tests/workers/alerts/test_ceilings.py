"""Ceilings are loud: warnings once each, and a hook that never holds anything up."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from unittest.mock import Mock

from structlog.testing import capture_logs

from tests.ledger.placed import commit, place
from tierqueue.ledger.ceilings import books, warnings
from tierqueue.ledger.ceilings.books import Entry, Need
from tierqueue.ledger.ceilings.status import ceiling_statuses
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle.items import Death, NewItem, die, new_id
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Fault, ServedCall
from tierqueue.router.money import format_usd
from tierqueue.router.outcome import Trouble
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.policy.tables import CeilingRule, WarningPolicy
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.alerts.ceilings import Alarm
from tierqueue.workers.alerts.hook import CAPACITY
from tierqueue.workers.maintenance.resend import Sweep

DAY = 86_400_000_000
MIDNIGHT = 20_000 * DAY
ACME = "budget:acme:day:2024-10-04"
DEFAULT = WarningPolicy()


class Told:
    """A hook that keeps what it was told."""

    capacity = CAPACITY

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def notify(self, message: dict[str, Any]) -> None:
        self.messages.append(message)


def limit(ledger: Ledger, amount: int, window: str = "day", at: int = MIDNIGHT) -> None:
    stated = {"scope": "budget", "window": window, "limit": format_usd(amount)}
    rule = CeilingRule.model_validate(stated)
    with ledger.write() as connection:
        books.put(connection, rule, by="test", now=at)


def spend(ledger: Ledger, amount: int, at: int, balance: str = ACME) -> None:
    item_id = new_id()
    with ledger.write() as connection:
        books.hold(connection, at, [Need(item_id, 1, 0, [("budget", "acme")])])
        books.write(connection, at, [Entry(balance, item_id, 1, "settle", 0, amount)])


def _of_ceilings(logs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What was logged of ceilings: threads of other tests may still log."""
    return [line for line in logs if line["event"] == "ceiling_warning"]


def warned(ledger: Ledger, at: int, policy: WarningPolicy = DEFAULT) -> list[str]:
    """What a routing stage that looks at that moment warns of."""
    with ledger.write() as connection:
        found = warnings.due(connection, policy, at)
        return [warning.what for warning in warnings.note(connection, found, at)]


def test_each_share_is_warned_of_once(ledger: Ledger) -> None:
    limit(ledger, 1_000)
    noon = MIDNIGHT + DAY // 2
    slow = WarningPolicy(burn_rate=0)
    assert warned(ledger, noon, slow) == []
    spend(ledger, 499, noon)
    assert warned(ledger, noon, slow) == []
    spend(ledger, 1, noon)
    assert [warned(ledger, noon, slow) for _ in range(2)] == [["0.5"], []]
    spend(ledger, 460, noon)
    # Of two shares that were passed at once, the higher says it all.
    assert [warned(ledger, noon, slow) for _ in range(2)] == [["0.95"], []]


def test_of_two_routing_stages_that_look_at_once_one_warns(ledger: Ledger) -> None:
    limit(ledger, 1_000)
    noon = MIDNIGHT + DAY // 2
    spend(ledger, 500, noon)
    with ledger.read() as connection:
        looks = [warnings.due(connection, DEFAULT, noon) for _ in range(2)]
    given = []
    for found in looks:
        with ledger.write() as connection:
            given += [warning.what for warning in warnings.note(connection, found, noon)]
    assert given == ["0.5"]


def test_a_raised_ceiling_warns_again_and_a_new_window_too(ledger: Ledger) -> None:
    limit(ledger, 1_000)
    noon = MIDNIGHT + DAY // 2
    spend(ledger, 800, noon)
    assert warned(ledger, noon) == ["0.8"]
    limit(ledger, 1_500)
    assert warned(ledger, noon) == ["0.5"]
    tomorrow = noon + DAY
    spend(ledger, 800, tomorrow, "budget:acme:day:2024-10-05")
    assert warned(ledger, tomorrow) == ["0.5"]


def test_yesterdays_spending_warns_nobody_today(ledger: Ledger) -> None:
    limit(ledger, 1_000)
    spend(ledger, 990, MIDNIGHT - 1, "budget:acme:day:2024-10-03")
    assert warned(ledger, MIDNIGHT + 1) == []


def test_spending_three_times_as_fast_as_lasts_is_warned_of_once(ledger: Ledger) -> None:
    limit(ledger, 24_000)
    hour = DAY // 24
    # 1,000 an hour just last for the day.
    for number in range(1, 12):
        spend(ledger, 1_000, MIDNIGHT + number * hour)
        assert warned(ledger, MIDNIGHT + number * hour) == []
    spend(ledger, 2_900, MIDNIGHT + 11 * hour + hour // 2)
    assert "burn_rate" not in warned(ledger, MIDNIGHT + 11 * hour + hour // 2)
    spend(ledger, 200, MIDNIGHT + 11 * hour + hour // 2)
    assert "burn_rate" in warned(ledger, MIDNIGHT + 11 * hour + hour // 2)
    spend(ledger, 5_000, MIDNIGHT + 11 * hour + hour // 2)
    assert "burn_rate" not in warned(ledger, MIDNIGHT + 11 * hour + hour // 2)


def test_a_ceiling_without_a_window_burns_at_no_rate(ledger: Ledger) -> None:
    limit(ledger, 1_000, window="total")
    spend(ledger, 499, MIDNIGHT, "budget:acme:total:all")
    assert warned(ledger, MIDNIGHT) == []


def test_a_warning_is_a_log_line_a_call_of_the_hook_and_in_the_list(ledger: Ledger) -> None:
    with ledger.read() as connection:
        now = database_now(connection)
    limit(ledger, 1_000, window="total", at=now)
    spend(ledger, 850, now, "budget:acme:total:all")
    told = Told()
    alarm = Alarm(ledger, Policy(digest="d"), told)  # type: ignore[arg-type]
    with capture_logs() as logs:
        alarm.tick()
        alarm.tick()
    said = {
        "ceiling": "budget:acme:total:all",
        "warning": "share",
        "share": 0.8,
        "limit": 1_000,
        "spent": 850,
        "held": 0,
        "simulated": False,
    }
    assert _of_ceilings(logs) == [{"event": "ceiling_warning", "log_level": "warning", **said}]
    assert told.messages == [{"what": "ceiling_warning", **said}]
    with ledger.read() as connection:
        (status,) = ceiling_statuses(connection, now)
    assert status.warnings == ("0.5", "0.8")


def test_the_routing_stages_tick_looks_at_the_ceilings(ledger: Ledger) -> None:
    with ledger.read() as connection:
        now = database_now(connection)
    limit(ledger, 1_000, window="total", at=now)
    spend(ledger, 850, now, "budget:acme:total:all")
    delivery = Mock(spec=Delivery)
    sweeps = [Sweep(ledger, Policy(digest="d"), lambda *_: None, delivery, 1) for _ in range(2)]
    with capture_logs() as logs:
        for sweep in sweeps:
            sweep()
    assert len(_of_ceilings(logs)) == 1


def stopped(ledger: Ledger, reason: str = "cost_ceiling") -> str:
    new = NewItem(
        id=new_id(),
        task="tierqueue.complete",
        arguments={"prompt": "a secret"},
        fingerprint="",
        prefix="",
        prompt_bytes=1,
        messages=1,
        output_limit=1,
        budget="acme",
    )
    fields = {"ceiling": ACME, "limit": 5, "spent": 4, "held": 0, "needed": 2}
    with ledger.write() as connection:
        commit(connection, [new])
        died = Death(new.id, reason, "a secret", {**fields, "refusals": [{"why": "a secret"}]})
        die(connection, [died], database_now(connection))
    return new.id


def test_the_hook_hears_once_of_each_item_that_a_ceiling_ended(ledger: Ledger) -> None:
    item_id = stopped(ledger)
    stopped(ledger, "no_route")
    told = Told()
    for _ in range(2):
        Alarm(ledger, Policy(digest="d"), told).tick()  # type: ignore[arg-type]
    (message,) = told.messages
    assert (message["what"], message["item"], message["needed"]) == ("cost_ceiling", item_id, 2)
    assert "secret" not in json.dumps(message)
    with ledger.write() as connection:
        dead_letters.replay(connection, [item_id], "test")
        died = Death(item_id, "cost_ceiling", "again", {"ceiling": ACME})
        die(connection, [died], database_now(connection))
    Alarm(ledger, Policy(digest="d"), told).tick()  # type: ignore[arg-type]
    assert [message["item"] for message in told.messages] == [item_id, item_id]


def test_of_a_policy_with_simulated_deployments_the_money_may_be_made_up(ledger: Ledger) -> None:
    stopped(ledger)
    policy = parse_policy(f"allow_simulated = true\n{AWAY}simulated = true\n", "test")
    told = Told()
    Alarm(ledger, policy, told).tick()  # type: ignore[arg-type]
    assert [message["simulated"] for message in told.messages] == [True]


AWAY = """
[deployments.open]
tier = "open_weight"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "OPEN_KEY"
context_window = 1000
prices = { input = "1", output = "1" }
"""


def away(ledger: Ledger, code: Trouble, seconds: int, stated: float = 600.0) -> None:
    """The deployment has been held back for so long."""
    with ledger.write() as connection:
        at = database_now(connection) - seconds * 1_000_000
        fault = Fault(item="i", begun=at, at=at, code=code, detail="open: HTTP 401", after=stated)
        conditions.note(connection, {"open": [fault]})


def alarmed(ledger: Ledger) -> list[dict[str, Any]]:
    """What the hook is told by one more look."""
    told = Told()
    Alarm(ledger, parse_policy(AWAY, "test"), told).tick()  # type: ignore[arg-type]
    return told.messages


def test_a_refused_key_is_told_once_with_what_waits_and_what_to_do_and_so_is_its_end(
    ledger: Ledger,
) -> None:
    place(ledger, "routed", tier="open_weight", deployment="open")
    away(ledger, "unauthorized", 0)
    [message] = alarmed(ledger)
    named = {name: message[name] for name in ("what", "deployment", "code", "detail", "waiting")}
    assert named == {
        "what": "deployment_away",
        "deployment": "open",
        "code": "unauthorized",
        "detail": "open: HTTP 401",
        "waiting": 1,
    }
    assert "OPEN_KEY" in message["do"]
    assert alarmed(ledger) == []
    with ledger.write() as connection:
        at = conditions.by_deployment(connection)["open"].until or 0
        conditions.note(connection, {"open": [ServedCall(item="i", begun=at, at=at)]})
    assert alarmed(ledger) == [{"what": "deployment_back", "deployment": "open"}]
    assert alarmed(ledger) == []


def test_an_outage_is_told_once_it_lasts_and_a_throttle_where_minutes_are_ahead(
    ledger: Ledger,
) -> None:
    away(ledger, "throttled", 0, stated=50)
    assert alarmed(ledger) == []
    away(ledger, "throttled", 0)
    assert [warning["code"] for warning in alarmed(ledger)] == ["throttled"]
    with ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM conditions")
    away(ledger, "outage", 0)
    assert alarmed(ledger) == []
    with ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM conditions")
    away(ledger, "outage", 61)
    assert [warning["what"] for warning in alarmed(ledger)] == ["deployment_away"]
