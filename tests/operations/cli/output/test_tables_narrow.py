"""Tables at 80 columns, with values as long as real ones: what is hidden is named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.operations.cli.output.test_simulated_labelled import Filled
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items, jobs
from tierqueue.operations.cli.input import names
from tierqueue.operations.cli.output import printing

LONG = "acme.support.tickets.sort_into_departments"
HUGE = 123_456_789_012_345

TABLES = {
    "ceilings history": (),
    "ceilings list": (),
    "concurrency show": (),
    "dead-letters list": (),
    "item list": (),
    "job list": (),
    "limits show": (),
    "pause list": (),
    "prompts": (),
    "router compare": ("tierqueue.classify",),
    "spend": ("--by", "task"),
}
"""Commands that print a table, and what they need."""


@pytest.fixture
def tierqueue(command: Callable[[str], Command], sqlite_url: str) -> Command:
    return command(sqlite_url)


@pytest.fixture
def filled(tierqueue: Command, sqlite_url: str, tmp_path: Path) -> None:
    here = Filled(sqlite_url, tierqueue, tmp_path, simulated=True)
    tierqueue("ceilings", "set", f"budget:{LONG}", "day", "123456.789012345usd")
    tierqueue("pause", "budget", LONG)
    tierqueue("limits", "set", "best", "requests_per_minute", "40")
    ledger = Ledger(sqlite_url)
    with ledger.write() as connection:
        connection.execute(jobs.update().values(task=LONG, source=f"{LONG}.csv"))
        connection.execute(items.update().values(spent=HUGE, budget=LONG))
        dead = items.update().where(items.c.id == here.dead)
        connection.execute(dead.values(task=LONG, prompt="prompt-0123456789ab"))
    ledger.close()


@pytest.mark.parametrize("name", TABLES)
def test_nothing_of_a_table_is_hidden_without_a_word(
    tierqueue: Command, filled: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    words = (*name.split(), *TABLES[name])
    head, *rows = tierqueue(*words).splitlines()
    columns = [column for column in head.split("\t") if column]
    cells = [row.split("\t") for row in rows if row.count("\t") == head.count("\t")]
    assert cells, rows
    monkeypatch.setattr(printing, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", tierqueue(*words))
    said = " ".join(shown.split())
    hidden = re.search(r"not shown, the terminal is too narrow: (.*?); a pipe \(\| cat\)", said)
    told = hidden[1].split(", ") if hidden else []
    for number, column in enumerate(columns):
        if any(row[number] for row in cells):
            assert column in told or column in shown, (column, shown)
    assert len(told) == len(set(told))
    identity = [row[0][:13] if columns[0] == "id" else row[0] for row in cells]
    assert all(one in shown for one in identity), (identity, shown)


def test_an_item_of_a_terminal_is_named_as_far_as_it_takes_and_its_task_and_tier_are_seen(
    tierqueue: Command, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(sqlite_url)
    ids = (
        "01a1fb7f-603c-71c9-9671-39b7af6c9a05",
        "01a1fb7f-603c-71c9-a671-39b7af6c9a05",
        "01a1fb7f-7000-71c9-a671-39b7af6c9a05",
    )
    for item_id in ids:
        place(ledger, "succeeded", id=item_id, task="tierqueue.classify", tier="open_weight")
    ledger.close()
    monkeypatch.setattr(printing, "on_terminal", lambda: True)
    monkeypatch.setattr(names, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = tierqueue("item", "list")
    said = [line.split()[0] for line in shown.splitlines() if line.startswith("01a1")]
    assert sorted(said) == [ids[0][:20], ids[1][:20], ids[2][:13]]
    assert "tierqueue.classify" in shown
    assert "open_weight" in shown
    for beginning in said:
        assert beginning in tierqueue("item", "show", beginning)


def test_who_changed_a_ceiling_is_seen_beside_it(
    tierqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tierqueue("ceilings", "set", "budget:support", "month", "1500usd", "--by", "ada.lovelace")
    monkeypatch.setattr(printing, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = tierqueue("ceilings", "history")
    assert "ada.lovelace" in shown
    assert "budget:support" in shown
