"""From ``.delay()`` to an answer, a receipt or a loud failure, through real processes."""

from collections.abc import Callable

import pytest
from celery import Celery, chain, chord, group

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.images import an_image
from tests.waiting import until
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.evaluation import second_answers
from tierqueue.ledger.operations import erasure
from tierqueue.router.errors import (
    CostCeilingExceeded,
    DeadlineExceeded,
    Exhausted,
    InvalidItem,
    NoRoute,
    Rejected,
    RequestRefused,
)
from tierqueue.router.lifecycle import State
from tierqueue.tasks import ask_image, classify, complete, extract, summarize

LABELS = ["lost card", "refund", "other"]
SHADOW = """
[deployments.pilot]
tier = "gpu"
engine = "openai"
model = "house-tiny"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "house"
simulated = true
candidate = true
prices = { input = "0.01", output = "0.01" }
[tasks."tierqueue.summarize".shadow]
deployment = "pilot"
share = 1
[[ceilings]]
scope = "purpose"
window = "day"
limit = "1usd"
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, build_system: Build) -> RunningSystem:
    """The Procfile's stages and workers on each database."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").empty_database()
    return build_system(url, more=SHADOW)


def test_a_ticket_is_classified_and_the_receipt_says_how(running: RunningSystem) -> None:
    answer = classify.delay("my card is lost", labels=LABELS).get(timeout=60)
    assert answer["output"]["label"] in LABELS
    receipt = answer["receipt"]
    assert (receipt["tier"], receipt["deployment"]) == ("gpu", "house")
    assert (receipt["model_asked"], receipt["model_served"]) == (
        "house-tiny",
        "sandbox/house-tiny",
    )
    assert receipt["simulated"] is True
    assert receipt["attempts"] == 1
    assert receipt["tokens"]["input"] > 0
    assert receipt["why"]
    row = running.item(receipt["item"])
    assert (row.state, row.held) == ("succeeded", 0)


def test_each_task_type_brings_its_own_form_of_answer(running: RunningSystem) -> None:
    waiting = [
        extract.delay("Invoice 7 over 12 EUR", fields={"number": "integer", "paid": "boolean"}),
        summarize.delay("A long report about the weather. " * 20, max_words=50),
        complete.delay("Say hello", max_output_tokens=50),
    ]
    extracted, summary, text = (result.get(timeout=60)["output"] for result in waiting)
    assert extracted.keys() == {"number", "paid"}
    assert len(summary["summary"].split()) <= 50
    assert text["text"]


def test_an_accepted_item_is_answered_again_by_a_candidate(running: RunningSystem) -> None:
    receipt = summarize.delay("A short report on snow. " * 20, max_words=50).get(timeout=60)[
        "receipt"
    ]
    assert (receipt["deployment"], "second_to" in receipt) == ("house", False)

    def answered_again() -> list[str]:
        with running.ledger.read() as connection:
            beside = second_answers.of_item(connection, receipt["item"])
        return [one.item for one in beside if one.state is State.SUCCEEDED]

    (again,) = until(answered_again)
    row = running.item(again)
    assert (row.deployment, row.purpose, row.held) == ("pilot", "shadow", 0)
    assert row.receipt["second_to"] == receipt["item"]


def test_an_answer_that_fails_validation_is_escalated_one_tier(running: RunningSystem) -> None:
    text = "[[sandbox:invalid model=house-tiny]] where is my money"
    receipt = classify.delay(text, labels=LABELS).get(timeout=60)["receipt"]
    assert (receipt["tier"], receipt["attempts"]) == ("open_weight", 2)
    tried = running.attempts(receipt["item"])
    assert [(attempt.deployment, attempt.outcome) for attempt in tried] == [
        ("house", "rejected"),
        ("open", "accepted"),
    ]


