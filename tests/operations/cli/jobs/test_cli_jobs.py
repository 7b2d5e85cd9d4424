"""Jobs that stopped half way, and files of results that are what their names say."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import ForkServer
from tests.ledger.moves import Moves, new_item
from tests.ledger.placed import commit
from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tests.operations.cli.terminal import in_terminal
from tests.tasks.jobs.answered import REFUSED, answer
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items as rows
from tierqueue.operations.cli.output import job_progress, printing


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def _half_submitted(moves: Moves, seconds_ago: int) -> str:
    """A job of 40,000 rows of which two are there, and were answered."""
    with moves.ledger.write() as connection:
        at = moves.now() - seconds_ago * 1_000_000
        job_id = jobs.create(
            connection, task="t", source="tickets.csv", max_cost=None, now=at, total=40_000
        )
        commit(connection, [new_item(job_id=job_id, job_index=n) for n in range(2)])
        ended: dict[str, Any] = {"state": "succeeded", "submitted_at": at, "ended_at": at}
        connection.execute(rows.update().values(**ended, output={"text": "half \ud83d"}))
        connection.execute(
            rows.update().where(rows.c.job_index == 1).values(output={"text": '=1+1\nü,"x"'})
        )
    return job_id


def test_how_a_job_gets_on_fits_the_terminal(
    tierqueue: Command, moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _half_submitted(moves, seconds_ago=120)
    whole = tierqueue("job", "show", job_id)
    monkeypatch.setattr(printing, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    said = tierqueue("job", "show", job_id)
    assert max(map(len, said.splitlines())) <= 80 < max(map(len, whole.splitlines()))
    assert said.split() == whole.split()


def test_a_job_whose_submission_was_killed_is_said_to_be_incomplete(
    tierqueue: Command, moves: Moves
) -> None:
    job_id = _half_submitted(moves, seconds_ago=120)
    status, out, err = tierqueue.run("job", "watch", job_id)
    assert (status, "2 of 40000 rows ended" in out) == (1, True)
    assert "39998 not submitted" in out
    assert "is incomplete: 2 of 40000 rows were submitted" in err
    assert f"tierqueue job cancel {job_id}" in err
    status, out, _ = tierqueue.run("job", "watch", job_id, "--json")
    told = json.loads(out)
    assert (status, told["incomplete"], told["submitted"], told["total"]) == (1, True, 2, 40_000)
    assert tierqueue.json("job", "list")[0]["state"] == "incomplete"
    status, out, _ = tierqueue.run("doctor")
    assert status == 1
    assert f"job {job_id} (tickets.csv) is incomplete: 2 of 40,000 rows" in " ".join(out.split())
    tierqueue("job", "cancel", job_id)
    assert "is incomplete" not in " ".join(tierqueue.run("doctor")[1].split())


def test_a_job_that_is_being_submitted_is_not_incomplete(tierqueue: Command, moves: Moves) -> None:
    _half_submitted(moves, seconds_ago=1)
    assert tierqueue.json("job", "list")[0]["state"] == "submitting"
    assert "is incomplete" not in " ".join(tierqueue.run("doctor")[1].split())


def test_results_are_of_the_kind_that_the_name_of_their_file_says(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    job_id = _half_submitted(moves, seconds_ago=1)
    for name in ("x.jsonl", "x.ndjson", "x.csv", "x.CSV"):
        tierqueue("job", "results", job_id, "-o", str(tmp_path / name))
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines()]
    assert [line["output"]["text"] for line in lines] == ["half \ud83d", '=1+1\nü,"x"']
    assert (tmp_path / "x.ndjson").read_bytes() == (tmp_path / "x.jsonl").read_bytes()
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    assert [cell["index"] for cell in cells] == ["0", "1"]
    assert [json.loads(cell["output"]) for cell in cells] == [line["output"] for line in lines]
    assert [(cell["state"], cell["error"]) for cell in cells] == [("succeeded", "")] * 2
    assert (tmp_path / "x.CSV").read_bytes() == (tmp_path / "x.csv").read_bytes()
    assert len(tierqueue("job", "results", job_id).splitlines()) == 2
    assert tierqueue("job", "results", job_id, "--format", "csv").startswith("index,item,state,")


def test_results_of_no_known_kind_are_refused_before_a_file_is_made(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    job_id = _half_submitted(moves, seconds_ago=1)
    path = tmp_path / "x.xlsx"
    assert "say --format" in tierqueue.complaint("job", "results", job_id, "-o", str(path))
    assert not path.exists()
    tierqueue("job", "results", job_id, "-o", str(path), "--format", "csv")
    assert path.read_text().startswith("index,item,state,")
    missing = str(tmp_path / "missing" / "x.csv")
    assert "cannot write" in tierqueue.complaint("job", "results", job_id, "-o", missing)


def test_a_job_gives_its_file_back_with_the_answers_beside_its_columns(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    path, to = tmp_path / "tickets.csv", tmp_path / "answers.csv"
    path.write_bytes(b"id;body\r\n0007;My card\r\n8;?\r\n")
    words = ("--task", "tierqueue.classify", "--column", "body", "--set", "labels=a,b")
    job_id = tierqueue.json("job", "submit", str(path), *words)["job"]
    answer(moves.ledger, lambda said: REFUSED if said["text"] == "?" else {"label": "a"})
    status, out, err = tierqueue.run("job", "results", job_id[:18], "--to", str(to))
    assert (status, out) == (0, "")
    assert f"job {job_id}: 2 rows: 1 succeeded, 1 rejected; 12 tokens; $0.000002" in err
    header, first, second = to.read_bytes().decode().split("\r\n")[:3]
    assert header == "id;body;output_label;error;tier;cost;item"
    assert first.startswith("0007;My card;a;;gpu;")
    assert second.startswith("8;?;;rejected: no label fits;gpu;")
    (line, _) = tierqueue("job", "results", job_id, "--format", "jsonl").splitlines()
    assert json.loads(line)["output"] == {"label": "a"}
    assert tierqueue("job", "results", job_id, "--key", "id").startswith("id;output_label;error;")
    alone = tierqueue("job", "results", job_id, "--without-source").splitlines()
    assert json.loads(alone[0])["index"] == 0
    said = tierqueue.complaint("job", "results", job_id, "--to", str(path))
    assert "is the source itself" in said
    path.write_bytes(path.read_bytes().replace(b"My card", b"My cat"))
    status, _, err = tierqueue.run("job", "results", job_id, "--to", str(to))
    assert (status, "1 changed since" in err) == (1, True)
    path.unlink()
    status, _, err = tierqueue.run("job", "results", job_id, "--to", str(tmp_path / "none.csv"))
    assert (status, "--source FILE where it is now" in err) == (2, True)
    assert not (tmp_path / "none.csv").exists()


def test_a_sample_says_what_the_file_will_come_to_and_the_job_goes_on(
    tierqueue: Command, moves: Moves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, policy = tmp_path / "tickets.csv", tmp_path / "policy.toml"
    path.write_text("id,body\n" + "".join(f"{n},ticket {n:03}\n" for n in range(100)), "utf-8")
    policy.write_text(ONE_DEPLOYMENT, "utf-8")
    monkeypatch.setenv("TIERQUEUE_POLICY", str(policy))
    spent = 2_000_000
    follow = job_progress.follow

    def answered(*asked: Any, **how: Any) -> jobs.JobProgress:
        answer(moves.ledger, lambda said: {"label": "a"}, spent=spent)
        return follow(*asked, **how)

    monkeypatch.setattr(job_progress, "follow", answered)
    words = ("--task", "tierqueue.classify", "--column", "body", "--set", "labels=a,b")
    told = tierqueue.json("job", "submit", str(path), *words, "--sample", "10")
    assert (told["sampled"], told["total"], told["accepted"]) == (10, 100, 10)
    assert (told["tiers"], told["expected_nanousd"]) == ({"gpu": 10}, 100 * spent)
    assert told["low_nanousd"] <= told["expected_nanousd"] <= told["high_nanousd"]
    assert (told["ceilings_count"], told["cash"]["expected_nanousd"]) == ("cash", 100 * spent)
    assert told["engines"]["expected_hours"] == 0
    assert tierqueue.json("job", "list")[0]["state"] == "sampled"
    assert "is incomplete" not in " ".join(tierqueue.run("doctor")[1].split())
    shown = tierqueue("job", "submit", str(path), *words, "--sample", "10")
    assert "10 of 10 accepted; answered by gpu 10" in shown
    assert "whole file of 100 rows: about $0.2" in shown
    assert "leaves the account: $0.2" in shown
    assert f"tierqueue job continue {told['job']}" in shown
    done = tierqueue("job", "continue", told["job"], "--watch")
    assert f"job {told['job']}: 100 rows, 90 new" in done
    assert tierqueue.json("job", "list")[0]["state"] == "ended"
    assert "has no rows to come" in tierqueue.complaint("job", "continue", told["job"])


def test_errors_are_told_in_groups_and_some_of_them_are_asked_again(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("body\n" + "".join(f"ticket {n}\n" for n in range(20)), "utf-8")
    words = ("--task", "tierqueue.classify", "--column", "body", "--set", "labels=a,b")
    submitted = tierqueue.json("job", "submit", str(path), *words, "--max-cost", "0.0001usd")
    job_id = submitted["job"]
    answer(moves.ledger, lambda said: {**REFUSED, "bound": 10_000})
    (group,) = tierqueue.json("job", "errors", job_id)
    assert (group["reason"], group["rows"], group["bound_nanousd"]) == ("rejected", 20, 200_000)
    assert "no label fits" in tierqueue("job", "errors", job_id)
    said = tierqueue("job", "errors", job_id, "--replay", "5")
    assert "would replay 5 dead letters, at most $0.00005 for one call each; say --yes" in said
    said = tierqueue("job", "errors", job_id, "--replay", "all")
    assert "the job's ceiling has $0.00008 left, which is less" in said
    done = tierqueue.json("job", "errors", job_id, "--group", "1", "--replay", "10%", "--yes")
    assert (done["matching"], done["done"], done["headroom_nanousd"]) == (2, 2, 80_000)
    assert tierqueue.json("job", "errors", job_id)[0]["rows"] == 18
    assert "no such line" in tierqueue.complaint("job", "errors", job_id, "--group", "2")
    for wrong in ("some", "0", "-1", "%"):
        assert "say a number of rows" in tierqueue.complaint(
            "job", "errors", job_id, f"--replay={wrong}"
        )


@pytest.mark.processes
def test_jobs_are_listed_with_their_file_and_state_on_80_columns(
    forks: ForkServer, tierqueue: Command, ledger: Ledger
) -> None:
    with ledger.write() as connection:
        now = database_now(connection)
        job_id = jobs.create(
            connection,
            task="tierqueue.classify",
            source="tickets.csv",
            total=40_000,
            max_cost=None,
            now=now,
        )
    said = in_terminal(forks, 80, "job", "list")
    head, line, *_ = said.splitlines()
    names = ["id", "file", "rows", "done", "failed", "cost", "state", "age"]
    assert [name for name in names if name not in head] == []
    assert "tickets.csv" in line
    assert "40,000" in line
    beginning = line.split()[0]
    assert job_id.startswith(beginning)
    assert tierqueue.json("job", "show", beginning)["job"] == job_id
    assert job_id in tierqueue("job", "list")
