"""Simulated money and answers are labelled as such, whatever command shows them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.moves import Moves, ceiling, settlement
from tests.operations.cli.command import Command
from tests.operations.cli.commands import commands
from tierqueue.ledger.lifecycle import batches, claims
from tierqueue.ledger.lifecycle.claims import Claim, Claimant
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances, items
from tierqueue.router.lifecycle import State

REAL = """
default_sensitivity = "internal"

[deployments.best]
tier = "frontier"
engine = "openai"
model = "frontier-large"
boundary = "vendor:acme"
base_url = "http://127.0.0.1:9/v1"
key_env = "SANDBOX_KEY"
context_window = 100000
prices = { input = "5", output = "25" }

[[ceilings]]
scope = "purpose"
name = "exploration"
window = "day"
limit = "1"
"""
MADE_UP = "allow_simulated = true\n" + REAL.replace("prices", "simulated = true\nprices")

BEST = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease_us=10**10
)
TASK = ("--task", "tierqueue.classify")
CALL = (*TASK, "--set", "labels=card,login")
USAGE = {"input_tokens": 100, "output_tokens": 10}
ROUTE = {
    "tier": "frontier",
    "deployment": "best",
    "bound": 500,
    "reasons": ["the cheapest that fits"],
    "refusals": [{"deployment": "best", "rule": "floor", "why": "too low"}],
}


@pytest.fixture
def tierqueue(command: Callable[[str], Command], sqlite_url: str) -> Command:
    return command(sqlite_url)


class Filled:
    """A ledger with one item answered, one dead, one running, one in review, and a job."""

    def __init__(self, url: str, tierqueue: Command, folder: Path, *, simulated: bool) -> None:
        self.simulated = simulated
        self.policy = folder / "tierqueue.toml"
        self.policy.write_text(MADE_UP if simulated else REAL, encoding="utf-8")
        ledger = Ledger(url)
        self.moves = moves = Moves(ledger)
        moves.ceilings(ceiling("everything", 10_000))
        [answered] = self._called()
        self._end(answered)
        [dead] = self._called()
        died = {"next_state": State.DEAD, "reason": "rejected", "outcome": "rejected"}
        self._end(dead, output=None, receipt=None, **died)
        self._called()
        self.answered, self.dead = answered.item.id, dead.item.id
        file = folder / "tickets.csv"
        file.write_text("text\nMy card is lost\nI cannot log in\n", encoding="utf-8")
        self.file = str(file)
        new = folder / "new.csv"
        new.write_text("text\nWhere is my money\n", encoding="utf-8")
        self.new = str(new)
        submit = tierqueue.json("job", "submit", self.file, *CALL, "--column", "text")
        self.job = submit["job"]
        first, last = self._claimed()
        self._end(first)
        self._end(last, output=None, receipt=None, **died)
        [second] = self._called()
        self._end(second)
        again = {"second_to": self.answered, "purpose": "exploration", "pinned": "frontier"}
        with ledger.write() as connection:
            connection.execute(items.update().values(policy="a policy"))
            connection.execute(items.update().where(items.c.id == second.item.id).values(**again))
        moves.ceilings(ceiling("everything", 1_000))
        self.export = str(folder / "usage.csv")
        Path(self.export).write_text("date,cost,model\n2026-01-01,1,frontier-large\n")
        ledger.close()

    def _called(self) -> list[Claim]:
        self.moves.submit()
        return self._claimed()

    def _claimed(self) -> list[Claim]:
        self.moves.route(tier="frontier", deployment="best", bound=500, route=ROUTE)
        return self.moves.claim(self.moves.queue("frontier"), by=BEST).claimed

    def in_review(self) -> str:
        """An item that waits for a person after a call was paid for; its id."""
        self.moves.ceilings(ceiling("everything", 10_000))
        [claim] = self._called()
        refused: dict[str, Any] = {
            "next_state": State.REVIEW,
            "reason": "low_confidence",
            "outcome": "rejected",
        }
        refused |= {"output": None, "receipt": None, "refused": {"label": "card"}}
        self._end(claim, **refused, parked=Parking(due=self.moves.now() + 10**12, assignee=None))
        return claim.item.id

    def in_batch(self) -> str:
        """A batch of one item; its id."""
        later = self.moves.now() + 10**12
        self.moves.submit(1, deadline=later)
        where = {"tier": "frontier", "deployment": "best", "bound": 500, "route": ROUTE}
        self.moves.route(**where, reason="batch", lane="batch", state="waiting", ready_at=later)
        with self.moves.ledger.write() as connection:
            wanted, now = batches.candidates(connection, "best", 10, ()), self.moves.now()
            known = claims.read(connection, wanted)
            by = replace(BEST, batch="01a-first")
            claimed = claims.claim(connection, by, wanted, known, now).claimed
            batches.form(connection, "01a-first", "best", claimed, "w", now, 1)
        return "01a-first"

    def _end(self, claim: Claim, **changed: Any) -> None:
        receipt = {"cost": 70, "simulated": self.simulated, "tier": "frontier"}
        told = {"simulated": self.simulated, "usage": USAGE, "receipt": receipt, "seconds": 1.0}
        self.moves.settle(settlement(claim, **{**told, **changed}))

    def calls(self) -> dict[str, tuple[str, ...]]:
        """Every command that shows money or answers, as it shows most."""
        return {
            "audit-spend": (),
            "ceilings list": (),
            "dead-letters list": (),
            "dead-letters show": (self.dead,),
            "doctor": (),
            "item list": (),
            "item show": (self.answered, "--payload"),
            "job errors": (self.job,),
            "job list": (),
            "job results": (self.job,),
            "job show": (self.job,),
            "job watch": (self.job,),
            "policy apply": (str(self.policy), "--dry-run"),
            "policy check": (str(self.policy),),
            "policy replay": (str(self.policy),),
            "quote": (self.new, *CALL, "--column", "text"),
            "reconcile": (self.export, "--deployment", "best"),
            "route": (*CALL, "--set", "text=My card is lost", "--explain"),
            "router compare": ("tierqueue.classify",),
            "spend": (),
            "status": (),
            "top": (),
            "why": (self.answered,),
        }


TELL_NEITHER = {
    "actions": "what operators did",
    "audit": "test_books_that_are_wrong_are_labelled below",
    "batch list": "test_batches_and_reviews_are_labelled below",
    "batch show": "as its list",
    "ceilings history": "limits alone",
    "ceilings raise": "a limit",
    "ceilings set": "a limit",
    "concurrency set": "calls",
    "concurrency show": "calls",
    "concurrency unset": "calls",
    "dead-letters discard": "counts",
    "dead-letters export": "test_what_is_written_into_files_is_labelled below",
    "dead-letters replay": "counts",
    "erase": "counts",
    "eval": "tests of its own (test_evaluate.py)",
    "feedback": "what a person said",
    "flower": "pages of its own (tests/operations/flower)",
    "health": "what doctor says, of what is wrong",
    "job cancel": "counts",
    "job continue": "counts",
    "job submit": "counts; with --sample test_sample",
    "job webhook": "whom it tells",
    "limits set": "limits",
    "limits show": "limits",
    "limits unset": "limits",
    "migrate": "revisions",
    "pause budget": "names",
    "pause job": "names",
    "pause list": "names",
    "pause task": "names",
    "pause tier": "names",
    "policy history": "texts of policies",
    "policy rollback": "as apply",
    "prompts": "test_two_prompts_are_labelled below",
    "raw-messages discard": "counts",
    "raw-messages list": "what nobody could read",
    "raw-messages show": "what nobody could read",
    "resume": "names",
    "review accept": "a decision",
    "review assign": "whose it is",
    "review correct": "a decision",
    "review list": "test_batches_and_reviews_are_labelled below",
    "review reject": "a decision",
    "review show": "as its list",
    "router calibrate": "confidences",
    "router promote": "versions",
    "router retire": "versions",
    "router rules": "counts",
    "router train": "counts",
    "schedule add": "times",
    "schedule list": "times",
    "schedule pause": "names",
    "schedule remove": "names",
    "schedule resume": "names",
    "schedule run": "names",
    "schedule show": "times",
    "worker": "runs",
}
"""Commands that show no money and no answer, and what they show; or where theirs are looked at."""

MONEY = re.compile(r"\$0\.0*[1-9]|nanousd\": [1-9]")


@pytest.fixture
def filled(tierqueue: Command, sqlite_url: str, tmp_path: Path) -> Callable[[bool], Filled]:
    return lambda simulated: Filled(sqlite_url, tierqueue, tmp_path, simulated=simulated)


def test_no_command_is_forgotten(filled: Callable[[bool], Filled]) -> None:
    there = {" ".join(words) for words, _ in commands()}
    assert there == {*filled(True).calls(), *TELL_NEITHER}


def _said(tierqueue: Command, filled: Filled) -> Iterator[tuple[str, str]]:
    """What each command says, to people and to scripts."""
    has_json = {
        " ".join(words)
        for words, command in commands()
        if any(option.name == "as_json" for option in command.params)
    }
    for name, words in filled.calls().items():
        for form in ("", "--json") if name in has_json else ("",):
            ended, out, err = tierqueue.run(*name.split(), *words, *([form] if form else []))
            assert ended in (0, 1), (name, err)
            yield f"{name} {form}", out + err


def test_simulated_money_and_answers_are_labelled_by_every_command(
    tierqueue: Command, filled: Callable[[bool], Filled]
) -> None:
    for name, said in _said(tierqueue, filled(True)):
        assert "simulated" in re.sub(r'"\w*simulated\w*": (false|0|null|\[\])', "", said), (
            name,
            said,
        )


def test_real_money_and_answers_are_not(
    tierqueue: Command, filled: Callable[[bool], Filled]
) -> None:
    money = 0
    for name, said in _said(tierqueue, filled(False)):
        left = re.sub(r'"\w*simulated\w*": (false|0|null|\[\])', "", said)
        assert "simulated" not in left, (name, left)
        money += bool(MONEY.search(said))
    assert money > 15


def test_every_item_and_deployment_bears_its_own_label(
    tierqueue: Command, filled: Callable[[bool], Filled]
) -> None:
    here = filled(True)
    for line in tierqueue("item", "list").splitlines()[1:]:
        assert "(simulated)" in line
    shown = tierqueue("item", "show", here.answered, "--payload")
    assert "$0.00000007 (simulated) spent on 1 call" in shown
    assert "output (simulated): " in shown
    why = tierqueue("why", here.answered)
    assert "best (frontier) (simulated), for $0.0000005 at the most" in why
    assert "best (simulated): too low [floor]" in why
    [_, line, *_] = tierqueue("router", "compare", "tierqueue.classify").splitlines()
    assert line.split("\t")[1:3] == ["best (simulated)", "best (simulated)"]
    explained = tierqueue(*here.calls()["route"][:0], "route", *here.calls()["route"])
    assert explained.startswith("best (simulated) (frontier), at most ")


def test_a_real_policy_over_a_ledger_that_began_with_the_sandbox_changes_no_label(
    tierqueue: Command, filled: Callable[[bool], Filled]
) -> None:
    here = filled(True)
    here.policy.write_text(REAL, encoding="utf-8")
    for name in ("ceilings list", "item list", "job list", "job show", "item show"):
        _, out, err = tierqueue.run(*name.split(), *here.calls()[name])
        assert "simulated" in out + err, name


def test_what_is_written_into_files_is_labelled(
    tierqueue: Command, filled: Callable[[bool], Filled], tmp_path: Path
) -> None:
    here = filled(True)
    results = tmp_path / "answers.csv"
    tierqueue("job", "results", here.job, "--to", str(results))
    assert results.read_text().count("frontier (simulated)") == 2
    dead = tmp_path / "dead.jsonl"
    tierqueue("dead-letters", "export", str(dead))
    assert '"simulated": true' in dead.read_text()


@pytest.mark.parametrize("simulated", [True, False])
def test_batches_and_reviews_are_labelled(
    tierqueue: Command, filled: Callable[[bool], Filled], simulated: bool
) -> None:
    here = filled(simulated)
    item, batch = here.in_review(), here.in_batch()
    for words in (("review", "list"), ("review", "show", item), ("batch", "list")):
        assert ("(simulated)" in tierqueue(*words)) == simulated, words
    assert ("(simulated)" in tierqueue("batch", "show", batch)) == simulated
    assert tierqueue.json("review", "list")[0]["simulated"] is simulated
    assert tierqueue.json("batch", "list")[0]["simulated"] is simulated


@pytest.mark.parametrize("simulated", [True, False])
def test_two_prompts_are_labelled(
    tierqueue: Command, filled: Callable[[bool], Filled], simulated: bool
) -> None:
    here = filled(simulated)
    with here.moves.ledger.write() as connection:
        other = {"prompt": "prompt-0123456789ab"}
        connection.execute(items.update().where(items.c.id == here.answered).values(**other))
    _, out, err = tierqueue.run("prompts")
    assert "prompt-0123456789ab" in out
    assert ("simulated money is among it" in out + err) == simulated


@pytest.mark.parametrize("simulated", [True, False])
def test_books_that_are_wrong_are_labelled(
    tierqueue: Command, filled: Callable[[bool], Filled], simulated: bool
) -> None:
    here = filled(simulated)
    with here.moves.ledger.write() as connection:
        connection.execute(balances.update().values(spent=balances.c.spent + 1))
    ended, out, err = tierqueue.run("audit")
    assert (ended, "simulated money is among it" in out + err) == (1, simulated)
