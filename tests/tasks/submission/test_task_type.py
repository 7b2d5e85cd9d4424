"""Task types without broker, ledger and model, and what a type checker sees of them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from examples.triage import Triage, triage
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Latency, Risk, Sensitivity, Tier
from tierqueue.tasks import Accepted, Demands, Prompt, Rejected, classify, complete, extract
from tierqueue.tasks.results.async_answer import Answer, FreeText
from tierqueue.tasks.submission.demands import NAMES

ROOT = Path(__file__).resolve().parents[3]

GOOD = """
from datetime import datetime, timedelta
from typing import Literal, assert_type

from examples.triage import triage
from tierqueue.router.item import Risk
from tierqueue.tasks import Accepted, Prompt, Rejected, classify, complete, extract, summarize

ticket = classify.delay(
    "I was charged twice for the same transfer",
    labels=["card arrival", "double charge", "refund"],
    risk="customer_facing",
    sensitivity="confidential",
    max_cost="0.01usd",
)
answer = ticket.get(timeout=60)
assert_type(answer.output.label, str)
assert_type(answer.receipt["cost"], str)
assert_type(answer.receipt["tokens"]["output"], int)
print(answer["output"]["label"])
classify.delay("x", ["a", "b"], "be brief", 0.5, risk=Risk.INTERNAL, deadline=timedelta(hours=1))
classify.delay("x", ["a", "b"], deadline=datetime.now(), priority=3, floor="open_weight")
assert_type(complete.delay("x", max_output_tokens=9, budget="b").get().output.text, str)
assert_type(summarize.AsyncResult("id").get().output.summary, str)
extract.delay("x", {"total": "number"}, metadata={"row": 3}).get().output["total"]
assert_type(triage("The lift is stuck."), Prompt)
assert_type(triage.validate("{}", "The lift is stuck."), Accepted | Rejected)
assert_type(
    triage.delay("x", latency="background").get().output.urgency,
    Literal["now", "today", "this week", "whenever"],
)
several = [classify.delay("x", ["a", "b"]), triage.delay("x"), complete.delay("x")]
assert_type([result.get(timeout=9).receipt["tier"] for result in several], list[str])
triage.apply_async(("x",), {"reason_words": 3}, countdown=3)
"""

BAD = """
from examples.triage import triage
from tierqueue.tasks import Prompt, classify, complete, extract, item_task

classify.delay("x", lables=["a", "b"])  # labels
classify.delay("x", labels=["a", "b"], risk="intern")  # intern
classify.delay("x", labels=["a", "b"], sensitvity="public")  # sensitvity
classify.delay("x", labels=["a", "b"], priority="high")  # priority
classify.delay("x", labels=["a", "b"], floor="cheap")  # floor
classify.delay("x", labels="a")  # labels
classify.delay("x")  # labels
classify.delay(3, ["a", "b"])  # Argument 1
complete.delay("x", max_tokens=3)  # max_tokens
extract.delay("x", {"total": "money"})  # money
triage.delay("x", reason_words="three")  # reason_words
triage.submit_in(None, "x", latency="soon")  # latency
triage.validate("{}", tiket="x")  # tiket
triage(["x"])  # Argument 1
triage.delay("x").get().output.teem  # teem
classify.delay("x", ["a", "b"]).get().receipt["teir"]  # teir


item_task("t.a", output=None, riks="internal")  # item_task


@item_task("t.b", output=None, risk="internal")
def b(text: str) -> Prompt:
    return Prompt(system="", prefix="", question=text)


