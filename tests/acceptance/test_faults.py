"""Whatever is killed, nothing is lost and nothing accepted twice; the checker sees when it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.chaos import storm, upheavals
from bench.checker import invariants
from bench.checker.invariants import check
from bench.checker.run import open_run
from bench.controls import bare_celery
from bench.faults import run as faults
from tests.ledger.placed import place
from tierqueue.ledger.session import Ledger

pytestmark = pytest.mark.timeout(900)

KILLS = 15
LEASE_SECONDS = 4.0
"""Seconds: on a busy machine too a worker that lives renews in time."""


@pytest.mark.processes
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_under_kills_and_other_faults(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a busy machine delays is no fault: how soon a claim recovers is the bench's to say.
    monkeypatch.setattr(storm, "AT_A_POINT", 90.0)
    monkeypatch.setattr(storm, "POISON_SECONDS", 120.0)
    monkeypatch.setattr(upheavals, "DRAIN", 90.0)
    monkeypatch.setattr(faults, "STORM_SECONDS", 600.0)
    monkeypatch.setattr(invariants, "RECOVERY", 60.0)
    found, figures = faults.run(
        tmp_path / database,
        database,
        seed=7,
        kills=KILLS,
        lease_seconds=LEASE_SECONDS,
        quiet_seconds=300.0,
    )
    assert found.by_invariant == {}, figures
    poisoned = figures["kills"]["poison"]
    assert poisoned <= storm.POISON_KILLS + figures["poison_spared"], figures
    # Both routing stages at once are two.
    assert figures["kills_total"] - poisoned <= KILLS - storm.POISON_KILLS + 1, figures
    assert figures["kills_with_claim"] >= figures["kills_total"] / 2
    assert figures["accepted"] > faults.BACKLOG
    assert figures["stale_writes_attempted"] > 0
    assert figures["ends"]["succeeded"] > figures["accepted"] / 2
    assert figures["ends"]["dead:poison"] >= 1


@pytest.mark.processes
def test_bare_celery_with_late_acks_does_what_the_checker_is_there_to_see(tmp_path: Path) -> None:
    found = bare_celery(tmp_path / "bare")
    assert set(found.by_invariant) == {"I2"}


def test_the_checker_misses_nothing_that_a_producer_was_promised(tmp_path: Path) -> None:
    line = '{"key": "k1", "how": "delay", "at": 1.0, "status": "%s"}\n'
    (tmp_path / "keys-1.jsonl").write_text(line % "ok", encoding="utf-8")
    found, figures = check(open_run(tmp_path, None), LEASE_SECONDS)
    assert figures["lost"] == 1
    assert _keys(found.by_invariant, "I1") == ["k1"]


def test_a_call_by_name_that_never_arrived_is_not_called_lost(tmp_path: Path) -> None:
    line = '{"key": "k1", "how": "name", "at": 1.0, "status": "unknown"}\n'
    (tmp_path / "keys-1.jsonl").write_text(line, encoding="utf-8")
    found, figures = check(open_run(tmp_path, None), LEASE_SECONDS)
    assert figures["lost"] == 0
    assert found.by_invariant == {}


def _keys(broken: dict[str, list[tuple[str, Any]]], invariant: str) -> list[str]:
    return [key for key, _ in broken[invariant]]


@pytest.mark.parametrize(
    ("reason", "ended", "died"),
    [
        ("exhausted", 105, 1),
        ("unknown", 105, 1),
        ("exhausted", 150, 0),
        ("cost_ceiling", 105, 0),
        ("refused", 119, 1),
    ],
)
def test_the_checker_lays_an_end_to_the_outage_it_came_in(
    tmp_path: Path, ledger: Ledger, ledger_url: str, reason: str, ended: int, died: int
) -> None:
    place(ledger, "dead", reason=reason, ended_at=ended * 1_000_000, submitted_at=1)
    line = '{"kind": "provider_outage", "since": 100, "at": 110}\n'
    (tmp_path / "faults.jsonl").write_text(line, encoding="utf-8")
    call = {"item": "i", "fence": 1, "model": "m", "started": 104, "ended": 104}
    calls = [json.dumps({**call, "fault": fault}) + "\n" for fault in ("503", "gateway")]
    (tmp_path / "sandbox.jsonl").write_text("".join(calls), encoding="utf-8")
    found, figures = check(open_run(tmp_path, ledger_url), LEASE_SECONDS)
    assert figures["died_of_outage"] == died
    assert len(found.by_invariant["I10"]) == died
    assert "bite" not in found.by_invariant


def test_an_outage_that_nobody_met_proves_nothing(tmp_path: Path) -> None:
    line = '{"kind": "key_revoked", "since": 100, "at": 110}\n'
    (tmp_path / "faults.jsonl").write_text(line, encoding="utf-8")
    found, _ = check(open_run(tmp_path, None), LEASE_SECONDS)
    assert _keys(found.by_invariant, "bite") == ["key_revoked"]
