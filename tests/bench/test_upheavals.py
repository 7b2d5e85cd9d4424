"""A trouble of the run lasts until a call has met it: one that nobody met would prove nothing."""

import json
import threading
from pathlib import Path
from typing import cast

import pytest

from bench.chaos.plant import Plant
from bench.chaos.upheavals import Upheavals
from bench.chaos.watch import Watch
from tests.waiting import until


class Folder:
    """All that a trouble asks of the plant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def test_a_trouble_ends_with_the_first_call_that_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.chaos.upheavals.REVOKED", 0.0)
    log, troubles = tmp_path / "sandbox.jsonl", tmp_path / "troubles"
    log.write_text(json.dumps({"fault": "unauthorized"}) + "\n", encoding="utf-8")
    watch = Watch.__new__(Watch)
    told: list[str] = []
    monkeypatch.setattr(watch, "fault", lambda kind, **_: told.append(kind))
    revoked = threading.Thread(
        target=Upheavals(cast("Plant", Folder(tmp_path)), watch).key_revoked, daemon=True
    )
    revoked.start()
    until(troubles.exists)
    with log.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"fault": None}) + "\n")
    assert troubles.exists()
    with log.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"fault": "unauthorized"}) + "\n")
    revoked.join(10)
    assert not troubles.exists()
    assert told == ["key_revoked"]
