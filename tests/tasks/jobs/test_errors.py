"""Errors in groups: what failed alike is told once, and some of it can be asked again."""

from pathlib import Path

import pytest

from tests.tasks.jobs.answered import answer
from tierqueue.ledger.session import Ledger
from tierqueue.tasks import complete
from tierqueue.tasks.jobs import errors as module
from tierqueue.tasks.jobs.errors import groups, kind_of
from tierqueue.tasks.jobs.submission import Submission


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("line 12: text: not JSON", "line N: text: not JSON"),
        ("item 01a1fb7f-603c-71c9-9671-39b7af6c9a05 costs 1,200.5", "item ID costs N"),
        ("no label 'billing' of \"mine\"", "no label … of …"),
    ],
)
def test_what_is_one_rows_own_is_no_part_of_a_kind_of_error(message: str, kind: str) -> None:
    assert kind_of(message) == kind


def _job(ledger: Ledger, tmp_path: Path) -> str:
    path = tmp_path / "work.jsonl"
    rows = [f'{{"prompt": "{word} {n}"}}' for n in range(4) for word in ("cut", "odd", "fine")]
    path.write_text("\n".join([*rows, rows[0], "{", "{not"]), "utf-8")
    made = Submission(complete, path, {})
    job = made.submit(ledger, lambda: None, max_cost=None, progress=lambda *_: None)
    words = {"cut": ("rejected", "cut off at 16"), "odd": ("exhausted", "3 calls: 'x'")}

    def told(arguments: object) -> dict[str, object]:
        word = str(arguments["prompt"]).split()[0]  # type: ignore[index]
        if word == "fine":
            return {"text": "fine"}
        reason, message = words[word]
        return {"state": "dead", "reason": reason, "error": {"message": message}, "bound": 70}

    answer(ledger, told, spent=10)
    return job.id


def test_rows_that_failed_alike_are_one_group_with_an_example_and_their_cost(
    ledger: Ledger, tmp_path: Path
) -> None:
    cut, odd, malformed = groups(ledger, _job(ledger, tmp_path))
    assert (cut.reason, cut.kind, cut.rows, len(cut.items)) == ("rejected", "cut off at N", 5, 4)
    assert (cut.cost, cut.bound, cut.example[0]) == (40, 280, 0)
    assert (odd.reason, odd.kind, odd.rows) == ("exhausted", "N calls: …", 4)
    assert (malformed.reason, malformed.rows, malformed.items) == ("invalid", 2, {})
    ids, bound = cut.some(2)
    assert (len(ids), bound) == (2, 140)
    assert cut.some(3)[0][:2] == ids


def test_very_many_kinds_of_error_are_one_group_a_reason(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 1)
    assert [(group.reason, group.kind) for group in groups(ledger, _job(ledger, tmp_path))] == [
        ("rejected", "cut off at N"),
        ("exhausted", "other errors"),
        ("invalid", "other errors"),
    ]
