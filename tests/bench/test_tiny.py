"""The bench of the tiny ticket model: what it counts, and what it says of what is missing."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from bench import tiny
from bench.tiny import Judged, deciles, summary, table


def judged(margins: list[float], right: int) -> list[Judged]:
    """So many tickets, of which the last ones are right."""
    wrong = len(margins) - right
    return [
        Judged(valid=True, right=at >= wrong, margin=margin) for at, margin in enumerate(margins)
    ]


def test_an_invalid_answer_is_a_wrong_one() -> None:
    invalid = Judged(valid=False, right=False, margin=0.0)
    figures = summary([*judged([0.5, 0.9, 0.7], right=3), invalid])
    assert (figures["accuracy"], figures["valid"]) == (0.75, 0.75)


def test_deciles_are_of_one_size_and_the_lowest_margin_comes_first() -> None:
    parts = deciles(judged([(at * 37 % 100) / 100 for at in range(100)], right=50))
    assert [len(part) for part in parts] == [10] * 10
    assert [part[0].margin for part in parts] == [decile / 10 for decile in range(10)]
    assert summary(judged([at / 100 for at in range(100)], right=50))["accuracy_by_decile"] == (
        [0.0] * 5 + [1.0] * 5
    )


def test_fewer_tickets_than_deciles_leave_none_empty() -> None:
    few = judged([0.1, 0.2, 0.3], right=1)
    assert [len(part) for part in deciles(few)] == [1, 1, 1]
    assert len(list(table(few))) == 4


def test_an_engine_that_is_not_installed_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test.csv"
    test.write_text("text,category\nWhere is my card?,card_arrival\nHow old?,age_limit\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "argv", ["bench.tiny", "--test", str(test)])
    tiny.main()
    said = capsys.readouterr()
    figures = json.loads(said.out.splitlines()[-1])
    assert figures["rows"] == 2
    assert figures["vllm"] == {"missing": "vllm is not installed: `make engine` installs it"}
    assert "llama_cpp: not measured, xllamacpp is not installed: `make setup`" in said.err