def test_an_answer_no_tier_gets_right_is_rejected_after_one_call_each(
    running: RunningSystem,
) -> None:
    with pytest.raises(Rejected) as refused:
        classify.delay("[[sandbox:invalid]] what", labels=LABELS).get(timeout=60)
    tried = running.attempts(refused.value.fields["item"])
    assert [attempt.tier for attempt in tried] == ["gpu", "open_weight", "frontier"]
    assert running.item(refused.value.fields["item"]).spent == sum(
        attempt.cost for attempt in tried
    )


def test_an_image_goes_to_a_model_that_sees_and_is_gone_once_its_item_is_erased(
    running: RunningSystem,
) -> None:
    asked = ask_image.delay(an_image("PNG", (1024, 1024)), "What is it?")
    receipt = asked.get(timeout=60)["receipt"]
    assert (receipt["tier"], receipt["deployment"]) == ("frontier", "best")
    row, (attempt,) = running.item(asked.id), running.attempts(asked.id)
    assert receipt["tokens"]["input"] > 1_399
    assert row.bound >= attempt.cost > 1_399 * 5_000
    served = [line for line in running.served() if line["item"] == asked.id]
    assert [line["cost_nanousd"] for line in served] == [attempt.cost]
    (image,) = ask_image.prompt(row.arguments).images
    sha256 = image.rpartition(";")[2]
    with running.ledger.write() as connection:
        assert content_store.read(connection, [sha256]).keys() == {sha256}
        erasure.erase(connection, [asked.id], by="me", why="asked")
        assert content_store.read(connection, [sha256]) == {}


def test_an_item_over_its_own_ceiling_is_never_sent(running: RunningSystem) -> None:
    with pytest.raises(CostCeilingExceeded) as refused:
        classify.delay("x", labels=LABELS, floor="frontier", max_cost="0.000001usd").get(timeout=60)
    fields = refused.value.fields
    assert fields["limit"] == 1000
    assert fields["needed"] > fields["limit"]
    assert running.attempts(fields["item"]) == []


def test_data_no_deployment_may_see_has_no_route(running: RunningSystem) -> None:
    with pytest.raises(NoRoute) as refused:
        classify.delay("x", labels=LABELS, sensitivity="regulated", floor="frontier").get(
            timeout=15
        )
    assert {field["deployment"] for field in refused.value.fields["refusals"]} == {
        "house",
        "open",
        "pilot",
        "best",
    }


def test_bad_input_is_refused_at_the_call(running: RunningSystem) -> None:
    with pytest.raises(InvalidItem, match="labels"):
        classify.delay("x", labels=["only one"])
    with pytest.raises(InvalidItem, match="risk"):
        classify.delay("x", labels=LABELS, risk="none at all")  # type: ignore[arg-type]
    with pytest.raises(InvalidItem, match="queue"):
        classify.apply_async(["x", LABELS], queue="gpu")


def test_a_fault_of_the_deployment_is_tried_again_and_is_no_call_of_the_item(
    running: RunningSystem,
) -> None:
    text = "[[sandbox:500 times=1]] my refund"
    receipt = classify.delay(text, labels=LABELS).get(timeout=60)["receipt"]
    assert receipt["attempts"] == 1
    outcomes = [attempt.outcome for attempt in running.attempts(receipt["item"])]
    assert outcomes == ["unavailable", "accepted"]


def test_a_failure_that_stays_while_others_are_served_ends_in_a_dead_letter(
    running: RunningSystem,
) -> None:
    failing = classify.delay("[[sandbox:503]] my refund", labels=LABELS)
    while running.item(failing.id).ended_at is None:
        classify.delay("my other refund", labels=LABELS).get(timeout=60)
    with pytest.raises(Exhausted):
        failing.get(timeout=60)
    assert running.item(failing.id).calls == 3


def test_a_bad_request_is_never_tried_again(running: RunningSystem) -> None:
    with pytest.raises(RequestRefused) as refused:
        classify.delay("[[sandbox:bad_request]]", labels=LABELS).get(timeout=60)
    assert len(running.attempts(refused.value.fields["item"])) == 1


