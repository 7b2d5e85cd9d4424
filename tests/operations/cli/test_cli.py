"""The command ``tierqueue``: helpful, clear about what is wrong, never a traceback."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.operations.cli.commands import commands
from tierqueue.operations.cli import main, root

POLICY = """
allow_simulated = true
default_sensitivity = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "tiny"
boundary = "house"
context_window = 4096
gpu_hour = "1.00"

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
simulated = true
prices = { input = "5", output = "25" }
"""

COMMANDS = [" ".join(words) for words, _ in commands()]
GROUPS = sorted({command.split()[0] for command in COMMANDS if " " in command})


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tierqueue.toml"
    path.write_text(POLICY)
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run one command; its exit status, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, err


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, _ = run(capsys, *command.split(), "--help")
    assert status == 0
    assert "Usage: tierqueue" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_does_something_has_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    _, out, _ = run(capsys, *command.split(), "--help")
    assert f"tierqueue {command}" in " ".join(out.split("Example:")[1].split())


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_says_in_whole_sentences_what_its_commands_do_with_an_example_of_each(
    capsys: pytest.CaptureFixture[str], group: str
) -> None:
    _, out, _ = run(capsys, group, "--help")
    usage, _, rest = out.partition("\n")
    assert usage.endswith("...")
    assert "..." not in rest
    examples = " ".join(rest.split("Examples:")[1].split())
    for command in COMMANDS:
        if command.startswith(f"{group} "):
            assert f"tierqueue {command}" in examples


def test_what_is_missing_is_listed_with_blanks_and_not_with_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = run(capsys, "resume")
    assert status == 2
    assert "  budget,\n" in err
    assert "\\t" not in err


@pytest.mark.processes
def test_help_imports_no_task_no_database_and_no_broker() -> None:
    code = (
        "import sys\nfrom tierqueue.operations.cli import root\n"
        "heavy = {'openai', 'anthropic', 'vllm', 'alembic', 'genai_prices', 'flower', 'tornado'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_an_error_of_ours_is_one_line_and_exit_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, err = run(capsys, "migrate")
    assert (status, out) == (2, "")
    assert err == "error: TIERQUEUE_LEDGER_URL is not set\n"


@pytest.mark.processes
def test_a_database_that_cannot_be_asked_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "tierqueue", "migrate"],
        env={"TIERQUEUE_LEDGER_URL": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the ledger cannot be asked: ")
    assert done.stderr.count("\n") == 1


def test_an_unknown_command_is_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "polcy")
    assert status == 2
    assert "No such command 'polcy'" in err


def test_policy_check_says_yes(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    status, out, _ = run(capsys, "policy", "check", str(policy))
    assert status == 0
    assert "best (simulated)" in out
    status, out, _ = run(capsys, "policy", "check", "--json")
    assert json.loads(out)["valid"] is True


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (("context_window = 4096", "context_windw = 4096"), "context_window"),
        (("gpu_hour", "# gpu_hour"), "none of prices"),
        (("allow_simulated = true", ""), "allow_simulated"),
    ],
)
def test_policy_check_says_no_and_what_is_wrong(
    capsys: pytest.CaptureFixture[str], policy: Path, broken: tuple[str, str], complaint: str
) -> None:
    policy.write_text(POLICY.replace(*broken))
    status, _, err = run(capsys, "policy", "check", str(policy))
    assert status == 1
    assert complaint in err


CLASSIFY = ["--task", "tierqueue.classify", "--arg", "text=hello", "--arg", "labels=a,b"]


def test_route_explains_why_there_and_why_not_elsewhere(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    status, out, _ = run(capsys, "route", "--explain", *CLASSIFY)
    assert status == 0
    assert out.splitlines()[0].startswith("house (gpu)")
    assert "not best (simulated): " in out


def test_route_tells_scripts_the_whole_decision(
    capsys: pytest.CaptureFixture[str], policy: Path
) -> None:
    status, out, _ = run(capsys, "route", *CLASSIFY, "--floor", "frontier", "--json")
    assert status == 0
    route = json.loads(out)["route"]
    assert route["deployment"] == "best"
    assert [refusal["rule"] for refusal in route["refusals"]] == ["floor"]


def test_route_says_who_may_answer_first(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    policy.write_text(POLICY + '\n[tasks."tierqueue.classify"]\nreuse = "24h"\n')
    _, out, _ = run(capsys, "route", "--explain", *CLASSIFY)
    assert "but first: what was accepted for an identical item in the last" in out
    _, out, _ = run(capsys, "route", *CLASSIFY, "--json")
    assert len(json.loads(out)["asked_first"]) == 1


def test_route_without_a_route_is_a_no(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    words = [*CLASSIFY, "--floor", "frontier", "--sensitivity", "regulated"]
    status, out, _ = run(capsys, "route", "--explain", *words)
    assert status == 1
    assert "not best (simulated): regulated data stays in the house" in out
    status, out, _ = run(capsys, "route", *words, "--json")
    assert status == 1
    assert json.loads(out)["error"]["reason"] == "no_route"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--task", "tierqueue.clasify"], "did you mean 'tierqueue.classify'?"),
        ([*CLASSIFY, "--arg", "txt=x"], "has no argument 'txt': it takes text, labels"),
        ([*CLASSIFY, "--arg", "text"], "write it like name=value"),
        (["--task", "tierqueue.classify", "--arg", "text=x"], "labels: Field required"),
        ([*CLASSIFY, "--max-cost", "much"], "'much' is not an amount of money"),
        ([*CLASSIFY, "--arg", "text=@/none"], "cannot read /none"),
    ],
)
def test_route_says_what_is_wrong_with_a_call(
    capsys: pytest.CaptureFixture[str], policy: Path, words: list[str], complaint: str
) -> None:
    status, _, err = run(capsys, "route", *words)
    assert status == 2
    assert complaint in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_list_may_come_from_a_file(
    capsys: pytest.CaptureFixture[str], policy: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one, with a comma\ntwo\n")
    words = ["--task", "tierqueue.classify", "--arg", "text=x", "--arg", f"labels=@{labels}"]
    status, _, _ = run(capsys, "route", *words)
    assert status == 0


def test_flower_is_refused_beyond_loopback_without_a_login(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWER_BASIC_AUTH", raising=False)
    status, _, err = run(capsys, "flower", "--address", "0.0.0.0")
    assert status == 2
    assert "set FLOWER_BASIC_AUTH=user:password" in err


def test_flower_is_refused_with_half_a_login(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login = tmp_path / "login"
    login.write_text("ops:\n")
    monkeypatch.setenv("FLOWER_BASIC_AUTH_FILE", str(login))
    status, _, err = run(capsys, "flower", "--address", "0.0.0.0")
    assert status == 2
    assert "is not user:password" in err


RUNS = {"flower", "worker"}
"""What would go on running."""


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in RUNS])
def test_an_example_is_taken_by_its_command(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    _, out, _ = run(capsys, *command.split(), "--help")
    example = " ".join(out.split("Example:")[1].split())
    (words,) = [
        shlex.split(part.partition("tierqueue ")[2])
        for part in re.split(r" \|\| | && ", example)
        if f"tierqueue {command}" in f"{part} "
    ][:1]
    parsed: click.Command = root
    at = 0
    while isinstance(parsed, click.Group):
        found = parsed.get_command(click.Context(parsed), words[at])
        assert found is not None, words
        parsed, at = found, at + 1
    with parsed.make_context(words[at - 1], words[at:]) as context:
        assert context.params is not None
