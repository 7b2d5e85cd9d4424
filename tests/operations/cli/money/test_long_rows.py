"""What a quote and a route say of texts that are longer than a piece of a document."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.kinds.job_document import JobDocument

POLICY = """
default_sensitivity = "internal"

[deployments.window]
tier = "open_weight"
engine = "openai"
model = "small"
boundary = "vendor:opens"
base_url = "https://opens.example/v1"
key_env = "OPENS_KEY"
context_window = 12000
prices = { input = "0.50", output = "0.50" }

[deployments.long]
tier = "frontier"
engine = "anthropic"
model = "large"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
prices = { input = "5", output = "25" }
"""
SENTENCE = "The rent is due on the first day of each month. "
SHORT, LONG, LONGER = (SENTENCE * times for times in (3, 1_000, 4_000))
FILE = ["quote", "leases.jsonl", "--task", "tierqueue.ask", "--set", "question=When?"]


def leases(folder: Path, *texts: str) -> None:
    lines = (json.dumps({"text": text}) for text in texts)
    (folder / "leases.jsonl").write_text("\n".join(lines) + "\n")


def test_a_quote_says_which_rows_would_cost_less_in_pieces(
    tierqueue: Command, tmp_path: Path
) -> None:
    leases(tmp_path, SHORT, LONG, LONG.upper())
    told = tierqueue.json(*FILE)
    assert [part["rows"] for part in told["parts"]] == [1, 2]
    found = told["in_pieces"]
    assert (found["long_rows"], found["cheaper_rows"], found["only_rows"]) == (2, 2, 0)
    (long,) = [part for part in told["parts"] if part["deployment"] == "long"]
    assert found["whole_nanousd"] == long["bound_nanousd"]
    assert found["bound_nanousd"] < found["whole_nanousd"]
    assert "2 rows would cost less in pieces" in " ".join(tierqueue(*FILE).split())


def test_a_quote_says_which_rows_can_be_done_in_pieces_alone(
    tierqueue: Command, tmp_path: Path
) -> None:
    leases(tmp_path, SHORT, LONGER)
    told = tierqueue.json(*FILE, status=1)
    assert told["refused"]["no_route"]["rows"] == 1
    assert (told["in_pieces"]["only_rows"], told["in_pieces"]["cheaper_rows"]) == (1, 0)
    assert "1 row can be done in pieces alone" in " ".join(tierqueue(*FILE, status=1).split())


def test_a_quote_of_short_rows_says_nothing_of_pieces(tierqueue: Command, tmp_path: Path) -> None:
    leases(tmp_path, SHORT)
    assert "in pieces" not in tierqueue(*FILE)
    assert tierqueue.json(*FILE)["in_pieces"]["long_rows"] == 0


def test_a_quote_in_pieces_counts_their_calls_and_refuses_nothing(
    tierqueue: Command, tmp_path: Path
) -> None:
    leases(tmp_path, SHORT, LONG, LONGER)
    told = tierqueue.json(*FILE, "--split", "cheaper")
    found = told["in_pieces"]
    assert (told["rows"], found["split_rows"], told["refused"]) == (3, 2, {})
    assert {part["deployment"] for part in told["parts"]} == {"window"}
    assert found["calls"] == sum(part["calls"] for part in told["parts"]) > 30
    assert told["bound_nanousd"] == sum(part["bound_nanousd"] for part in told["parts"])
    said = " ".join(tierqueue(*FILE, "--split", "always").split())
    assert "3 rows, 2 of them in pieces" in said
    assert "would cost less in pieces" not in said


def test_how_a_document_is_cut_is_said_with_split(tierqueue: Command, tmp_path: Path) -> None:
    leases(tmp_path, SHORT)
    status, _, err = tierqueue.run(*FILE, "--on-failure", "partial")
    assert status != 0
    assert "--on-failure: say --split" in err


@pytest.mark.parametrize("text", [LONG, LONGER])
def test_a_route_is_explained_both_ways(tierqueue: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "lease.txt").write_text(text)
    words = ["route", "--task", "tierqueue.ask", "--arg", "question=When?"]
    words += ["--arg", "text=@lease.txt"]
    status, out, _ = tierqueue.run(*words, "--explain")
    assert status == (1 if text == LONGER else 0)
    said = " ".join(out.split())
    assert "as a document: in pieces, with what joins them" in said
    assert "as a document" not in " ".join(tierqueue.run(*words)[1].split())
    asked = tierqueue.run(*words, "--json")[1]
    assert json.loads(asked)["document"].startswith("in pieces")


def test_an_item_shows_the_parts_of_its_document(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    leases(tmp_path, LONG)
    words = ["leases.jsonl", "--task", "tierqueue.ask", "--set", "question=When?"]
    job = tierqueue.json("job", "submit", *words, "--split", "always")["job"]
    (row,) = tierqueue.json("item", "list", "--job", job)
    assert "a document, in pieces of 8,000 characters" in tierqueue("item", "show", row["id"])
    with ledger.write() as connection:
        document = documents.waiting(connection, row["id"], lock=True)
        assert document is not None
        cut = JobDocument(document).cut()
        documents.cut(connection, document, cut, 1, 2_000_000_000_000_000)
    said = " ".join(tierqueue("item", "show", row["id"]).split())
    assert f"a document of {len(cut.spans)} pieces: {len(cut.spans)} items" in said
    assert "piece 1 0 to " in said
    told = tierqueue.json("item", "show", row["id"])["parts"]
    assert [(part["from"], part["to"]) for part in told][:2] == [(0, 1), (1, 2)]
    assert told[0]["start"] == 0
    shown = " ".join(tierqueue("item", "show", told[1]["id"]).split())
    assert f"of document {row['id']}: piece 2" in shown


def test_why_a_document_was_done_in_pieces(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    leases(tmp_path, LONG)
    words = ["leases.jsonl", "--task", "tierqueue.ask", "--set", "question=When?"]
    job = tierqueue.json("job", "submit", *words, "--split", "always")["job"]
    (row,) = tierqueue.json("item", "list", "--job", job)
    assert "nowhere yet" not in tierqueue("why", row["id"])
    with ledger.write() as connection:
        document = documents.waiting(connection, row["id"], lock=True)
        assert document is not None
        cut = JobDocument(document).cut()
        documents.cut(connection, document, cut, 1, 2_000_000_000_000_000)
        paid = update(items).where(items.c.part_of == row["id"]).values(spent=1_000_000, calls=2)
        connection.execute(paid)
        spent = len(cut.spans) * 1_000_000
        receipt: dict[str, str] = {}
        answer = {"text": "On the first."}, receipt
        ended = documents.DocumentEnd(answer, None, spent, None, "open_weight", "window")
        documents.end(connection, row["id"], ended, 2)
    pieces = len(cut.spans)
    for words in (["why", row["id"]], ["item", "show", row["id"]]):
        said = " ".join(tierqueue(*words).split())
        whole = f"{format_usd(NanoUSD(spent))} spent on {2 * pieces} calls"
        assert f"a document of {pieces} pieces: {pieces} items, {whole}" in said
        assert "nowhere yet" not in said
        assert "on 0 calls" not in said
    assert f"`tierqueue item show {row['id']}` lists them" in tierqueue("why", row["id"])
    told = tierqueue.json("why", row["id"])
    assert (told["spent_nanousd"], len(told["parts"])) == (spent, pieces)
    assert f"of document {row['id']}: piece 1" in tierqueue("why", told["parts"][0])


def test_characters_that_are_too_few_are_named_with_the_least(
    tierqueue: Command, tmp_path: Path
) -> None:
    path = tmp_path / "long.csv"
    path.write_text("text\nx\n", encoding="utf-8")
    words = ("job", "submit", str(path), "--task", "tierqueue.summarize", "--split", "always")
    said = tierqueue.complaint(*words, "--characters", "200")
    assert "--characters" in said
    assert "801" in said
