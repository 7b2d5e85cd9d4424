"""Rules from the command line: a table is checked before it is in force; what audits say."""

from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.operations.cli.command import Command
from tests.tasks.routing.rules.ruled import HOUSE, TASK, WORDS, stated, table_of, words
from tierqueue.ledger.in_force import policies, policy_versions, surrogates
from tierqueue.ledger.in_force.surrogates import Record, SwitchOff
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import surrogate_audits
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.policy import parse_policy


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tierqueue.toml"
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    return path


def refused(tierqueue: Command, file: Path, text: str) -> str:
    """What ``policy check`` says of a policy, on one line."""
    file.write_text(text, encoding="utf-8")
    ended, _, err = tierqueue.run("policy", "check", str(file))
    assert ended == 1
    return " ".join(err.split())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text,label\na,card\nb,crad\n", "3: label: 'crad' is not one of card, login, transfer"),
        ("text,label\na,card\n\nb b,login\nB  b,card\n", "5: is for the same text as line 4"),
        ('text,label\n"a\nb",card\n"A b",login\n', "4: is for the same text as line 2"),
        ("text,label\na\n", "2: has one cell, and two are needed"),
        ("text,label\na,card,3\n", "2: has 3 cells, and two are needed"),
        ("text,label\n ,card\n", "2: there is no text in the first cell"),
        ('text,label\na,card\n"b,card\n', "3: is not CSV: unexpected end of data"),
        (b"text,label\na,card\n\xff,card\n", "3: is not UTF-8"),
        ("question,label\na,card\n", "1: the first line must be text,label or text,output"),
        ("text;label\na;card\n", "1: the first line must be text,label or text,output"),
        ("", "1: the first line must be text,label or text,output"),
        ("text,label\n", " has no rows below its first line"),
        ("text,output\na,card\n", "2: the output is not JSON"),
        ("text,output\na,[1]\n", "2: the output is no JSON object"),
        ('text,output\na,"{""label"": NaN}"\n', "2: the output is not JSON: NaN is no number"),
        ('text,output\na,"{""labl"": ""card""}"\n', "2: labl: unknown key; did you mean 'label'?"),
    ],
    ids=str,
)
def test_a_table_that_cannot_be_gone_by_is_refused_with_its_line(
    tierqueue: Command, tmp_path: Path, file: Path, content: str | bytes, complaint: str
) -> None:
    said = refused(tierqueue, file, table_of(tmp_path, content))
    assert f'tasks."{TASK}".rules.file: {tmp_path}/tickets.csv:{complaint}' in said


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("tickets.csv", "gone.csv", "gone.csv cannot be read: No such file or directory"),
        ('sha256 = "', f'sha256 = "{"0" * 64}"\n# "', "is another file: its SHA-256 is"),
        (TASK, "tierqueue.clasify", "there is no task type 'tierqueue.clasify'; did you mean"),
        ("arguments.labels", "arguments.label", "there is no argument 'label'; did you mean"),
        ("arguments.labels = ", "# ", "rules.arguments: tierqueue.classify: labels"),
        ("audit =", 'argument = "txt"\naudit =', "there is no argument 'txt'; did you mean 'text'"),
    ],
)
def test_what_is_stated_of_a_table_must_be_so(
    tierqueue: Command, tmp_path: Path, file: Path, before: str, after: str, complaint: str
) -> None:
    text = table_of(tmp_path, "text,label\na,card\n")
    assert before in text
    assert complaint in refused(tierqueue, file, text.replace(before, after))


@pytest.mark.parametrize(
    ("phrases", "complaint"),
    [
        ({"my card": "crad"}, """rules.words."my card": label: 'crad' is not one of"""),
        ({"My card": "card", "my  card!": "login"}, 'my card!": is the same as "My card"'),
        ({"?!": "card"}, 'rules.words."?!": there is no word in it'),
    ],
)
def test_words_are_checked_as_a_table_is(
    tierqueue: Command, file: Path, phrases: dict[str, str], complaint: str
) -> None:
    assert complaint in " ".join(refused(tierqueue, file, stated(words=phrases)).split())


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({}, "state either words, or file and sha256"),
        ({"words": WORDS, "file": "x.csv", "sha256": "0" * 64}, "state either words, or file"),
        ({"file": "x.csv"}, "file and sha256 are stated together"),
        ({"words": WORDS, "audit": 0}, "audit"),
        ({"words": WORDS, "agreement": None}, "agreement: is missing"),
        ({"words": WORDS, "agreement": 0.1}, "agreement"),
        ({"words": WORDS, "argument": "labels"}, "labels: is the argument that is looked at"),
        ({"words": WORDS, "lables": 1}, "unknown key"),
    ],
    ids=str,
)
def test_what_no_file_is_needed_for_is_refused_with_the_policy(
    keys: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidPolicy, match=complaint):
        parse_policy(stated(**keys), "test")


def test_rules_that_a_floor_leaves_nothing_are_refused() -> None:
    floor = f'[[floors]]\ntask = "{TASK}"\nfloor = "frontier"\n'
    with pytest.raises(InvalidPolicy, match="would answer nothing: the floor 'frontier' holds"):
        words(floor)


