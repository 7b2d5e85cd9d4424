"""A policy that is applied to a running system: in force within seconds, no process restarted."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger.in_force import policy_versions
from tierqueue.ledger.in_force.policies import AppliedPolicy
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.defaults import prompt_version
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import classify
from tierqueue.tasks.routing.below import drawn
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US

OPEN: Any = {"floor": "open_weight", "sensitivity": "public"}


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """On one database: how a policy is applied is tested on both in tests/ledger."""
    return build_system(processes=("sandbox", "routing", "open_weight"))


def digests(running: RunningSystem) -> dict[str, Any]:
    with running.ledger.read() as connection:
        living = progress.living(connection, database_now(connection))
    return {process.id: process.detail.get("policy") for process in living}


def applied(running: RunningSystem, text: str) -> AppliedPolicy:
    with running.ledger.write() as connection:
        policy = parse_policy(text, "test")
        return policy_versions.apply(connection, policy, text, by="ada", reason=None)


def goes_by(running: RunningSystem, digest: str) -> None:
    until(lambda: set(digests(running).values()) == {digest}, 120)


def test_processes_go_by_what_was_applied_and_back(running: RunningSystem) -> None:
    before = running.system._policy.read_text(encoding="utf-8")
    first = classify.delay("a", ["x", "y"], **OPEN)
    first.get(timeout=300)
    assert running.item(first.id).deployment == "open"
    processes = digests(running).keys()
    other = before.replace("[deployments.open]", "[deployments.other]")
    for text, deployment in ((other, "other"), (before, "open")):
        policy = parse_policy(text, "test")
        applied(running, text)
        item = classify.delay(f"b {deployment}", ["x", "y"], **OPEN)
        item.get(timeout=300)
        row = running.item(item.id)
        assert (row.deployment, row.policy) == (deployment, policy.digest)
        goes_by(running, policy.digest)
        assert digests(running).keys() == processes


def test_a_share_of_items_is_asked_under_another_prompt(running: RunningSystem) -> None:
    before = running.system._policy.read_text(encoding="utf-8")
    rule = '[tasks."tierqueue.classify".prompt]\nsystem = "Choose one."\nshare = 1.0\n'
    applied(running, before + rule)
    goes_by(running, parse_policy(before + rule, "test").digest)
    item = classify.delay("under another prompt", ["x", "y"], **OPEN)
    answer = item.get(timeout=300)
    assert answer.receipt["prompt_version"] == prompt_version("Choose one.")
    assert running.item(item.id).prompt == prompt_version("Choose one.")
    applied(running, before)
    goes_by(running, parse_policy(before, "test").digest)
    item = classify.delay("under its own prompt", ["x", "y"], **OPEN)
    assert item.get(timeout=300).receipt["prompt_version"] == classify.prompt_version


def test_during_a_roll_out_nothing_is_called_that_the_policy_before_forbids(
    running: RunningSystem,
) -> None:
    lax = running.system._policy.read_text(encoding="utf-8")
    strict = lax + '[[floors]]\ntask = "tierqueue.classify"\nfloor = "frontier"\n'
    applied(running, lax)
    goes_by(running, parse_policy(lax, "test").digest)
    forbidden_at = applied(running, strict).at
    waiting = classify.delay("needs the frontier", ["x", "y"], **OPEN)
    until(lambda: running.item(waiting.id).deployment == "best", 120)
    # No worker of the frontier runs here: it waits for one, or for the policy that lets it go.
    goes_by(running, parse_policy(strict, "test").digest)
    allowed_at = applied(running, lax).at
    waiting.get(timeout=300)
    assert [attempt.deployment for attempt in running.attempts(waiting.id)] == ["open"]
    assert running.attempts(waiting.id)[0].started_at >= allowed_at + ROLL_OUT_US
    assert allowed_at > forbidden_at


def test_a_table_that_was_applied_answers_without_a_model_once_it_is_rolled_out(
    running: RunningSystem, tmp_path: Path
) -> None:
    table = b"text,label\nwhere is my card?,card\n"
    file = tmp_path / "tickets.csv"
    file.write_bytes(table)
    text = (
        running.system._policy.read_text(encoding="utf-8")
        + f"""
[tasks."tierqueue.classify".rules]
file = "{file}"
sha256 = "{sha256(table).hexdigest()}"
arguments = {{ labels = ["card", "login"] }}
agreement = 0.9
audit = 0.01
"""
    )
    policy = parse_policy(text, "test")
    since = applied(running, text).at
    goes_by(running, policy.digest)

    def rolled_out() -> bool:
        with running.ledger.read() as connection:
            return database_now(connection) > since + ROLL_OUT_US

    until(rolled_out, 120)
    (version,) = policy.audited
    ids = (f"ruled-{number}" for number in range(100))
    result = classify.apply_async(
        ("Where is  my CARD?", ["card", "login"]),
        {"sensitivity": "public"},
        task_id=next(one for one in ids if not drawn(version, one, 0.01)),
    )
    answer = result.get(timeout=300)
    assert answer.output.label == "card"
    assert (answer.receipt["tier"], answer.receipt["deployment"]) == ("rule", version)
    assert running.attempts(result.id) == []
