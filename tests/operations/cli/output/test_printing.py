"""Tables in a real terminal, wide and narrow, and in a pipe; texts that would steer a terminal."""

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.fork_server import ForkServer
from tests.ledger.moves import Moves, settlement
from tests.ledger.placed import commit
from tests.operations.cli.command import Command
from tests.operations.cli.terminal import in_terminal, piped
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle.items import Death, die, new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.operations import cli
from tierqueue.operations.cli.output import printing
from tierqueue.operations.cli.output.escapes import json_line, visible
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule
from tierqueue.tasks import classify

STEERING = "\x1b[31macme\x1b[0m\r\x9b2J\u202eemca\u2066 [bold]x[/bold]\ttab\nline\x07"
SGR = re.compile(r"\x1b\[[0-9;]*m")
SPENT = 1_234_567_890_123


@pytest.fixture
def tierqueue(command: Callable[[str], Command], sqlite_url: str) -> Command:
    return command(sqlite_url)


@pytest.fixture
def filled(tierqueue: Command, sqlite_url: str) -> list[str]:
    """A ledger with a ceiling, money and dead letters, one with a budget that steers terminals."""
    ledger = Ledger(sqlite_url)
    moves = Moves(ledger)
    [claim] = moves.running(budget="acme")
    moves.settle(settlement(claim, cost=SPENT, simulated=False))
    ids = [new_id(), new_id()]
    with ledger.write() as connection:
        now = database_now(connection)
        for name in ("acme", STEERING):
            rule = CeilingRule.model_construct(
                scope="budget", name=name, window="day", timezone="UTC", limit=NanoUSD(2 * SPENT)
            )
            books.put(connection, rule, by=STEERING, now=now)
            need = books.Need("i", 1, SPENT, [("budget", name)])
            books.hold(connection, now, [need])
        for item_id in ids:
            call = {"text": "a secret", "labels": ["a", "b"], "budget": STEERING}
            commit(connection, [classify.new_item((), call, item_id=item_id)])
            why = f"ceiling budget:{STEERING}:day would be passed by this very item, so it ended"
            die(connection, [Death(item_id, "cost_ceiling", why, {})], now)
    ledger.close()
    return ids


LISTS = [["ceilings", "list"], ["dead-letters", "list"], ["spend", "--by", "budget"]]


@pytest.mark.processes
@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_table_fits_the_terminal_and_money_and_what_names_an_item_stay_whole(
    forks: ForkServer, filled: list[str], words: list[str], columns: int
) -> None:
    shown = SGR.sub("", in_terminal(forks, columns, *words))
    # At least their millisecond.
    begins = [item_id[:13] for item_id in filled]
    wanted = begins if words[0] == "dead-letters" else ["$1,234.567890123"]
    for whole in wanted:
        assert whole in shown
    if "not shown" in shown or columns == 200:
        table = shown.split("not shown")[0]
        assert all(cell_len(line.rstrip()) <= columns for line in table.splitlines())


@pytest.mark.processes
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_pipe_gets_every_column_as_plain_lines(filled: list[str], words: list[str]) -> None:
    head, *rows = piped(*words).splitlines()
    names = head.split("\t")
    assert len(names) >= 7
    table = [row.split("\t") for row in rows if "\t" in row]
    assert table
    assert all(len(row) == len(names) for row in table)
    assert not re.search(r"[─│┃━█]|  ", head)
    assert all(line == line.strip(" ") for line in (head, *rows))


@pytest.mark.processes
def test_a_narrow_terminal_is_told_what_it_does_not_show(
    forks: ForkServer, filled: list[str]
) -> None:
    narrow = in_terminal(forks, 80, "dead-letters", "list")
    _, said, hidden = narrow.partition("not shown, the terminal is too narrow: ")
    assert said
    assert all(cell_len(line) <= 80 for line in (said + hidden).splitlines())
    assert "not shown" not in in_terminal(forks, 250, "dead-letters", "list")


@pytest.mark.processes
def test_a_sentence_below_a_table_breaks_between_words(
    forks: ForkServer, filled: list[str]
) -> None:
    words = ["concurrency", "set", "gpu", "4"]
    (said,) = [line for line in in_terminal(forks, 200, *words).splitlines() if "no worker" in line]
    narrow = in_terminal(forks, 60, *words).splitlines()
    assert said in " ".join(narrow)
    assert all(cell_len(line) <= 60 for line in narrow)