b.delay("x").get().output.label  # label
b.delay(text="x", words=3)  # words
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says of the good and of the bad calls, by one run."""
    folder = tmp_path_factory.mktemp("typed")
    for name, text in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}_calls.py").write_text(text, encoding="utf-8")
    subprocess.run(["make", "-s", "-o", "setup", "types"], cwd=ROOT, check=True, timeout=60)
    files = [folder / "good_calls.py", folder / "bad_calls.py"]
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--config-file",
            "pyproject.toml",
            *files,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert said.stderr == ""
    lines = [line for line in said.stdout.splitlines() if ": error: " in line]
    return {
        name: "\n".join(line for line in lines if f"{name}_calls.py" in line)
        for name in ("good", "bad")
    } | {"all": said.stdout}


def test_calls_as_the_readme_shows_them_are_well_typed(checked: dict[str, str]) -> None:
    assert checked["good"] == "", checked["all"]


def test_a_misspelt_argument_demand_or_field_is_an_error_on_its_line(
    checked: dict[str, str],
) -> None:
    expected = {
        number: line.rsplit("  # ", 1)[1]
        for number, line in enumerate(BAD.splitlines(), start=1)
        if "  # " in line
    }
    found: dict[int, str] = {}
    for line in checked["bad"].splitlines():
        number, message = re.findall(r"_calls\.py:(\d+): error: (.*)", line)[0]
        found[int(number)] = found.get(int(number), "") + message
    assert found.keys() == expected.keys(), checked["bad"]
    for number, word in expected.items():
        assert word in found[number]


def test_the_typed_demands_are_those_that_are_checked_at_the_call() -> None:
    hints = get_type_hints(Demands)
    assert hints.keys() == NAMES
    for name, enum in {
        "risk": Risk,
        "sensitivity": Sensitivity,
        "latency": Latency,
        **dict.fromkeys(("floor", "on_ceiling", "on_throttle", "on_outage"), Tier),
    }.items():
        names = [word for part in get_args(hints[name]) for word in get_args(part)]
        assert names == [choice.value for choice in enum], name


def test_a_task_type_called_directly_is_the_prompt_it_would_send() -> None:
    prompt = triage("The lift is stuck.", reason_words=5, risk="internal")
    assert isinstance(prompt, Prompt)
    assert prompt.question == "Give at least 5 words of reason.\nTicket:\nThe lift is stuck."
    assert "- refund" in classify("Where is it?", labels=["refund", "card"]).prefix


def test_a_bad_call_is_refused_without_a_broker_too() -> None:
    with pytest.raises(InvalidItem, match="ticket"):
        triage("")
    with pytest.raises(InvalidItem, match="risk"):
        triage("The lift is stuck.", risk="intern")  # type: ignore[arg-type]
    with pytest.raises(InvalidItem, match="lables"):
        classify("x", lables=["a", "b"])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"prority": 3}, "no argument or demand 'prority'; did you mean 'priority'"),
        ({"maxcost": "1usd"}, "'maxcost'; did you mean 'max_cost'"),
        ({"lables": ["a", "b"]}, "'lables'; did you mean 'labels'"),
        ({"zzz": 1}, "no argument or demand 'zzz'$"),
    ],
)
def test_a_name_with_a_typo_is_told_the_nearest(stated: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidItem, match=said):
        classify.new_item(("x",), stated, item_id="")


def test_an_answer_is_judged_as_a_worker_would() -> None:
    good = {"urgency": "today", "team": "building", "reason": "It is stuck."}
    verdict = triage.validate(json.dumps(good), "The lift is stuck.")
    assert isinstance(verdict, Accepted)
    assert verdict.output == good
    verdict = triage.validate(json.dumps({**good, "team": "sales"}), "The lift is stuck.")
    assert isinstance(verdict, Rejected)
    assert isinstance(classify.validate('{"label":"b"}', "x", ["a", "b"]), Accepted)


@pytest.mark.parametrize("call", [triage.apply, triage.run], ids=["apply", "run"])
def test_celerys_ways_to_run_a_task_here_are_refused_and_say_what_to_do(call: object) -> None:
    assert callable(call)
    with pytest.raises(InvalidItem, match=r"office\.triage: .*\.delay\(\)"):
        call("The lift is stuck.")


def test_an_answer_is_plain_json_and_knows_its_types() -> None:
    plain = {"output": {"urgency": "now", "team": "money", "reason": "x"}, "receipt": {"tier": "g"}}
    answer: Answer[Triage] = Answer(plain, triage.answer_model)
    assert answer == plain
    assert json.loads(json.dumps(answer)) == plain
    assert answer.output == Triage(urgency="now", team="money", reason="x")
    assert answer.receipt["tier"] == "g"


def test_free_text_has_a_model_and_what_depends_on_the_arguments_is_a_mapping() -> None:
    text: Answer[FreeText] = Answer(
        {"output": {"text": "yes"}, "receipt": {}}, complete.answer_model
    )
    assert text.output.text == "yes"
    fields: Answer[dict[str, object]] = Answer(
        {"output": {"_id": 3}, "receipt": {}}, extract.answer_model
    )
    assert fields.output == {"_id": 3}
