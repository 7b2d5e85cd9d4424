"""The last look before a payload leaves."""

import asyncio
from typing import Any

import pytest

from tests.ledger.claimed import a_claim, an_item
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.router.outcome import Accepted, Completed, Failed, Outcome, Rejected, Usage
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.redaction.rules import Redaction
from tierqueue.tasks import classify, complete
from tierqueue.tasks.settle.receipt import receipt_of
from tierqueue.workers.caller import judge
from tierqueue.workers.egress import check, redacted
from tierqueue.workers.engines import build
from tierqueue.workers.engines.engine import Call, SentImage
from tierqueue.workers.request import prepare


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_whatever_stays_in_the_house_may_be_sent(sensitivity: Sensitivity) -> None:
    check(sensitivity, "house", "item-1")


@pytest.mark.parametrize("sensitivity", [Sensitivity.PUBLIC, Sensitivity.INTERNAL])
def test_public_and_internal_items_may_go_to_a_vendor(sensitivity: Sensitivity) -> None:
    check(sensitivity, "vendor:acme", "item-1")


@pytest.mark.parametrize("sensitivity", [Sensitivity.CONFIDENTIAL, Sensitivity.REGULATED])
def test_confidential_and_regulated_items_never_leave_the_house(sensitivity: Sensitivity) -> None:
    with pytest.raises(EgressRefused) as refused:
        check(sensitivity, "vendor:acme", "item-1")
    assert refused.value.fields == {
        "item": "item-1",
        "sensitivity": sensitivity.value,
        "boundary": "vendor:acme",
    }
    assert refused.value.reason == "egress"


@pytest.mark.parametrize("boundary", ["", "House", "house ", "vendor", "vendor:", "vendor: ", "x"])
@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_a_boundary_nobody_declared_is_refused_for_everyone(
    sensitivity: Sensitivity, boundary: str
) -> None:
    with pytest.raises(EgressRefused):
        check(sensitivity, boundary, "item-1")


POLICY = """
[deployments.best]
tier = "frontier"
profile = "openai"
model = "m"
context_window = 100000
prices = { input = "1", output = "2" }
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 100000
gpu_hour = "1"
"""
REDACTS = """
[redaction."vendor:*"]
patterns = { customer = 'C-\\d{8}' }
"""
TEXT = "Jane (jane@example.com, C-12345678) pays with 4111 1111 1111 1111"
SECRETS = ("jane@example.com", "C-12345678", "4111")


def policy(more: str = REDACTS) -> Policy:
    return parse_policy(POLICY + more, "test")


def prepared(where: str, kind: Any, item: str = "i", **arguments: Any) -> Call | Failed:
    known = an_item(id=item, task=kind.name, sensitivity="internal", output_limit=64)
    return prepare(policy().deployments[where], a_claim(known, arguments=arguments), kind)


def judged(kind: Any, answer: str, **arguments: Any) -> Outcome:
    deployment = policy().deployments["best"]
    claim = a_claim(an_item(task=kind.name, sensitivity="internal"), arguments=arguments)
    call = prepare(deployment, claim, kind)
    assert isinstance(call, Call)
    usage = Usage(input_tokens=9, output_tokens=9)
    reply = Completed(text=answer, usage=usage, model_served="m")
    return judge(reply, claim, kind, deployment, call)


@pytest.mark.parametrize("item", ["i", "jane@example.com"])
def test_a_request_that_leaves_holds_nothing_that_the_rules_find(item: str) -> None:
    call = prepared("best", classify, item, text=TEXT, labels=["jane@example.com", "other"])
    assert isinstance(call, Call)

    async def sent() -> bytes:
        engine: Any = build(policy().deployments["best"], {"OPENAI_API_KEY": "k"})
        await engine.start()
        try:
            headers = engine._headers(call)
            return (await engine.request(call) or b"") + repr(headers).encode()
        finally:
            await engine.close()

    body = asyncio.run(sent()).decode()
    assert all(secret not in body for secret in SECRETS)
    assert body.count("[EMAIL_1]") >= 3  # in the text, among the labels, in the schema
    assert "C-12345678" not in repr(call)


def test_an_id_of_ours_is_no_telephone_number_and_counts_as_nothing() -> None:
    for item in ("01a21b28-0170-1234-5678-012345678901", "4915-112345678"):
        call = prepared("best", complete, item, prompt="nothing in here")
        assert isinstance(call, Call)
        assert call.originals == {}
        assert ("item" in call.labels) == (item == "4915-112345678")


def test_what_stays_in_the_house_is_sent_as_it_is() -> None:
    call = prepared("house", complete, prompt=TEXT)
    assert isinstance(call, Call)
    assert TEXT in call.prefix + call.question
    assert call.originals == {}


def test_an_answer_gets_its_originals_back_and_the_receipt_counts_them() -> None:
    outcome = judged(complete, "[EMAIL_1] pays with [CARD_1]", prompt=TEXT)
    assert isinstance(outcome, Accepted)
    assert outcome.output == {"text": "jane@example.com pays with 4111 1111 1111 1111"}
    where = policy().deployments["best"]
    receipt = receipt_of(an_item(), where, outcome, 0)  # type: ignore[arg-type]
    assert receipt["redacted"] == 3
    labels = ["jane@example.com", "other"]
    outcome = judged(classify, '{"label":"[EMAIL_1]"}', text=TEXT, labels=labels)
    assert isinstance(outcome, Accepted)
    assert outcome.output["label"] == "jane@example.com"


@pytest.mark.parametrize("text", ["[EMAIL_9] pays", "It was [EMAIL_"])
def test_an_answer_with_an_invented_or_cut_pseudonym_is_refused(text: str) -> None:
    outcome = judged(complete, text, prompt=TEXT)
    assert isinstance(outcome, Rejected)
    assert "pseudonym" in outcome.reasons[0]


def test_what_cannot_be_redacted_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RecursionError("jane@example.com")

    monkeypatch.setattr("tierqueue.router.redaction.pseudonyms.matches", broken)
    failed = prepared("best", complete, prompt=TEXT)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.transient) == ("egress", False)
    assert "jane" not in failed.message


def test_a_request_that_grows_takes_it_from_its_answer_or_is_refused() -> None:
    rules = Redaction(patterns={"letter": "q"})
    call = redacted(a_call("m", "q", output_limit=100), rules)
    assert call.output_limit == 100 - len("[LETTER_1]") + 1
    with pytest.raises(EgressRefused, match="longer"):
        redacted(a_call("m", "q", output_limit=10), rules)


def test_a_boundary_that_nobody_is_inside_of_is_refused() -> None:
    with pytest.raises(Exception, match="there is no boundary 'vendor:opena'; did you mean"):
        policy('[redaction."vendor:opena"]\nkinds = ["ip"]\n')


def test_rules_are_part_of_what_is_said_of_a_deployment() -> None:
    plain, redacts = policy("").deployments["best"], policy().deployments["best"]
    assert plain.redact is None
    assert plain.terms != redacts.terms
    assert policy("").deployments["house"].terms == policy().deployments["house"].terms


def test_a_call_with_an_image_is_never_sent_where_things_are_redacted() -> None:
    image = SentImage("0" * 64, "image/png", b"bytes")
    with pytest.raises(EgressRefused, match="an image cannot be"):
        redacted(a_call("m", images=[image]), Redaction(kinds=("email",)))
