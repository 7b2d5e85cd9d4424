"""`tierqueue router train --predictor`: from answers of two tiers to a file the policy can name."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.tasks.evaluation.answering import answer
from tests.tasks.routing.tickets import arguments
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.learned.gain import Gain

TASK = "tierqueue.classify"
TRAIN = ("router", "train", TASK, "--predictor", "--out")


def asked(ledger: Ledger, count: int, tiers: tuple[str, ...] = ("gpu", "frontier")) -> None:
    """So many texts, each asked of every tier."""
    usual = place(ledger, "submitted", task=TASK, arguments=arguments("x"), pinned="gpu", calls=0)
    with ledger.write() as connection:
        row = dict(connection.execute(select(items).where(items.c.id == usual)).mappings().one())
        rows = [
            {
                **row,
                "id": f"{number:04}-{tier}",
                "pinned": tier,
                "calls": 1,
                "arguments": arguments(text),
            }
            for number in range(count)
            for text in [f"an odd one {number}" if number % 3 == 0 else f"usual {number}"]
            for tier in tiers
        ]
        connection.execute(insert(items), rows)


def told(tier: str, called: Mapping[str, Any]) -> str | None:
    """The cheaper tier takes odd ones for something else."""
    return "login" if tier == "gpu" and "odd" in called["text"] else "card"


def judged(ledger: Ledger) -> None:
    """`eval --label` says of each answer whether it is right."""
    with ledger.write() as connection:
        for item_id in connection.execute(select(items.c.id)).scalars().all():
            item = labels.judgeable(connection, item_id)
            assert item is not None
            right = item.output["label"] == "card"
            labels.write(connection, item, item.deployment, Label(correct=right, by="eval"))


def test_answers_of_two_tiers_train_a_predictor_that_the_policy_can_name(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    asked(ledger, 120)
    answer(ledger, told)
    judged(ledger)
    out = tmp_path / "gain.safetensors"
    found = tierqueue.json(*TRAIN, str(out))
    assert (found["trained"], found["rows"]) == (True, 120)
    assert (found["cheaper"], found["stronger"]) == ("gpu", "frontier")
    assert found["sha256"] == sha256(out.read_bytes()).hexdigest()
    assert 0.5 < found["apgr_low"] <= found["apgr"]
    assert (found["cheaper_right"], found["stronger_right"]) == (0.6667, 1.0)
    gain = Gain.load(out.read_bytes(), found["sha256"])
    assert gain.predict(TASK, "an odd one 7") > gain.predict(TASK, "usual 8") + 0.3
    said = " ".join(tierqueue(*TRAIN, str(out)).split())
    assert f'[tasks."{TASK}".predictor] file = "{out}"' in said
    assert "gpu is right on 66.7% of such items, frontier on 100.0%" in said


def test_nothing_is_written_where_nobody_said_what_is_right_unless_the_stronger_is_believed(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    asked(ledger, 120)
    answer(ledger, told)
    out = tmp_path / "gain.safetensors"
    found = tierqueue.json(*TRAIN, str(out), status=1)
    assert (found["trained"], found["rows"]) == (False, 0)
    assert "--believe" in found["takes"]
    assert not out.exists()
    believed = tierqueue.json(*TRAIN, str(out), "--believe")
    assert (believed["rows"], believed["believed"]) == (120, 120)


@pytest.mark.parametrize(
    ("count", "tiers", "said"),
    [
        (30, ("gpu", "frontier"), "of 30 items it is known"),
        (120, ("gpu",), "no item was answered by two tiers"),
    ],
)
def test_too_little_trains_nothing_and_says_what_it_takes(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, count: int, tiers: Any, said: str
) -> None:
    asked(ledger, count, tiers)
    answer(ledger, told)
    judged(ledger)
    ended, out, err = tierqueue.run(*TRAIN, str(tmp_path / "g"))
    assert (ended, out) == (1, "")
    assert said in err
    assert "tierqueue eval" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--predictor", "--alpha", "0.1"), "--alpha is for a surrogate"),
        (("--believe",), "--believe is for --predictor"),
        (("--predictor", "--cheaper", "frontier", "--stronger", "gpu"), "is not above"),
        (("--predictor", "--argument", "txt"), "did you mean 'text'?"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    said = tierqueue.complaint("router", "train", TASK, "--out", str(tmp_path / "g"), *words)
    assert complaint in " ".join(said.split())
