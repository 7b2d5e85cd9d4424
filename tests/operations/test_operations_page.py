"""The page for the night names every finding and no command that is not there."""

import re
from pathlib import Path

import click
import pytest

from tierqueue.operations import diagnosis, health
from tierqueue.operations.cli import root
from tierqueue.operations.cli.output.status_screen import _HEAD, WIDTH
from tierqueue.tasks import findings

CODE = re.compile(r'code="([a-z_]+)"')


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_finding_has_its_line_and_no_other(page: str) -> None:
    package = Path(findings.__file__).parent
    sources = [*package.glob("*.py"), Path(health.__file__), Path(diagnosis.__file__)]
    codes = {code for path in sources for code in CODE.findall(path.read_text("utf-8"))}
    table = page[page.index("| code |") : page.index("`died` is wrong")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)} == codes


def test_every_command_on_it_exists(page: str) -> None:
    named = re.findall(r"`tierqueue ([a-z-]+)(?: ([a-z-]+))?", page)
    assert len(named) > 20
    for group, command in named:
        found = root.get_command(click.Context(root), group)
        assert found is not None, group
        if isinstance(found, click.Group) and command:
            assert command in found.commands, (group, command)


def test_its_screen_is_the_one_that_is_drawn(page: str) -> None:
    screens = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    assert _HEAD in screens[0].splitlines()
    for screen in screens:
        assert max(len(line) for line in screen.splitlines()) <= WIDTH
    assert len(screens[0].splitlines()) <= 24
    marks = {line[:5] for line in screens[1].splitlines()[1:]}
    assert (
        {"WRONG", "note ", "    ~", "    >"}
        <= marks
        <= {"WRONG", "note ", "    ~", "    >", "     "}
    )
