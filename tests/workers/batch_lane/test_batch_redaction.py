"""Personal data and batches: none of it leaves in one, and the answers have it again.

On both providers' batch forms, with the real SDKs against the sandbox.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.batch_lane.plant import Plant
from tests.ledger.claimed import a_claim, an_item
from tierqueue.ledger.lifecycle.items import new_id, prepare
from tierqueue.ledger.tables import items
from tierqueue.router.outcome import Accepted, Failed, Outcome
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import classify, complete
from tierqueue.workers.batch_lane.requests import key_of
from tierqueue.workers.batch_lane.results import outcome_of
from tierqueue.workers.engines import build
from tierqueue.workers.engines.batches import RemoteBatch, ResultLine
from tierqueue.workers.engines.stations import Station

REDACTS = """
[redaction."vendor:sandbox"]
patterns = { customer = 'C-\\d{8}' }
"""
TEXTS = [
    "Jane (jane@example.com), customer C-12345678",
    "Max (max@example.org) pays with 4111 1111 1111 1111",
    "nothing to hide in this one",
]
LABELS = ["jane@example.com", "max@example.org"]
SECRETS = (b"jane@example.com", b"max@example.org", b"C-12345678", b"4111 1111 1111 1111")


@pytest.fixture(params=["openai", "anthropic"])
def plant(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[Plant]:
    with Plant(tmp_path, sqlite_url, engine=request.param, more=REDACTS) as made:
        yield made


def overheard(plant: Plant) -> list[bytes]:
    """What every request from here on sends: its address, its headers and its body."""
    sent: list[bytes] = []

    async def listen(request: Any) -> None:
        body = await request.aread()
        sent.append(b" ".join([str(request.url).encode(), repr(request.headers).encode(), body]))

    engine: Any = plant.station.engine
    engine._http.event_hooks["request"].append(listen)
    return sent


def submitted(plant: Plant) -> list[str]:
    """One item a text, whose answer is one of the labels."""
    plant.types[classify.name] = classify
    asked = [{"text": text, "labels": LABELS} for text in TEXTS]
    made = [classify.new_item((), arguments, item_id=new_id()) for arguments in asked]
    with plant.ledger.write() as connection:
        prepare(plant.ledger.dialect, made, plant.now).write(connection)
    return [new.id for new in made]


@pytest.mark.processes
def test_no_personal_data_leaves_in_a_batch_and_its_answers_have_it_again(plant: Plant) -> None:
    sent = overheard(plant)
    ids = submitted(plant)
    plant.pass_time(lambda: plant.over(ids))
    assert [line["batch"] for line in plant.logged()] == [True] * len(TEXTS)
    whole = b"\n".join(sent)
    assert all(secret not in whole for secret in SECRETS)
    assert all(f"[{name}_1]".encode() in whole for name in ("EMAIL", "CUSTOMER", "CARD"))
    rows = {row["id"]: row for row in plant.rows(items)}
    # A label is an address: what was answered is a pseudonym, and what is read is none.
    assert all(rows[key]["output"]["label"] in LABELS for key in ids)
    assert [rows[key]["receipt"]["redacted"] for key in ids] == [3, 3, 2]


POLICY = """
[deployments.best]
tier = "frontier"
profile = "openai"
model = "m"
context_window = 100000
prices = { input = "1", output = "2" }
"""
ANOTHER = """
[redaction."vendor:*"]
kinds = ["card"]
"""
BODY = {
    "model": "m",
    "choices": [{"message": {"content": "[EMAIL_1] asks"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45},
}


def read_with(now: str, body: Mapping[str, Any] = BODY, **route: Any) -> Outcome:
    """What an answer comes to that is read by the policy ``now``, of an item routed like this."""
    deployment = parse_policy(POLICY + now, "test").deployments["best"]
    engine: Any = build(deployment, {"OPENAI_API_KEY": "k"})
    item = an_item(task=complete.name, sensitivity="internal", output_limit=64, route=route)
    claim = a_claim(item, arguments={"prompt": "jane@example.com asks"})
    line = ResultLine(key=key_of("i", 1), status=200, body=body)
    remote = RemoteBatch(id="b", state="completed", over=True)
    types = {complete.name: complete}
    station = Station(deployment=deployment, engine=engine)
    return outcome_of(line, claim, station, engine, types, remote, simulated=False)


def routed_by(text: str) -> dict[str, Any]:
    deployment = parse_policy(POLICY + text, "test").deployments["best"]
    return {"terms": deployment.terms, "redaction": deployment.redaction}


EMAILS = '[redaction."vendor:*"]\n'


def test_an_answer_is_read_by_the_rules_that_its_request_was_redacted_by() -> None:
    outcome = read_with(EMAILS, **routed_by(EMAILS))
    assert isinstance(outcome, Accepted)
    assert outcome.output == {"text": "jane@example.com asks"}


@pytest.mark.parametrize("now", ["", ANOTHER])
def test_where_other_rules_are_in_force_it_is_paid_and_asked_again(now: str) -> None:
    outcome = read_with(now, **routed_by(EMAILS))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.transient) == ("other_redaction", True)
    assert outcome.usage.input_tokens == 40


def test_what_an_older_release_sent_is_read_as_it_was() -> None:
    outcome = read_with(EMAILS, terms=routed_by(EMAILS)["terms"])
    assert isinstance(outcome, Accepted)
