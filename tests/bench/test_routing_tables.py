"""The tables of the routing bench: what is dropped, and what a curve is."""

from pathlib import Path

import pytest

from bench.routing.tables import curve, figures, gsm8k, mmlu
from tierqueue.router.learned.gain_training import LabelledPair


def test_contaminated_prompts_are_dropped_and_the_domain_is_the_task_type(tmp_path: Path) -> None:
    (tmp_path / "mmlu").mkdir()
    table = "prompt,weak,strong\nseen,True,True\nfresh,False,True\n"
    (tmp_path / "mmlu" / "mmlu_logic.csv").write_text(table)
    (tmp_path / "mmlu_contaminated_prompts.jsonl").write_text('{"eval_prompt": "seen"}\n')
    assert mmlu(tmp_path) == [LabelledPair("logic", "fresh", False, True)]
    (tmp_path / "gsm8k_responses.csv").write_text("prompt,weak,strong,a,b\n1+1,True,False,x,y\n")
    (tmp_path / "gsm8k_contaminated_prompts.jsonl").write_text("")
    assert gsm8k(tmp_path) == [LabelledPair("gsm8k", "1+1", True, False)]


def test_who_knows_the_gain_recovers_it_first() -> None:
    rows = [LabelledPair("t", str(at), at % 4 != 0, True) for at in range(100)]
    known = figures([row.gain for row in rows], rows)
    blind = figures([0.0] * 100, rows)
    assert known["cpt50"] == pytest.approx(13)
    assert known["apgr"] == pytest.approx(0.875, abs=0.01)
    assert blind["apgr"] == pytest.approx(0.5, abs=0.02)
    assert curve([0.0] * 100, rows)[-1] == 1.0
