"""What a way of asking has come to: right, paid, timed, and what has failed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.evaluation.answering import answer
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.tasks import classify
from tierqueue.tasks.evaluation.labelled_set import LabelledSet
from tierqueue.tasks.evaluation.ways import Way, measured

TEXTS = "text,label\na card,card\na card,card\nmy login,login\nwhat?,card\nhm,login\n,card\n"


def told(tier: str, arguments: Mapping[str, Any]) -> str | None:
    text = str(arguments["text"])
    if text == "what?":
        return None if tier == "gpu" else "card"
    return "card" if "card" in text or text == "hm" else "login"


def asked(ledger: Ledger, tmp_path: Path, tier: Tier | None) -> Way:
    path = tmp_path / "set.csv"
    path.write_text(TEXTS, encoding="utf-8")
    labelled = LabelledSet(classify, path, {"labels": ["card", "login"]}, "label", column="text")
    job = labelled.submission(tier).submit(
        ledger, lambda: None, max_cost=None, progress=lambda _committed, _total: None
    )
    answer(ledger, told)
    return measured(ledger, labelled, "x", job.id)


def test_a_tier_alone_is_wrong_where_its_answer_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    way = asked(ledger, tmp_path, Tier.GPU)
    assert [row.right for row in way.rows.values()] == [True, True, True, False, False, False]
    assert way.failed == {"rejected": 1, "invalid": 1}
    assert way.accepted == 4
    # Two rows ask the same, which is paid once.
    assert way.cost == 4 * 100
    assert way.tokens == pytest.approx(4 * 12 / 4)
    assert way.escalated == 0
    assert way.seconds() == (0.5, 0.5)
    assert way.simulated


def test_the_ladder_pays_for_every_tier_that_it_asked(ledger: Ledger, tmp_path: Path) -> None:
    way = asked(ledger, tmp_path, None)
    assert [row.right for row in way.rows.values()] == [True, True, True, True, False, False]
    assert way.cost == 4 * 100 + 1_000
    assert way.escalated == pytest.approx(1 / 6)


def test_the_same_again_pays_nothing_and_each_way_is_asked_for_itself(
    ledger: Ledger, tmp_path: Path
) -> None:
    first = asked(ledger, tmp_path, Tier.GPU)
    again = asked(ledger, tmp_path, Tier.GPU)
    assert (again.cost, again.right) == (first.cost, first.right)
    assert again.job != first.job
    assert answer(ledger, told) == 0
    assert asked(ledger, tmp_path, Tier.FRONTIER).cost == 4 * 1_000
