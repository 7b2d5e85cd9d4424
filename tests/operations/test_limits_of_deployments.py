"""``tierqueue limits``: what is stated, set and learned of each deployment, and what is used."""

import pytest

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import learned_limits
from tierqueue.ledger.in_force.learned_limits import LearnedLimit
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger, now
from tierqueue.operations.cli.output import printing
from tierqueue.operations.cli.system import limits as commands
from tierqueue.operations.limits import NAMES
from tierqueue.router.policy.deployment import whose
from tierqueue.tasks.app import app

POLICY = """
[deployments.best]
tier = "frontier"
engine = "openai"
model = "m"
key_env = "K"
boundary = "vendor:best"
context_window = 1000
prices = { input = "1", output = "1" }
limits = { requests_per_minute = 50, in_flight = 20 }
account = "openai"

[deployments.other]
tier = "frontier"
engine = "openai"
model = "n"
key_env = "K"
boundary = "vendor:best"
context_window = 1000
prices = { input = "1", output = "1" }

[accounts.openai]
requests_per_minute = 70

[budgets.acme.limits]
in_flight = 4
"""


def a_worker_tells(name: str, ago: float, used: int, learned: int | None = None) -> None:
    told = {"ago": ago, "used": {"requests_per_minute": used}, "learned": {}}
    if learned is not None:
        told["learned"] = {"requests_per_minute": learned}
    with app.installation.ledger.write() as connection:
        detail = {"limits": {"best": told}}
        progress.beat(connection, name, kind="worker", tier="frontier", detail=detail)


def shown(tierqueue: Command, name: str = "requests_per_minute") -> dict[str, object]:
    (limit,) = [
        limit for limit in tierqueue.json("limits", "show", "best") if limit["limit"] == name
    ]
    return dict(limit)


def test_the_policys_limit_holds_until_an_operator_sets_it_and_again_once_it_is_unset(
    tierqueue: Command,
) -> None:
    assert shown(tierqueue)["in_force"] == 50
    assert "the policy states 50" in tierqueue("limits", "set", "best", "requests_per_minute", "9")
    tierqueue("limits", "set", "best", "tokens_per_minute", "10000")
    limit = shown(tierqueue)
    assert (limit["stated"], limit["set"], limit["in_force"]) == (50, 9, 9)
    tierqueue("limits", "set", "best", "requests_per_minute", "70")
    assert shown(tierqueue)["in_force"] == 70
    tierqueue("limits", "unset", "best", "requests_per_minute")
    assert (shown(tierqueue)["set"], shown(tierqueue)["in_force"]) == (None, 50)
    tierqueue("limits", "unset", "best")
    assert shown(tierqueue, "tokens_per_minute")["set"] is None


def test_what_was_learned_and_when_is_shown_without_a_worker_too(tierqueue: Command) -> None:
    with app.installation.ledger.write() as connection:
        at = now(connection)
        rows = [("told", 40, at - 7_300_000_000), ("refused", 30, at - 180_000_000)]
        learned_limits.write(
            connection,
            [
                LearnedLimit("best", "requests_per_minute", how, rate, 1, at)
                for how, rate, at in rows
            ],
        )
    limit = shown(tierqueue)
    assert (limit["learned"], limit["learned_at"], limit["in_force"]) == (30, rows[1][2], 30)
    assert "3 min" in tierqueue("limits", "show", "best")
    a_worker_tells("w", ago=1.0, used=3, learned=25)
    assert (shown(tierqueue)["learned"], shown(tierqueue)["in_force"]) == (25, 25)


def test_what_was_set_and_unset_stands_among_the_actions(tierqueue: Command) -> None:
    tierqueue("limits", "set", "best", "in_flight", "3")
    tierqueue("limits", "unset", "best")
    unset, made = tierqueue.json("actions")
    assert (made["what"], made["detail"]) == ("limits", {"deployment": "best", "in_flight": 3})
    assert unset["detail"] == {"deployment": "best", "unset": ["in_flight"]}
    assert "nothing is set of best" in tierqueue.complaint("limits", "unset", "best")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "bset", "in_flight", "3"), "did you mean 'best'?"),
        (("show", "bset"), "did you mean 'best'?"),
        (("unset", "bset"), "did you mean 'best'?"),
        (("set", "best", "request_per_minute", "3"), "did you mean 'requests_per_minute'?"),
        (("set", "best", "in_flight", "0"), "0 is not in the range"),
        (("set", "best", "in_flight", "many"), "not a valid"),
    ],
)
def test_a_typo_is_refused(tierqueue: Command, words: tuple[str, ...], said: str) -> None:
    assert said in tierqueue.complaint("limits", *words)


