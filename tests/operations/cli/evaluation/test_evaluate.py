"""``tierqueue eval``: nothing is sent unasked, each way is asked once, and all are compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.operations.cli.command import Command
from tests.tasks.evaluation.answering import answer
from tierqueue.ledger import audit_log
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items, labels, prompts
from tierqueue.operations.cli.output import job_progress
from tierqueue.router.policy.defaults import prompt_version

POLICY = """
default_sensitivity = "internal"

[tasks."tierqueue.classify"]
risk = "internal"

[deployments.gpu-one]
tier = "gpu"
engine = "vllm"
model = "tiny"
boundary = "house"
context_window = 4096
gpu_hour = "3.60"

[deployments.frontier-one]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
prices = { input = "5", output = "25" }
"""
WORDS = (
    *("set.csv", "--task", "tierqueue.classify", "--column", "text", "--truth", "label"),
    *("--set", "labels=card,login"),
)


def _told(tier: str, arguments: Mapping[str, Any]) -> str | None:
    if "what" in arguments["text"]:
        return "card" if tier == "frontier" else None
    return "card" if "card" in arguments["text"] else "login"


@pytest.fixture(autouse=True)
def _answered(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set.csv").write_text(
        "text,label\na card,card\nmy login,login\nwhat?,card\nhm,card\n", encoding="utf-8"
    )
    usual = job_progress.follow

    def watch(at: Ledger, job_id: str, **how: Any) -> Any:
        answer(at, _told)
        return usual(at, job_id, **how)

    monkeypatch.setattr(job_progress, "follow", watch)


def _items(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(items)).scalar_one())


def test_without_yes_it_says_what_it_can_cost_and_sends_nothing(
    tierqueue: Command, ledger: Ledger
) -> None:
    out = tierqueue("eval", *WORDS)
    assert "nothing was sent: say --yes" in out
    told = tierqueue.json("eval", *WORDS)
    assert told["asked"] is False
    assert [(one["way"], one["rows"]) for one in told["quotes"]] == [
        ("gpu", 4),
        ("frontier", 4),
        ("ladder", 4),
    ]
    # An engine by the hour: no ceiling counts a call.
    assert [one["bound_nanousd"] > 0 for one in told["quotes"]] == [False, True, False]
    assert _items(ledger) == 0


def test_every_tier_and_the_ladder_are_measured_and_the_same_again_pays_nothing(
    tierqueue: Command, ledger: Ledger
) -> None:
    told = tierqueue.json("eval", *WORDS, "--yes")
    gpu, frontier, ladder = told["ways"]
    assert [way["way"] for way in told["ways"]] == ["gpu", "frontier", "ladder"]
    assert (gpu["right"], frontier["right"], ladder["right"]) == (0.5, 0.75, 0.75)
    assert (gpu["cost_nanousd"], frontier["cost_nanousd"]) == (400, 4_000)
    assert ladder["cost_nanousd"] == 1_400
    assert ladder["escalated"] == 0.25
    assert gpu["failed"] == {"rejected": 1}
    assert [one["name"] for one in told["beside"]] == [
        *("best single: frontier", "random", "length", "oracle"),
    ]
    assert told["beside"][-1] == {"name": "oracle", "right": 0.75, "cost_nanousd": 1_300}
    assert _items(ledger) == 12
    again = tierqueue.json("eval", *WORDS, "--yes")
    assert _items(ledger) == 12
    assert again["ways"][2]["right"] == ladder["right"]


def test_another_prompt_is_asked_beside_the_task_types_own(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text("Choose the label.", encoding="utf-8")
    words = (*WORDS, "--yes", "--tier", "gpu", "--prompt", str(tmp_path / "other.txt"))
    told = tierqueue.json("eval", *words)
    version = prompt_version("Choose the label.")
    names = ["gpu", "ladder", f"gpu, {version}", f"ladder, {version}"]
    assert [way["way"] for way in told["ways"]] == names
    with ledger.read() as connection:
        asked = connection.execute(select(items.c.prompt, func.count()).group_by(items.c.prompt))
        assert dict(map(tuple, asked)) == {None: 8, version: 8}
        assert connection.execute(select(prompts.c.system)).scalars().all() == ["Choose the label."]
    tierqueue.json("eval", *words)
    assert _items(ledger) == 16
    assert "cannot be read" in tierqueue.complaint("eval", *WORDS, "--prompt", "gone.txt")
    (tmp_path / "other.txt").write_text(" ", encoding="utf-8")
    assert "is empty" in tierqueue.complaint("eval", *words)


def test_what_the_set_says_is_kept_as_labels_once(tierqueue: Command, ledger: Ledger) -> None:
    assert tierqueue.json("eval", *WORDS, "--yes")["labelled"] == 0
    told = tierqueue.json("eval", *WORDS, "--yes", "--label")
    assert told["labelled"] == sum(way["accepted"] for way in told["ways"]) == 11
    assert "0 answers labelled" in tierqueue("eval", *WORDS, "--yes", "--label")
    with ledger.read() as connection:
        rows = connection.execute(select(labels.c.correct, labels.c.corrected)).all()
        (noted,) = {action.what for action in audit_log.newest(connection, 9)}
    assert sum(row.correct for row in rows) == 8
    wrong = [row.corrected for row in rows if not row.correct]
    assert wrong == [{"label": "card", "confidence": None}] * 3
    assert noted == "feedback"


def test_people_get_a_table(tierqueue: Command) -> None:
    out = tierqueue("eval", *WORDS, "--yes", "--tier", "frontier")
    lines = [line.split("\t") for line in out.splitlines()]
    (frontier,) = [line for line in lines if line[0] == "frontier (simulated)"]
    assert frontier[1] == "75.0%"
    assert "simulated answers are among those of: frontier, ladder" in out


def test_what_is_used_up_is_said_and_the_rest_is_not_asked(
    tierqueue: Command, ledger: Ledger
) -> None:
    status, _, err = tierqueue.run("eval", *WORDS, "--yes", "--max-cost", "0.0000001usd")
    assert status == 1
    assert "--max-cost is used up" in err
    assert _items(ledger) == 4


def test_a_tier_without_a_deployment_and_a_plot_that_is_none_are_refused(
    tierqueue: Command,
) -> None:
    assert "no deployment there" in tierqueue.complaint("eval", *WORDS, "--tier", "open_weight")
    assert "a .png or a .svg" in tierqueue.complaint("eval", *WORDS, "--plot", "x.pdf")


def test_the_plot_is_drawn(tierqueue: Command, tmp_path: Path) -> None:
    tierqueue("eval", *WORDS, "--yes", "--plot", "set.svg")
    assert (
        "answered rightly" in (tmp_path / "set.svg").read_text("utf-8")
        or (tmp_path / "set.svg").stat().st_size > 1_000
    )
