"""Questions to documents: by turns, cut to the window, sorted by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.engine import documents


def a_meeting(name: str, questions: int) -> dict[str, Any]:
    asked = [{"query": f"what of {name} {at}?", "answer": ""} for at in range(questions)]
    said = [{"speaker": name, "content": "word " * 50} for _ in range(100)]
    return {
        "meeting_transcripts": said,
        "general_query_list": asked[:1],
        "specific_query_list": asked[1:],
    }


def test_documents_take_turns_and_fit_the_window(tmp_path: Path) -> None:
    meetings = [a_meeting("A", 3), a_meeting("B", 1)]
    lines = "".join(json.dumps(meeting) + "\n" for meeting in meetings)
    (tmp_path / "val.jsonl").write_text(lines, encoding="utf-8")
    rows = documents.rows(tmp_path, 2048, 32, "salt")
    assert [row["question"] for row in rows] == [
        "what of A 0?",
        "what of B 0?",
        "what of A 1?",
        "what of A 2?",
    ]
    assert {len(row["document"]) for row in rows} == {2048 - 32 - documents.AROUND}
    assert all(row["document"].startswith("salt\n") for row in rows), "no hit of another run"
    together = [row["question"][8] for row in documents.grouped(rows)]
    assert together in (list("AAAB"), list("BAAA"))


def test_a_folder_without_meetings_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no meetings"):
        documents.rows(tmp_path, 2048, 32, "salt")
