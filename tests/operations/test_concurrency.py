"""What is said of a tier's concurrency is in force, or says what stands in its way."""

from tests.operations.cli.command import Command
from tierqueue.ledger.monitoring import progress
from tierqueue.tasks.app import app

POLICY = """
[tiers.frontier]
concurrency = 8

[deployments.best]
tier = "frontier"
engine = "openai"
model = "m"
key_env = "K"
boundary = "vendor:best"
context_window = 1000
prices = { input = "1", output = "1" }
limits = { in_flight = 20 }
"""


def a_worker_beats(name: str, tier: str, pool: int | None) -> None:
    """A worker's heartbeat; an older release says nothing of its pool."""
    detail = {} if pool is None else {"pool": pool}
    with app.installation.ledger.write() as connection:
        progress.beat(connection, name, kind="worker", tier=tier, detail=detail)


def test_a_bound_above_the_workers_pools_says_what_is_in_force_and_what_to_do(
    tierqueue: Command,
) -> None:
    a_worker_beats("a", "frontier", 8)
    a_worker_beats("gpu", "gpu", 256)
    said = tierqueue("concurrency", "set", "frontier", "12")
    assert "at most 12 calls" in said
    assert "in force are 8, because its worker let" in said
    assert "tierqueue worker frontier -c 4" in said
    shown = tierqueue.json("concurrency", "show")[2]
    assert (shown["concurrency"], shown["in_force_calls"], shown["bound_by"]) == (12, 8, "workers")
    assert tierqueue.json("concurrency", "set", "frontier", "12") == shown

    a_worker_beats("b", "frontier", 8)
    shown = tierqueue.json("concurrency", "show")[2]
    assert (shown["workers"], shown["pools_calls"], shown["in_force_calls"]) == (2, 16, 12)
    assert tierqueue("concurrency", "set", "frontier", "12").splitlines() == [
        "frontier: at most 12 calls in flight"
    ]


def test_a_pool_that_grew_and_shrank_is_shown_as_it_is(tierqueue: Command) -> None:
    tierqueue("concurrency", "set", "frontier", "12")
    for pool, in_force in ((9, 9), (14, 12), (3, 3)):
        a_worker_beats("a", "frontier", pool)
        assert tierqueue.json("concurrency", "show")[2]["in_force_calls"] == in_force
    assert "in force are 3" in tierqueue("concurrency", "show")


def test_deployments_are_a_bound_too(tierqueue: Command) -> None:
    a_worker_beats("a", "frontier", 64)
    said = tierqueue("concurrency", "set", "frontier", "50")
    assert "in force are 20, because its deployments allow no more" in said


def test_a_tier_without_a_worker_says_so(tierqueue: Command) -> None:
    said = tierqueue("concurrency", "set", "frontier", "12")
    assert "no worker of it runs now; start one with: tierqueue worker frontier" in said
    assert tierqueue.json("concurrency", "show")[2]["in_force_calls"] == 0


def test_a_worker_of_an_older_release_is_no_bound_that_anybody_knows(tierqueue: Command) -> None:
    a_worker_beats("a", "frontier", None)
    shown = tierqueue.json("concurrency", "show")[2]
    assert (shown["pools_calls"], shown["in_force_calls"]) == (None, 8)


def test_the_policys_calls_hold_again_once_an_operators_are_unset(tierqueue: Command) -> None:
    a_worker_beats("a", "frontier", 8)
    tierqueue("concurrency", "set", "frontier", "3", "--reason", "too many errors", "--by", "ada")
    words = ("concurrency", "unset", "frontier")
    assert tierqueue(*words, "--reason", "they are gone", "--by", "bob").splitlines() == [
        "frontier: the policy's 8 calls in flight again"
    ]
    shown = tierqueue.json("concurrency", "show", "frontier")[0]
    assert (shown["concurrency"], shown["said_by"]) == (8, "policy")
    assert "nothing is set of frontier" in tierqueue.complaint(*words)
    unset, made = tierqueue.json("actions")
    assert made["detail"] == {"tier": "frontier", "calls": 3, "reason": "too many errors"}
    assert unset["detail"] == {"tier": "frontier", "unset": True, "reason": "they are gone"}
    assert (made["by"], unset["by"]) == ("ada", "bob")
