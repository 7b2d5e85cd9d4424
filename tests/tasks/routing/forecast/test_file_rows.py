"""A quote knows which rows take no call: the same twice, rules, earlier answers, surrogates."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.ledger.moves import of_each
from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.tasks.routing.asked_again import ANSWER, RECEIPT, REUSE
from tests.tasks.routing.rules.ruled import HOUSE, TASK, WORDS, stated, words
from tests.tasks.routing.tickets import FOREIGN, KNOWN, LABELS, policy_text
from tierqueue.ledger.in_force import reusable_answers
from tierqueue.ledger.in_force.reusable_answers import ReuseKey
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.routing.decide import choose_all
from tierqueue.tasks.routing.reuse import Reuse

QUOTE = ("--task", TASK, "--column", "text", "--set", f"labels={','.join(LABELS)}")


@pytest.fixture
def quoted(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """What the quote of these texts says under a policy: rows by who does them, and the whole."""

    def quote(policy: str, *texts: str) -> tuple[dict[str, int], dict[str, Any]]:
        file, stated = tmp_path / "tickets.csv", tmp_path / "policy.toml"
        file.write_text("text\n" + "".join(f"{text}\n" for text in texts), "utf-8")
        stated.write_text(policy, "utf-8")
        monkeypatch.setenv("TIERQUEUE_POLICY", str(stated))
        told = tierqueue.json("quote", str(file), *QUOTE)
        return {part["deployment"]: part["rows"] for part in told["parts"]}, told

    return quote


def test_what_rules_answer_costs_nothing(quoted: Any) -> None:
    rows, told = quoted(stated(words=WORDS), "I lost my card", "hello", "it fails at login")
    (version,) = words().audited
    assert rows == {version: 2, "house": 1}
    assert told["answered_without_a_call"] == 2
    by_rule, house = told["parts"][0], told["parts"][1]
    assert (by_rule["tier"], by_rule["calls"], by_rule["bound_nanousd"]) == ("rule", 0, 0)
    assert by_rule["expected_nanousd"] == 0
    assert (house["tier"], house["calls"]) == ("gpu", 1)


def test_what_is_audited_counts_as_a_model_s(quoted: Any) -> None:
    rows, _ = quoted(stated(words=WORDS, audit=0.5), *(f"I lost my card {n}" for n in range(40)))
    (version,) = words().audited
    assert rows[version] + rows["house"] == 40
    assert 10 <= rows["house"] <= 30


def test_rules_that_are_out_of_service_answer_nothing(quoted: Any, tierqueue: Command) -> None:
    quoted(stated(words=WORDS), "I lost my card")
    (version,) = words().audited
    tierqueue("router", "retire", version)
    assert quoted(stated(words=WORDS), "I lost my card")[0] == {"house": 1}


def test_rows_that_are_the_same_are_one_call(quoted: Any) -> None:
    rows, told = quoted(HOUSE, "hello", "hello", "hello there", "hello")
    assert rows == {"house": 2, "reused": 2}
    assert told["answered_without_a_call"] == 2


def test_what_an_earlier_job_over_the_file_has_asked_is_not_paid_again(
    quoted: Any, tierqueue: Command, tmp_path: Path
) -> None:
    assert quoted(HOUSE, "hello")[0] == {"house": 1}
    submit = ("job", "submit", str(tmp_path / "tickets.csv"), *QUOTE)
    job = tierqueue.json(*submit)["job"]
    rows, told = quoted(HOUSE, "hello", "hello there")
    assert rows == {"reused": 1, "house": 1}
    assert told["bound_nanousd"] == quoted(HOUSE, "hello there")[1]["bound_nanousd"]
    (tmp_path / "tickets.csv").rename(tmp_path / "other.csv")
    other = tierqueue.json("quote", str(tmp_path / "other.csv"), *QUOTE)
    assert other["answered_without_a_call"] == 0, "the jobs of another file share nothing"
    tierqueue("job", "cancel", job)
    assert quoted(HOUSE, "hello")[0] == {"house": 1}


def test_a_surrogate_answers_what_it_is_certified_for(quoted: Any, tmp_path: Path) -> None:
    rows, _ = quoted(policy_text(tmp_path), KNOWN, FOREIGN)
    assert sorted(rows) == ["house", next(name for name in rows if name.startswith("surrogate-"))]
    assert set(rows.values()) == {1}


def test_an_earlier_answer_does_for_a_row(quoted: Any, ledger: Ledger) -> None:
    text = HOUSE + REUSE
    nowhere = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound"))
    new = classify.new_item((), {"text": KNOWN, "labels": LABELS}, item_id="first")
    same = {"task": TASK, "arguments": new.arguments, "output_limit": new.output_limit}
    item = place(ledger, "submitted", id=new.id, **{**nowhere, **same})
    policy = parse_policy(text, "t")
    with ledger.write() as connection:
        at = database_now(connection)
        found = routes.submitted(connection, of_each(connection, None, 10), lock=False)
        chosen = choose_all(found, policy, at, {})
        (asks,) = Reuse(policy).asking(chosen, {item: new.arguments}, ()).values()
        reusable_answers.ask(connection, [ReuseKey(asks.key, item)], at)
        ended = {"state": "succeeded", "output": ANSWER, "receipt": RECEIPT, "ended_at": at}
        connection.execute(update(items).where(items.c.id == item).values(**ended))
    assert quoted(text, KNOWN, FOREIGN)[0] == {"reused": 1, "house": 1}
