"""What stands at the broker keeps its name: a release finds what the one before it left there."""

from tierqueue.router.item import Tier
from tierqueue.tasks.broker import names
from tools.reference import broker

SHARED = ("account:a", "budget:acme")


def test_every_key_of_the_limiter_is_named_as_it_always_was() -> None:
    keys = names.LimiterKeys(names.LIMITER)
    assert keys.whole("d", "frontier", SHARED) == [
        "tierqueue:limiter:windows:d",
        "tierqueue:limiter:calls:d",
        "tierqueue:limiter:known:d",
        "tierqueue:limiter:tier-windows:frontier",
        "tierqueue:limiter:tier-calls:frontier",
        "tierqueue:limiter:tier-known:frontier",
        "tierqueue:limiter:shared-windows:account:a",
        "tierqueue:limiter:shared-calls:account:a",
        "tierqueue:limiter:shared-known:account:a",
        "tierqueue:limiter:shared-windows:budget:acme",
        "tierqueue:limiter:shared-calls:budget:acme",
        "tierqueue:limiter:shared-known:budget:acme",
    ]
    assert keys.learned("d") == "tierqueue:limiter:learned:d"
    assert keys.expected("d") == "tierqueue:limiter:expected:d"


def test_each_scope_has_its_windows_its_calls_and_what_is_known_of_those() -> None:
    keys = names.LimiterKeys("p")
    scopes = "d", "gpu", SHARED
    of_each = zip(keys.windows(*scopes), keys.slots(*scopes), keys.memory(*scopes), strict=True)
    assert [key for scope in of_each for key in scope] == keys.whole(*scopes)


def test_every_other_key_is_named_as_it_always_was() -> None:
    assert [names.AWAKE, names.EPOCH, names.BEAT, names.MENDING, names.WRITTEN] == [
        "tierqueue:awake",
        "tierqueue:epoch",
        "tierqueue:beat",
        "tierqueue:mending",
        "tierqueue:written",
    ]
    assert names.promise_marker("p", 0) == "tierqueue-promise-p"
    assert names.promise_marker("p", 2) == "tierqueue-promise-p-2"
    assert names.dead_letter_marker("i", 7) == "tierqueue-dead-i-7"


def test_queues_and_messages_are_named_as_they_always_were() -> None:
    assert [names.queue_of(kind) for kind in (names.ROUTING, *Tier)] == ["route", *Tier]
    assert names.dead_queue(None) == "dead.route"
    assert names.dead_queue(Tier.GPU) == "dead.gpu"
    assert [names.WAKE, names.SLICE, names.DEAD] == [
        "tierqueue.wake",
        "tierqueue.slice",
        "tierqueue.dead_letter",
    ]


def test_every_key_of_the_limiter_stands_in_the_reference() -> None:
    keys = names.LimiterKeys(names.LIMITER)
    told = [*keys.whole("d", "gpu", SHARED), keys.learned("d"), keys.expected("d")]
    # A tier has no limits a minute: none of its windows is ever written.
    unsaid = [key for key in told if not broker.covered(key)]
    assert unsaid == ["tierqueue:limiter:tier-windows:gpu"]
