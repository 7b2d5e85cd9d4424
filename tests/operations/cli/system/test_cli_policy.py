"""`tierqueue policy apply`, `history` and `rollback`, on both databases."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tests.tasks.producer import Producer
from tierqueue.ledger.in_force import policies
from tierqueue.ledger.session import Ledger
from tierqueue.operations.cli.system.policy_versions import _RULE
from tierqueue.router.policy.policy import parse_policy

FLOOR = """
[[floors]]
floor = "frontier"
[[ceilings]]
scope = "everything"
limit = "7usd"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tierqueue.toml"
    path.write_text(ONE_DEPLOYMENT, encoding="utf-8")
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    return path


def digest(text: str) -> str:
    return parse_policy(text, "test").digest


def in_force(ledger: Ledger) -> str | None:
    with ledger.read() as connection:
        return policies.in_force(connection)


def test_what_is_applied_is_in_force_and_its_difference_is_shown(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    tierqueue("policy", "apply", str(file))
    file.write_text(ONE_DEPLOYMENT + FLOOR, encoding="utf-8")
    said = tierqueue("policy", "apply", str(file), "--by", "ada", "--reason", "refunds")
    assert '+floor = "frontier"' in said
    assert "0 items cost $0.00" in said
    assert f"version 2 is in force; its digest is {digest(ONE_DEPLOYMENT + FLOOR)}" in said
    assert in_force(ledger) == digest(ONE_DEPLOYMENT + FLOOR)
    assert [one["limit_nanousd"] for one in tierqueue.json("ceilings", "list")] == [7_000_000_000]
    told = tierqueue.json("policy", "history")
    assert told["in_force"] == digest(ONE_DEPLOYMENT + FLOOR)
    last = told["versions"][0]
    assert (last["version"], last["by"], last["reason"]) == (2, "ada", "refunds")
    listed = " ".join(tierqueue("policy", "history").split())
    assert "refunds" in listed
    assert _RULE in listed
    assert tierqueue("policy", "history", "1").strip() == ONE_DEPLOYMENT.strip()


MISSPELT = """
[tasks."tierqueue.clasify"]
floor = "frontier"
[[floors]]
task = "tierqueue.extrct"
floor = "frontier"
"""


def test_a_task_type_that_is_not_known_is_told_with_the_nearest(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    file.write_text(ONE_DEPLOYMENT + MISSPELT, encoding="utf-8")
    for words in (("check",), ("apply", "--dry-run"), ("apply",)):
        said = " ".join(tierqueue("policy", words[0], str(file), *words[1:]).split())
        one, two = tierqueue.json("policy", words[0], str(file), *words[1:])["notes"]
        assert one.startswith('tasks."tierqueue.clasify": there is no task type')
        assert "did you mean 'tierqueue.classify'? TIERQUEUE_IMPORTS names" in one
        assert one.endswith("correct it, or have that imported")
        assert two.startswith("task of the first [[floors]]: there is no task type ")
        assert "'tierqueue.extrct'; did you" in two
        assert f"note: {one} note: {two}" in said
    assert in_force(ledger) == digest(ONE_DEPLOYMENT + MISSPELT)


def test_a_module_that_is_not_there_makes_no_policy_wrong(
    tierqueue: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERQUEUE_IMPORTS", "no_such_module")
    file.write_text(ONE_DEPLOYMENT + MISSPELT, encoding="utf-8")
    (note,) = tierqueue.json("policy", "check", str(file))["notes"]
    assert "TIERQUEUE_IMPORTS names no_such_module" in note
    file.write_text(ONE_DEPLOYMENT, encoding="utf-8")
    assert tierqueue.json("policy", "check", str(file))["notes"] == []


@pytest.mark.parametrize(
    "table",
    [
        'prompt]\nsystem = "Sort it."\nshare = 0.5',
        "explore]\nshare = 0.1",
        'shadow]\nshare = 0.1\ndeployment = "best"',
    ],
)
def test_what_is_for_a_task_type_that_is_not_there_is_refused(
    tierqueue: Command, file: Path, table: str
) -> None:
    bounded = '[[ceilings]]\nscope = "purpose"\nlimit = "1usd"\n'
    text = f'{ONE_DEPLOYMENT}{bounded}[tasks."tierqueue.clasify".{table}\n'
    file.write_text(text, encoding="utf-8")
    wrong = tierqueue.json("policy", "check", str(file), status=1)["error"]
    key = f'tasks."tierqueue.clasify".{table.partition("]")[0]}'
    assert wrong.startswith(f"{file}: {key}: there is no task type")
    assert "did you mean 'tierqueue.classify'?" in wrong
    assert "'tierqueue.classify'?" in tierqueue.complaint("policy", "apply", str(file))
    file.write_text(text.replace("clasify", "classify"), encoding="utf-8")
    assert tierqueue.json("policy", "check", str(file))["notes"] == []


def test_a_dry_run_puts_nothing_in_force(tierqueue: Command, ledger: Ledger, file: Path) -> None:
    said = tierqueue("policy", "apply", str(file), "--dry-run")
    assert "was not put in force" in said
    assert in_force(ledger) is None
    assert tierqueue.json("policy", "history")["versions"] == []


def test_a_file_that_is_no_policy_or_has_no_price_is_not_applied(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    file.write_text(ONE_DEPLOYMENT.replace("tier =", "teir ="), encoding="utf-8")
    assert "did you mean 'tier'" in tierqueue.complaint("policy", "apply", str(file))
    file.write_text(ONE_DEPLOYMENT.partition("prices")[0], encoding="utf-8")
    assert "price" in tierqueue.complaint("policy", "apply", str(file))
    assert in_force(ledger) is None


def test_a_rollback_is_a_version_of_its_own(tierqueue: Command, ledger: Ledger, file: Path) -> None:
    assert "no policy was ever applied" in tierqueue.complaint("policy", "rollback")
    tierqueue("policy", "apply", str(file))
    assert "no other policy" in tierqueue.complaint("policy", "rollback")
    file.write_text(ONE_DEPLOYMENT + FLOOR, encoding="utf-8")
    tierqueue("policy", "apply", str(file))
    assert "version 3 is in force" in tierqueue("policy", "rollback")
    assert in_force(ledger) == digest(ONE_DEPLOYMENT)
    assert "there is no version 9" in tierqueue.complaint("policy", "rollback", "9")
    told = tierqueue.json("policy", "rollback", "2")
    assert (told["version"], told["digest"]) == (4, digest(ONE_DEPLOYMENT + FLOOR))
    reasons = [one["reason"] for one in tierqueue.json("policy", "history")["versions"]]
    assert reasons == ["back to version 2", "back to version 1", None, None]


def test_the_file_that_was_in_force_before_the_first_version_can_be_put_back(
    tierqueue: Command, ledger: Ledger, file: Path, tmp_path: Path
) -> None:
    with ledger.write() as connection:
        policies.start(connection, digest(ONE_DEPLOYMENT), 1)
    new = tmp_path / "new.toml"
    new.write_text(ONE_DEPLOYMENT + FLOOR, encoding="utf-8")
    tierqueue("policy", "apply", str(new), "--dry-run")
    tierqueue("policy", "apply", str(new), "--by", "ada")
    told = tierqueue.json("policy", "history")["versions"]
    assert [(one["version"], one["reason"]) for one in told] == [
        (2, None),
        (1, "the file that was in force before"),
    ]
    assert in_force(ledger) == digest(ONE_DEPLOYMENT + FLOOR)
    tierqueue("policy", "rollback")
    assert in_force(ledger) == digest(ONE_DEPLOYMENT)


def test_a_file_that_is_not_in_force_is_no_version_to_go_back_to(
    tierqueue: Command, ledger: Ledger, file: Path, tmp_path: Path
) -> None:
    with ledger.write() as connection:
        policies.start(connection, "another", 1)
    new = tmp_path / "new.toml"
    new.write_text(ONE_DEPLOYMENT + FLOOR, encoding="utf-8")
    said = " ".join(tierqueue("policy", "apply", str(new)).split())
    assert "cannot be shown, nor be rolled back" in said
    assert "no other policy" in tierqueue.complaint("policy", "rollback")


def test_the_doctor_says_that_a_file_is_not_in_force(
    tierqueue: Command, producer_to: Callable[[str], Producer], ledger_url: str, file: Path
) -> None:
    # The doctor asks by the process's own app, whose ledger is closed with its producer.
    producer_to(ledger_url)
    tierqueue("policy", "apply", str(file))
    file.write_text(ONE_DEPLOYMENT + FLOOR, encoding="utf-8")
    _, said, _ = tierqueue.run("doctor")
    assert "the policy file here is not in force: version 1" in " ".join(said.split())


RULES = """
[tasks."tierqueue.classify".rules]
file = "rules.csv"
sha256 = "{digest}"
arguments = {{ labels = ["card", "login"] }}
agreement = 0.9
"""


def test_files_of_a_policy_lie_beside_it_wherever_the_command_is_called(
    tierqueue: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"text,label\nMy card is lost,card\n"
    text = ONE_DEPLOYMENT + RULES.format(digest=sha256(content).hexdigest())
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "rules.csv").write_bytes(content)
    policy = beside / "tierqueue.toml"
    policy.write_text(text, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "holds" in tierqueue("policy", "check", str(policy))
    wrong = tierqueue.complaint("policy", "apply", str(policy))
    assert "tasks.\"tierqueue.classify\".rules.file = 'rules.csv'" in wrong
    assert f"name {beside / 'rules.csv'}" in wrong
    monkeypatch.setenv("TIERQUEUE_POLICY", "../beside/tierqueue.toml")
    (note,) = tierqueue.json("policy", "apply", str(policy), "--dry-run")["notes"]
    assert note.endswith(f"here for {beside / 'rules.csv'}")
    call = ("--task", "tierqueue.classify", "--set", "labels=card,login", "--explain")
    said = tierqueue("route", *call, "--set", "text=My card is lost", "--sensitivity", "public")
    assert 'which answer {"label": "card", ' in said
    (beside / "rules.csv").unlink()
    wrong = tierqueue.json("policy", "check", str(policy), status=1)["error"]
    assert wrong.startswith(f'{policy}: tasks."tierqueue.classify".rules.file: {beside}/rules.csv')
