"""Whatever a command is given, it ends with a line that says what is wrong, and no traceback."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tests.operations.cli.commands import commands

POLICY = ONE_DEPLOYMENT

ODD = (
    "",
    "-1",
    str(10**30),
    "1e400",
    "nan",
    "x" * 1_000_000,
    "not\udcffutf-8",
    "99999-12-31",
    f"{10**30}d",
    "@no-such-file",
)
"""What nobody means, and what fingers and scripts give all the same."""

LEFT_OUT = {"flower": "runs", "worker": "runs", "top": "as status", "migrate": "the test's ledger"}


def _usual(parameter: click.Parameter, file: Path) -> list[str]:
    """A value that a required parameter takes, where others are what is tried."""
    name, kind = str(parameter.name), parameter.type
    if isinstance(kind, click.Choice):
        return [str(kind.choices[0])]
    if isinstance(kind, click.IntRange | click.FloatRange):
        return [str(int(kind.min or 1))]
    if name in ("name", "task") and isinstance(parameter, click.Option):
        return ["tierqueue.classify"]
    if isinstance(kind, click.Path):
        return [str(file)]
    return {
        "scope": ["everything"],
        "limit": ["1usd"],
        "deployment": ["best"],
    }.get(name, ["1"])


def _calls(file: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Of each command each parameter with each odd value: its name, the value, the words."""
    for words, command in commands():
        name = " ".join(words)
        if name in LEFT_OUT:
            continue
        for tried in command.params:
            if isinstance(tried, click.Option) and tried.is_flag:
                continue
            others: list[str] = []
            for parameter in command.params:
                if parameter is not tried and parameter.required:
                    if isinstance(parameter, click.Option):
                        others.append(parameter.opts[0])
                    others += _usual(parameter, file)
            for odd in ODD:
                odd_words = [f"{tried.opts[-1]}={odd}"]
                if isinstance(tried, click.Argument):
                    odd_words = ["--", odd]
                yield f"{name} {tried.name}", odd, [*words, *others, *odd_words]


@pytest.mark.long
def test_every_option_of_every_command_takes_what_nobody_means_in_a_line(
    tierqueue: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text("text\nMy card is lost\n", encoding="utf-8")
    wrong: dict[str, str] = {}
    for name, odd, words in _calls(file):
        try:
            ended, _, err = tierqueue.run(*words)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a traceback
            wrong[f"{name} {odd[:30]!r}"] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if ended not in (0, 1, 2):
            wrong[f"{name} {odd[:30]!r}"] = f"exit {ended}"
        if ended == 2 and not re.search(r"(?im)^(error|usage)", err):
            wrong[f"{name} {odd[:30]!r}"] = f"says {err[:200]!r}"
        if len(err) > 5_000 or "?." in err:
            wrong[f"{name} {odd[:30]!r}"] = f"{len(err)} characters: {err[:200]!r}"
    assert not wrong, "\n".join(f"{what}: {how}" for what, how in wrong.items())