def test_what_was_learned_is_shown_and_in_force_where_it_is_the_least(tierqueue: Command) -> None:
    a_worker_tells("a", ago=30.0, used=1, learned=45)
    a_worker_tells("b", ago=2.0, used=38, learned=40)
    limit = shown(tierqueue)
    assert (limit["learned"], limit["used"], limit["in_force"]) == (40, 38, 40)


def test_what_was_used_more_than_a_minute_ago_is_not_shown(tierqueue: Command) -> None:
    a_worker_tells("a", ago=61.0, used=38, learned=40)
    assert (shown(tierqueue)["used"], shown(tierqueue)["learned"]) == (None, 40)


def test_the_table_fits_eighty_columns_and_leaves_out_what_says_nothing(
    tierqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_worker_tells("a", ago=2.0, used=38, learned=40)
    told = tierqueue("limits", "show")
    assert "nothing stated, set, learned or used: other" in told
    assert "output_tokens_per_minute" not in told
    monkeypatch.setattr(printing, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = tierqueue("limits", "show")
    assert max(map(len, screen.splitlines())) <= 80
    assert "learned" in screen.splitlines()[0]


def test_the_command_knows_every_limit_of_the_policy() -> None:
    assert commands._NAMES == NAMES


def of(tierqueue: Command, scope: str, name: str) -> dict[str, object]:
    found = tierqueue.json("limits", "show", scope)
    assert {(limit["kind"], limit["name"]) for limit in found} == {whose(scope)}
    return next(dict(limit) for limit in found if limit["limit"] == name)


def test_accounts_and_budgets_have_limits_as_deployments_have(tierqueue: Command) -> None:
    assert of(tierqueue, "account:openai", "requests_per_minute")["in_force"] == 70
    assert of(tierqueue, "budget:acme", "in_flight")["in_force"] == 4
    told = tierqueue("limits", "set", "account:openai", "requests_per_minute", "9")
    assert "the policy states 70" in told
    assert of(tierqueue, "account:openai", "requests_per_minute")["in_force"] == 9
    tierqueue("limits", "unset", "account:openai")
    assert of(tierqueue, "account:openai", "requests_per_minute")["in_force"] == 70


def test_what_is_set_and_unset_is_told_to_scripts_as_it_stands_then(tierqueue: Command) -> None:
    made = tierqueue.json("limits", "set", "budget:acme", "in_flight", "3")
    assert (made["kind"], made["name"], made["limit"]) == ("budget", "acme", "in_flight")
    assert (made["stated"], made["set"], made["in_force"]) == (4, 3, 3)
    tierqueue("limits", "set", "best", "tokens_per_minute", "900")
    tierqueue("limits", "set", "best", "in_flight", "9")
    taken = tierqueue.json("limits", "unset", "best")
    told = {one["limit"]: (one["kind"], one["set"], one["in_force"]) for one in taken}
    assert told == {
        "in_flight": ("deployment", None, 20),
        "tokens_per_minute": ("deployment", None, None),
    }
    tierqueue("limits", "set", "budget:other", "in_flight", "3")
    [gone] = tierqueue.json("limits", "unset", "budget:other")
    assert (gone["name"], gone["in_force"]) == ("other", None)


def test_the_actions_say_whose_limits_were_set(tierqueue: Command) -> None:
    for scope in ("budget:acme", "account:openai", "best"):
        tierqueue("limits", "set", scope, "in_flight", "3")
    told = tierqueue("actions")
    for told_of in ("budget acme", "account openai", "deployment best"):
        assert f"{told_of}, in_flight 3" in told
    details = [action["detail"] for action in tierqueue.json("actions")]
    assert details == [
        {"deployment": "best", "in_flight": 3},
        {"account": "openai", "in_flight": 3},
        {"budget": "acme", "in_flight": 3},
    ]


def test_what_former_releases_wrote_down_of_accounts_and_budgets_reads_the_same(
    tierqueue: Command, ledger: Ledger
) -> None:
    with ledger.write() as connection:
        former = {"deployment": "budget:acme", "in_flight": 3}
        audit_log.note(connection, by="ada", what="limits", detail=former)
    assert "budget acme, in_flight 3" in tierqueue("actions")
    (action,) = tierqueue.json("actions")
    assert action["detail"] == {"budget": "acme", "in_flight": 3}


def test_why_limits_were_set_and_unset_stands_among_the_actions(tierqueue: Command) -> None:
    words = ("best", "in_flight")
    tierqueue("limits", "set", *words, "3", "--reason", "errors", "--by", "ada")
    tierqueue("limits", "unset", *words, "--reason", "they are gone", "--by", "bob")
    told = [(action["by"], action["detail"]["reason"]) for action in tierqueue.json("actions")]
    assert told == [("bob", "they are gone"), ("ada", "errors")]


def test_a_budget_that_the_policy_does_not_name_may_be_limited(tierqueue: Command) -> None:
    tierqueue("limits", "set", "budget:other", "tokens_per_minute", "9000")
    assert of(tierqueue, "budget:other", "tokens_per_minute")["set"] == 9000
    tierqueue("limits", "unset", "budget:other")
    assert "budget:other" not in tierqueue("limits", "show")


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("account:opanai", "did you mean 'openai'?"),
        ("budget:", "no deployment, account:NAME or budget:NAME"),
        ("tenant:acme", "no deployment, account:NAME or budget:NAME"),
    ],
)
def test_an_account_that_is_not_there_is_refused(tierqueue: Command, scope: str, said: str) -> None:
    assert said in tierqueue.complaint("limits", "set", scope, "in_flight", "3")