def test_a_table_is_checked_before_it_is_applied_or_put_back(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, file: Path
) -> None:
    file.write_text(table_of(tmp_path, "text,label\na,card\n"), encoding="utf-8")
    assert "holds" in tierqueue("policy", "check", str(file))
    tierqueue("policy", "apply", str(file))
    with ledger.read() as connection:
        before = policies.in_force(connection)
    (tmp_path / "tickets.csv").write_text("text,label\na,login\n", encoding="utf-8")
    assert "is another file" in tierqueue.complaint("policy", "apply", str(file))
    file.write_text(HOUSE, encoding="utf-8")
    tierqueue("policy", "apply", str(file))
    assert "is another file" in tierqueue.complaint("policy", "rollback", "1")
    with ledger.read() as connection:
        assert policies.in_force(connection) != before
        assert len(tierqueue.json("policy", "history")["versions"]) == 2


def test_rules_are_listed_with_what_their_audits_say(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    file.write_text(HOUSE, encoding="utf-8")
    assert tierqueue.json("router", "rules") == []
    file.write_text(stated(words=WORDS), encoding="utf-8")
    (version,) = words().audited
    with ledger.write() as connection:
        rows = [
            {"item_id": f"i-{n}", "task": TASK, "version": version, "agreed": n > 0, "at": n}
            for n in range(3)
        ]
        connection.execute(insert(surrogate_audits), rows)
    (row,) = tierqueue.json("router", "rules")
    assert row == {
        "version": version,
        "kind": "rule",
        "task": TASK,
        "name": "tickets",
        "file": None,
        "words": 2,
        "state": "answers",
        "compared": 3,
        "differed": 1,
        "agreement": 0.9,
        "audit": 0.01,
    }
    assert f"{version}\t{TASK}\ttickets\tanswers\t3\t1\t90.0%\t1.0%" in tierqueue("router", "rules")
    with ledger.write() as connection:
        surrogates.switch_off(connection, SwitchOff(version, TASK, 1, Record(3, 1)))
    assert tierqueue.json("router", "rules")[0]["state"] == "switched off"


def test_rules_are_retired_and_put_back(tierqueue: Command, ledger: Ledger, file: Path) -> None:
    file.write_text(stated(words=WORDS), encoding="utf-8")
    (version,) = words().audited
    assert tierqueue.json("router", "retire", version)["now"] == "retired"
    assert tierqueue.json("router", "rules")[0]["state"] == "retired"
    assert "in service" in tierqueue("router", "promote", version)
    assert tierqueue.json("router", "rules")[0]["state"] == "answers"
    assert "retire rule" in tierqueue("actions")


@pytest.mark.parametrize(
    ("text", "demands", "said"),
    [
        ("I lost my card", (), 'which answer {"label": "card", "confidence": null}'),
        ("hello", (), "which have no answer to it: nothing of theirs stands in its text"),
        ("I lost my card", ("--floor", "gpu"), "which leave it alone: it has a floor of its own"),
        (
            "I lost my card",
            ("--set", "instructions=Be strict."),
            "which have no answer to it: they are for calls with other instructions",
        ),
    ],
)
def test_route_says_what_rules_would_make_of_a_call(
    tierqueue: Command, file: Path, text: str, demands: tuple[str, ...], said: str
) -> None:
    file.write_text(stated(words=WORDS), encoding="utf-8")
    call = ("--task", TASK, "--set", f"text={text}", "--set", "labels=card,login,transfer")
    shown = " ".join(tierqueue("route", "--explain", *call, *demands).split())
    assert f"but first: the rules tickets ({next(iter(words().audited))}), {said}" in shown


def test_what_was_applied_is_listed_and_retired_whatever_the_file_says(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    text = stated(words=WORDS)
    with ledger.write() as connection:
        policy_versions.apply(connection, parse_policy(text, "t"), text, by="ada", reason=None)
    file.write_text(HOUSE, encoding="utf-8")
    (version,) = words().audited
    assert [row["version"] for row in tierqueue.json("router", "rules")] == [version]
    assert tierqueue.json("router", "retire", version)["now"] == "retired"
    tierqueue("router", "promote", version)
    call = ("--task", TASK, "--set", "text=I lost my card", "--set", "labels=card,login,transfer")
    assert len(tierqueue.json("route", *call)["asked_first"]) == 1
    assert tierqueue.json("route", *call, "--policy", str(file))["asked_first"] == []
    with ledger.write() as connection:
        policy_versions.apply(connection, parse_policy(HOUSE, "t"), HOUSE, by="ada", reason=None)
    file.write_text(text, encoding="utf-8")
    assert tierqueue.json("router", "rules") == []
    assert "no surrogate or rules in the policy" in tierqueue.complaint("router", "retire", version)


def test_route_names_no_rules_that_are_out_of_service(
    tierqueue: Command, ledger: Ledger, file: Path
) -> None:
    file.write_text(stated(words=WORDS), encoding="utf-8")
    call = ("--task", TASK, "--set", "text=I lost my card", "--set", "labels=card,login,transfer")
    assert len(tierqueue.json("route", *call)["asked_first"]) == 1
    (version,) = words().audited
    tierqueue("router", "retire", version)
    assert tierqueue.json("route", *call)["asked_first"] == []
    assert "but first" not in tierqueue("route", "--explain", *call)