@pytest.mark.processes
def test_a_row_that_no_line_holds_is_lines_of_its_own(forks: ForkServer, filled: list[str]) -> None:
    shown = in_terminal(forks, 30, "dead-letters", "list")
    assert all(f"id: {item_id[:13]}" in shown for item_id in filled)
    assert "reason: cost_ceiling\n" in shown


@pytest.mark.processes
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(
    forks: ForkServer, filled: list[str], environment: dict[str, str]
) -> None:
    assert "\x1b" in in_terminal(forks, 120, "ceilings", "list")
    assert "\x1b" not in in_terminal(forks, 120, "ceilings", "list", environment=environment)


@pytest.mark.processes
def test_a_pipe_gets_no_colours_though_the_environment_forces_them(filled: list[str]) -> None:
    assert "\x1b" not in piped("ceilings", "list", environment={"FORCE_COLOR": "1"})


COMMANDS = [
    *LISTS,
    ["ceilings", "history"],
    ["ceilings", "list", "--json"],
    ["dead-letters", "list", "--json"],
    ["item", "show", "ID"],
    ["item", "show", "ID", "--json"],
    ["pause", "list"],
    ["pause", "list", "--json"],
]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_text_from_outside_is_printed_raw(
    tierqueue: Command,
    filled: list[str],
    words: list[str],
    terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tierqueue("pause", "budget", STEERING)
    monkeypatch.setattr(printing, "on_terminal", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "250")
    shown = SGR.sub("", tierqueue(*(filled[0] if word == "ID" else word for word in words)))
    assert raw(shown) == []
    assert "spend" in words or "[bold]x[/bold]" in " ".join(shown.split())


def raw(shown: str) -> list[str]:
    """What would steer a terminal; lines end, and a pipe's columns are told apart by tabs."""
    return [c for c in shown if c not in "\n\t" and unicodedata.category(c)[0] == "C"]


@pytest.mark.parametrize(
    "words",
    [
        ["item", "show", STEERING],
        ["ceilings", "set", STEERING, "day", "1usd"],
        ["ceilings", "set", "budget:a", STEERING, "1usd"],
        ["quote", STEERING, "--task", STEERING],
        [STEERING],
        ["pause", "task", STEERING],
        ["spend", f"--{STEERING}"],
        ["spend", "--since", STEERING],
    ],
    ids=range(8),
)
def test_no_error_says_a_text_from_outside_raw(tierqueue: Command, words: list[str]) -> None:
    assert raw(tierqueue.complaint(*words)) == []


def test_no_other_text_is_said_in_an_error_about_its_encoding(
    monkeypatch: pytest.MonkeyPatch, tierqueue: Command
) -> None:
    def fails(*_: object) -> None:
        "a secret \ud83d".encode()

    monkeypatch.setattr("tierqueue.ledger.accounting.audit.audit", fails)
    with pytest.raises(UnicodeEncodeError):
        tierqueue.run("audit")


@pytest.mark.processes
def test_a_text_that_the_locale_cannot_write_is_escaped(filled: list[str]) -> None:
    said = piped("pause", "budget", "☕", environment={"PYTHONIOENCODING": "latin-1"})
    assert said == "budget \\u2615 is paused\n"


def test_an_argument_that_is_not_utf8_is_one_line(tierqueue: Command) -> None:
    complaint = tierqueue.complaint("item", "show", os.fsdecode(b"caf\xe9"))
    assert complaint == "error: 'caf\\udce9' is not text: the ledger holds UTF-8 alone\n"


@given(st.text(st.characters()))
def test_visible_text_steers_nothing_and_keeps_what_is_harmless(text: str) -> None:
    shown = visible(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    shown.encode()
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


@given(st.recursive(st.text(st.characters()) | st.integers() | st.none(), st.lists, max_leaves=5))
def test_json_says_the_same_with_every_such_character_escaped(value: object) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert visible(line) == line


def test_emoji_and_scripts_that_need_joiners_stay_as_they_are() -> None:
    assert visible("👩‍💻 می‌خواهم 10 €") == "👩‍💻 می‌خواهم 10 €"


def test_every_command_prints_by_the_one_place() -> None:
    modules = sorted(Path(cli.__file__).parent.rglob("*.py"))
    assert len(modules) > 20
    elsewhere = [
        path.name
        for path in modules
        if path.name not in ("printing.py", "job.py", "job_progress.py")
        and re.search(r"click\.s?echo|\bprint\(|sys\.stdout\.write", path.read_text("utf-8"))
    ]
    assert elsewhere == []
