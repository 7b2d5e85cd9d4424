"""Every task type's request passes providers as strict as vendors are, and is answered."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from examples.triage import triage
from tests.tasks.answers.test_answer_schema import Cat, Open, Order, Person
from tests.tasks.answers.test_form import Numbers, Page, Scores, deployment
from tests.tasks.answers.test_output_model import ANSWERED
from tests.workers.engines.engine.test_engine_asks import claimed, prepared
from tests.workers.engines.engine_calls import a_sandbox
from tierqueue.router.outcome import Accepted, Completed, Failed, Outcome, Rejected
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks import Prompt, classify, complete, extract, item_task, summarize
from tierqueue.workers.caller import judge
from tierqueue.workers.engines import build

PLAN = """\
[[refuses]]
model = "open-small"
what = ["max_tokens", "json_schema"]
status = 422

[[reasoning]]
model = "frontier-mini"
tokens = 150
"""
TEXT = "The lift is stuck between two floors since 2026-03-01, refund 12.50 to a@b.com please"
CLASSIFY = (classify, {"text": TEXT, "labels": ["lift", "door"]})
WORK: dict[str, Any] = {
    "classify": CLASSIFY,
    "classify many": (classify, {"text": TEXT, "labels": [f"l{n} {'x' * 40}" for n in range(500)]}),
    "summarize": (summarize, {"text": TEXT}),
    "extract": (extract, {"text": TEXT, "fields": {"_id": "string", "total": "number"}}),
    "extract many": (extract, {"text": TEXT, "fields": {f"f{n}": "string" for n in range(40)}}),
    "extract named": (extract, {"text": TEXT, "fields": {"Größe in cm": "number"}}),
    "complete": (complete, {"prompt": TEXT}),
    "complete with blanks": (complete, {"prompt": TEXT, "system": " "}),
    "triage": (triage, {"ticket": TEXT}),
}


_numbers = count()


def declared(model: Any) -> Any:
    @item_task(f"strictness.model{next(_numbers)}", output=model, output_limit=4_000)
    def made(text: str) -> Prompt:
        return Prompt(system="", prefix="", question=text)

    return made, {"text": TEXT}


WORK |= {
    model.__name__: declared(model)
    for model in (Order, Open, Cat, Scores, Person, Numbers, Page[int])
}
WORK |= {f"held {what}": declared(model) for what, (model, _) in ANSWERED.items()}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "faults.toml").write_text(PLAN, encoding="utf-8")
    with a_sandbox(folder, "--faults", str(folder / "faults.toml")) as address:
        yield address


def outcome(where: Deployment, kind: Any, arguments: dict[str, Any]) -> Outcome:
    """What an item of the kind comes to at the deployment."""

    async def once() -> Outcome:
        engine = build(where, {"KEY": "k"})
        await engine.start()
        try:
            reply = await engine.complete(prepared(where, kind, arguments))
        finally:
            await engine.close()
        assert not isinstance(reply, Failed), reply
        return judge(reply, claimed(kind, arguments, risk="internal", floor=None), kind, where)

    return asyncio.run(once())


def at(sandbox: str, engine: str, model: str = "frontier-large", **stated: Any) -> Deployment:
    found = deployment(engine, **stated)
    url = f"{sandbox}/v1" if engine == "openai" else sandbox
    changed = {"base_url": url, "simulated": True, "model": model, "served_as": ("sandbox/*",)}
    return found.model_copy(update=changed)


@pytest.mark.parametrize("engine", ["openai", "anthropic"])
@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_a_strict_vendor_takes_every_request(sandbox: str, engine: str, work: Any) -> None:
    done = outcome(at(sandbox, engine), *work)
    assert isinstance(done, Accepted | Rejected), done
    if work[0] in (classify, summarize, complete) or work in (WORK["Open"], WORK["Scores"]):
        assert isinstance(done, Accepted), done


@pytest.mark.parametrize("kind", ["json_object", "none"])
@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_a_host_without_schemas_is_served_by_the_prompt(sandbox: str, kind: str, work: Any) -> None:
    stated = {"limit_parameter": "max_completion_tokens", "structured_output": kind}
    done = outcome(at(sandbox, "openai", "open-small", **stated), *work)
    assert isinstance(done, Accepted | Rejected), done


def test_a_model_that_thinks_answers_with_headroom_and_only_with_it(sandbox: str) -> None:
    cut = outcome(at(sandbox, "openai", "frontier-mini"), *CLASSIFY)
    assert isinstance(cut, Rejected)
    assert cut.usage.reasoning_tokens == cut.usage.output_tokens == 64
    whole = outcome(at(sandbox, "openai", "frontier-mini", reasoning_tokens=200), *CLASSIFY)
    assert isinstance(whole, Accepted), whole
    assert isinstance(whole.completed, Completed)
    assert whole.completed.usage.reasoning_tokens == 150