def test_throttling_waits_in_the_ledger_and_is_not_an_attempt(running: RunningSystem) -> None:
    text = "[[sandbox:429 after=1 times=1]] hm"
    receipt = classify.delay(text, labels=LABELS).get(timeout=60)["receipt"]
    assert receipt["attempts"] == 1
    throttled, accepted = running.attempts(receipt["item"])
    assert accepted.started_at - throttled.ended_at >= 1_000_000


def test_an_item_past_its_deadline_is_not_done(running: RunningSystem) -> None:
    with pytest.raises(DeadlineExceeded):
        classify.apply_async(["late", LABELS], countdown=3, expires=1).get(timeout=60)


def test_the_same_idempotency_key_is_one_item_and_one_charge(running: RunningSystem) -> None:
    twice = [
        classify.delay("once", labels=LABELS, idempotency_key="order 7", floor="open_weight")
        for _ in range(2)
    ]
    first, second = (attempt.get(timeout=60) for attempt in twice)
    assert first == second
    assert len(running.attempts(first["receipt"]["item"])) == 1
    with pytest.raises(InvalidItem, match="order 7"):
        classify.delay("other", labels=LABELS, idempotency_key="order 7", floor="open_weight")


def test_a_service_with_only_celery_calls_by_name(running: RunningSystem) -> None:
    with Celery("stranger", set_as_current=False) as stranger:
        stranger.conf.update(
            broker_url=running.system.broker_url, result_backend=running.system.broker_url
        )
        arguments = {"text": "card", "labels": LABELS, "sensitivity": "public"}
        wanted = stranger.signature("tierqueue.classify", kwargs=arguments, queue="route")
        assert wanted.delay().get(timeout=60)["output"]["label"] in LABELS
        poor = stranger.signature("tierqueue.classify", kwargs={"text": "card"}, queue="route")
        with pytest.raises(Exception, match="labels") as refused:
            poor.delay().get(timeout=60)
        assert type(refused.value).__name__ == "InvalidItem"


def test_groups_chains_and_chords_come_true(running: RunningSystem) -> None:
    many = group(classify.s(f"card {n}", LABELS) for n in range(4)).apply_async()
    assert len(many.get(timeout=60)) == 4
    after = chain(
        complete.s("First say something", sensitivity="confidential"),
        summarize.s(max_words=40),
    ).apply_async()
    receipt = after.get(timeout=60)["receipt"]
    assert receipt["task"] == "tierqueue.summarize"
    assert receipt["sensitivity"] == "confidential"
    both = chord([summarize.s(f"Text number {n}.", max_words=30) for n in range(3)])
    joined = complete.s(system="Join these texts.", max_output_tokens=50)
    assert both(joined).get(timeout=60)["output"]["text"]


def test_a_revoked_item_is_cancelled(running: RunningSystem) -> None:
    waiting = classify.apply_async(["later", LABELS], countdown=60)
    waiting.revoke()
    until(lambda: running.item(waiting.id).state == "cancelled")


def test_a_running_call_is_aborted_when_its_item_is_revoked(running: RunningSystem) -> None:
    waiting = classify.delay("[[sandbox:hang seconds=600]]", labels=LABELS)
    until(lambda: running.item(waiting.id).state == "running")
    waiting.revoke()
    until(lambda: running.item(waiting.id).state == "cancelled")
    (attempt,) = running.attempts(waiting.id)
    assert attempt.outcome == "interrupted"


def test_no_prompt_and_no_answer_is_in_any_log(
    running: RunningSystem, log_of: Callable[[RunningSystem, str], str]
) -> None:
    secret = "xylophone-orchid"
    classify.delay(f"my {secret} card", labels=LABELS).get(timeout=60)
    with pytest.raises(RequestRefused):
        classify.delay(f"[[sandbox:bad_request]] {secret}", labels=LABELS).get(timeout=60)
    for name in running.system.processes:
        assert secret not in log_of(running, name)
