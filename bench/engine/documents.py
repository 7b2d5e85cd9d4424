"""Questions to documents: rows that share long prefixes, as QMSum's meeting transcripts do."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

AROUND = 850
"""Tokens beside a document, a byte a token: instruction, template, question, the answer's limit."""


def rows(folder: Path, window: int, tokens: int, salt: str) -> list[dict[str, Any]]:
    """One row for each question, the documents taking turns; cut to a ``window`` of tokens.

    ``folder`` holds ``.jsonl`` files of meetings with ``meeting_transcripts`` and queries.
    """
    meetings = [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    if not meetings:
        raise SystemExit(f"{folder} holds no meetings: a folder like QMSum's, with .jsonl files")
    asked = [_questions(meeting, window - tokens - AROUND, tokens, salt) for meeting in meetings]
    return [row for turn in zip_longest(*asked) for row in turn if row is not None]


def _questions(meeting: Any, most: int, tokens: int, salt: str) -> list[dict[str, Any]]:
    said = meeting["meeting_transcripts"]
    # A new run is no hit of the last one's: the salt stands before what is shared.
    text = f"{salt}\n" + "\n".join(f"{turn['speaker']}: {turn['content']}" for turn in said)
    document = text.encode()[:most].decode(errors="ignore")
    queries = [*meeting["general_query_list"], *meeting["specific_query_list"]]
    return [
        {"question": query["query"][:160], "tokens": tokens, "document": document}
        for query in queries
    ]


def grouped(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows, those of one document together."""
    return sorted(some, key=lambda row: str(row["document"]))
