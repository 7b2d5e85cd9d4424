"""An image that all rows of a job are asked about is named by its file."""

from pathlib import Path

import pytest

from tests.images import an_image
from tests.operations.cli.command import Command
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items


def test_one_image_of_all_rows_is_named_by_its_file(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.png").write_bytes(an_image(size=(64, 48)))
    (tmp_path / "asked.csv").write_text("question\nWhat is it?\nWho sent it?\n")
    words = ["job", "submit", "asked.csv", "--task", "tierqueue.ask_image"]
    told = tierqueue.json(*words, "--set", "image=@scan.png")
    assert (told["total"], told["malformed"]) == (2, 0)
    with ledger.read() as connection:
        found = connection.execute(items.select()).all()
    assert {row.arguments["question"] for row in found} == {"What is it?", "Who sent it?"}
    assert {row.arguments["image"].split(";")[1] for row in found} == {"64x48"}
    assert tierqueue.json(*words, "--set", "image=@scan.png")["reused"] == 2


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("scan.png", "image is an image: name its file, image=@FILE"),
        ("@", "image is an image: name its file, image=@FILE"),
        ("@none.png", "image: the image none.png is not there"),
    ],
)
def test_what_is_no_file_of_an_image_is_refused(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, said: str, why: str
) -> None:
    del ledger
    path = tmp_path / "asked.csv"
    path.write_text("question\nWhat is it?\n")
    words = ["job", "submit", str(path), "--task", "tierqueue.ask_image"]
    assert why in tierqueue.complaint(*words, "--set", f"image={said}")