CALL = [
    *("--task", "tierqueue.classify", "--set", "text=hi", "--set", "labels=a,b"),
    *("--sensitivity", "public"),
]


def on_the_way(tierqueue: Command, *words: str) -> dict[tuple[str, str, str], dict[str, object]]:
    told = tierqueue.json("route", *CALL, *words)
    assert told["route"]["deployment"] == "best"
    return {(one["kind"], one["name"], one["limit"]): one for one in told["limits"]}


def test_a_route_says_what_bounds_its_call_and_how_long_that_makes_it_wait(
    tierqueue: Command, ledger: Ledger
) -> None:
    tierqueue("limits", "set", "budget:acme", "requests_per_minute", "30")
    a_worker_tells("w", ago=1.0, used=49)
    told = on_the_way(tierqueue, "--budget", "acme")
    own = told["deployment", "best", "requests_per_minute"]
    assert (own["used"], own["in_force"], own["needed"], own["wait_seconds"]) == (49, 50, 1, 0.0)
    assert told["deployment", "best", "in_flight"]["wait_seconds"] is None
    assert told["account", "openai", "requests_per_minute"]["used"] is None
    assert told["budget", "acme", "requests_per_minute"]["in_force"] == 30
    for state, budget in (("waiting", "acme"), ("routed", "acme"), ("queued", "b"), ("dead", "b")):
        place(ledger, state, tier="frontier", deployment="best", budget=budget)
    told = on_the_way(tierqueue, "--budget", "acme")
    own = told["deployment", "best", "requests_per_minute"]
    assert (own["ahead"], own["wait_seconds"]) == (3, 3.6)
    assert told["budget", "acme", "requests_per_minute"]["ahead"] == 2
    assert ("budget", "acme", "requests_per_minute") not in on_the_way(tierqueue)
    said = " ".join(tierqueue("route", "--explain", *CALL).split())
    assert "deployment best: requests_per_minute 50, of which 49 used" in said
    assert "3 items ahead, a wait of about 3.6" in said


def test_a_limit_of_nothing_says_no_wait_that_would_end(tierqueue: Command) -> None:
    a_worker_tells("w", ago=1.0, used=3, learned=0)
    own = on_the_way(tierqueue)["deployment", "best", "requests_per_minute"]
    assert (own["in_force"], own["wait_seconds"]) == (0, None)
