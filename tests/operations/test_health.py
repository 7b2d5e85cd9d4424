"""``tierqueue health`` and ``doctor`` on a real ledger and a real broker."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.ledger.monitoring.test_writes import locked
from tests.ledger.placed import place
from tests.ledger.plans import plans_of, reads_of_every_item
from tests.operations.cli.test_cli import POLICY, run
from tests.tasks.producer import CHECKOUT, Producer
from tests.tasks.routing.decide.in_force import applied
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import progress, writes
from tierqueue.ledger.session import Ledger
from tierqueue.operations import health
from tierqueue.operations.cli import root
from tierqueue.tasks import complete


@pytest.fixture
def house(
    producer_to: Callable[[str], Producer],
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Producer:
    """A producer whose policy has two deployments."""
    path = tmp_path / "two.toml"
    path.write_text(POLICY)
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    return producer_to(ledger_url)


def _beat(ledger: Ledger, process: str, kind: str, tier: str | None = None) -> None:
    with ledger.write() as connection:
        progress.beat(connection, process, kind=kind, tier=tier, detail={})


def test_health_says_no_without_a_routing_stage_and_yes_with_one(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "health")
    assert (status, "no routing stage" in out) == (1, True)
    _beat(house.ledger, "routing@here:1", "routing")
    status, out, _ = run(capsys, "health", "--json")
    told = json.loads(out)
    assert (status, told["well"]) == (0, True)
    assert told["progress"]["processes"][0]["id"] == "routing@here:1"


def test_health_of_one_process_looks_at_this_machine_alone(
    house: Producer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box-1")
    _beat(house.ledger, "gpu@box-2:1", "worker", "gpu")
    assert run(capsys, "health", "--worker", "gpu")[0] == 1
    _beat(house.ledger, "gpu@box-1:1", "worker", "gpu")
    assert run(capsys, "health", "--worker", "gpu")[0] == 0
    assert run(capsys, "health", "--worker", "routing")[0] == 1


def test_a_routing_stage_that_beats_and_looks_at_no_items_is_stuck(
    house: Producer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box-1")
    with house.ledger.write() as connection:
        detail = {"moments": {"looked": 1}}
        progress.beat(connection, "routing@box-1:1", kind="routing", tier=None, detail=detail)
    status, out, _ = run(capsys, "health", "--worker", "routing")
    assert status == 1
    assert "the routing stage of box-1 lives but has not looked" in " ".join(out.split())


def test_the_doctor_says_what_is_held_back_and_how_to_let_it_go(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    with house.ledger.write() as connection:
        pauses.pause(connection, "tier", "frontier", "ada")
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert "note   tier frontier was paused by ada" in out
    assert "tierqueue resume tier frontier" in out


def test_the_doctor_finds_items_that_nobody_routes(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    complete.delay("Say hello")
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert out.startswith("WRONG  no routing stage is alive")


def test_the_doctor_names_a_ledger_that_was_never_migrated(
    producer_to: Callable[[str], Producer],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    producer_to(f"sqlite:///{tmp_path / 'bare.db'}")
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "never migrated" in out
    assert "tierqueue migrate" in out


def test_the_doctor_names_a_broker_that_cannot_be_reached(
    house: Producer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")

    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(house.app.backend.client, "ping", down)
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "WRONG  the broker cannot be reached (ConnectionError)" in out


def test_the_doctor_names_a_broker_that_takes_no_writes(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    client = house.app.backend.client
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        status, out, _ = run(capsys, "doctor")
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert status == 1
    assert "WRONG  the broker answers and takes no writes (ReadOnlyError)" in out


def test_a_ledger_that_takes_no_writes_is_named_by_doctor_health_and_status(
    house: Producer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "PATIENCE_SECONDS", 0.1)
    _beat(house.ledger, "routing@here:1", "routing")
    assert run(capsys, "status")[0] == 0
    with locked(house.ledger):
        status, out, _ = run(capsys, "doctor")
        assert (status, out.startswith("WRONG  the ledger takes no writes")) == (1, True)
        assert "which program holds the lock?" in out
        status, out, _ = run(capsys, "health")
        assert (status, "the ledger takes no writes" in out) == (1, True)
        status, out, _ = run(capsys, "status")
        assert (status, "ledger     NO WRITES: " in out) == (1, True)
        status, out, _ = run(capsys, "status", "--json")
        assert (status, json.loads(out)["ledger"]["cause"]) == (1, "locked")
    assert run(capsys, "doctor")[0] == 0


def test_the_doctor_finds_a_deployment_without_a_price_or_a_key(
    house: Producer,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    path = tmp_path / "unpriced.toml"
    unlisted = 'genai_price = { provider = "nobody", model = "nothing" }'
    prices = 'simulated = true\nprices = { input = "5", output = "25" }'
    path.write_text(POLICY.replace(prices, unlisted))
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    del house.app.installation.settings
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "has no price" in out
    assert "ACME_KEY is not set" in out


def test_the_doctor_speaks_of_the_policy_in_force_and_of_another_file_as_a_note(
    house: Producer,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    applied(house.ledger, POLICY)
    path = tmp_path / "unpriced.toml"
    unlisted = 'genai_price = { provider = "nobody", model = "nothing" }'
    prices = 'simulated = true\nprices = { input = "5", output = "25" }'
    path.write_text(POLICY.replace(prices, unlisted))
    aside = "note   the policy file here, which is not in force (version 1 is)"
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    del house.app.installation.settings
    status, out, _ = run(capsys, "doctor")
    assert (status, "WRONG" in out) == (0, False)
    said = " ".join(out.split())
    assert f"{aside}: ".replace("   ", " ") in said
    assert "has no price" in said
    path.write_text("this is no policy")
    del house.app.installation.policy
    status, out, _ = run(capsys, "doctor")
    assert (status, "WRONG" in out) == (0, False)
    assert f"{aside}, cannot be read: ".replace("   ", " ") in " ".join(out.split())


def test_the_doctor_finds_what_is_wrong_with_a_policy_that_was_applied_whatever_the_file_says(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    unlisted = 'genai_price = { provider = "nobody", model = "nothing" }'
    prices = 'simulated = true\nprices = { input = "5", output = "25" }'
    applied(house.ledger, POLICY.replace(prices, unlisted))
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "has no price" in out


def _die(ledger: Ledger, items: int) -> None:
    fields = {"last": {"kind": "http_500", "message": "m"}}
    for _ in range(items):
        error = {"reason": "exhausted", "message": "m", "fields": fields}
        place(ledger, "dead", reason="exhausted", error=error, spent=1_000_000)


def test_rows_that_died_need_a_person_until_somebody_has_seen_them(
    house: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    _beat(house.ledger, "routing@here:1", "routing")
    _die(house.ledger, 3)
    status, out, _ = run(capsys, "doctor", "--json")
    [died] = [finding for finding in json.loads(out) if finding["code"] == "died"]
    assert (status, died["wrong"], died["detail"]["items"]) == (1, True, 3)
    assert run(capsys, "health")[0] == 1
    status, out, _ = run(capsys, "doctor", "--acknowledge")
    assert (status, "acknowledged: 3 dead letters" in out) == (0, True)
    assert run(capsys, "health") == (0, "work gets on\n", "")
    _die(house.ledger, 1)
    assert run(capsys, "health")[0] == 1


PACKAGES = ("router", "ledger", "tasks", "workers", "operations")
_NAMED = re.compile(
    r"(?:^|[`:;?(|] ?|then |see |or |by )tierqueue "
    r"(?P<words>[a-z][a-z-]*(?: [a-z][a-z-]*)?)(?P<more>[^;`|\n]*)"
)


def _said(module: Path) -> Iterator[str]:
    """What a module says to people, with an ``X`` for whatever is filled in."""
    text = module.read_text(encoding="utf-8")
    if not re.search(r"tierqueue[ \"']", text):  # It names no command, then, in one string or two.
        return
    tree = ast.parse(text)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docs and "cli" not in module.parts:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_command_and_option_that_is_named_to_people_exists() -> None:
    """What a finding, an error or a help text names is what a person types at night."""
    modules = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]
    found = [
        match for module in modules for text in _said(module) for match in _NAMED.finditer(text)
    ]
    named = {match["words"] for match in found}
    assert {"doctor", "status", "raw-messages list", "dead-letters replay", "job cancel"} <= named
    for match in found:
        name, _, word = match["words"].partition(" ")
        command = root.get_command(click.Context(root), name)
        assert command is not None, match[0]
        if isinstance(command, click.Group) and word:
            assert word in command.commands, match[0]
            command = command.commands[word]
        known = {option for param in command.params for option in param.opts}
        assert set(re.findall(r"--[a-z-]+", match["more"])) <= known, match[0]


def test_no_look_of_the_doctor_reads_every_item(
    producer_to: Callable[[str], Producer], sqlite_url: str
) -> None:
    producer = producer_to(sqlite_url)
    place(producer.ledger, "submitted")
    with plans_of(producer.ledger) as plans:
        health.check(producer.app)
    assert reads_of_every_item(plans) == []
