"""What is wrong, in plain words, and what to do about it: judged by progress, not by liveness."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tierqueue.ledger.progress import Process, Progress
from tierqueue.ledger.standings import CeilingStanding
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.money import NanoUSD, format_usd

SILENT = 15.0
"""Seconds without a heartbeat after which a process counts as gone."""

STUCK = 30.0
"""Seconds in which ready items must see some progress."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing somebody should know. ``wrong``: work does not get on as it should."""

    wrong: bool
    what: str
    do: str


def findings(
    progress: Progress,
    concurrency: Mapping[Tier, int],
    ceilings: list[CeilingStanding],
) -> list[Finding]:
    """Everything that can be said from the ledger alone, what is wrong first.

    ``concurrency``: calls in flight in force, by tier.
    """
    found = [
        *_routing(progress),
        *(each for tier in TIERS for each in _tier(progress, tier, concurrency[tier])),
        *_left_behind(progress),
        *_paused(progress),
        *_waiting(progress),
        *_exhausted(ceilings),
    ]
    return sorted(found, key=lambda each: not each.wrong)


def alive(progress: Progress, room: str, tier: Tier | None = None) -> list[Process]:
    """The processes of a room (and tier) that beat."""
    return [
        each
        for each in progress.processes
        if each.room == room and each.tier == tier and each.silent < SILENT
    ]


def _routing(progress: Progress) -> Iterator[Finding]:
    stages = alive(progress, "routing")
    waits = progress.backlog.get("route")
    if not stages:
        yield Finding(
            True,
            "no routing stage is alive: nothing is routed, sent to a tier or found again",
            "start the Procfile's routing process, or read its log",
        )
    elif min(each.since.get("looked", each.up) for each in stages) > STUCK:
        yield Finding(
            True,
            "the routing stage beats but has not looked at the ledger's items for"
            f" {STUCK:.0f} seconds",
            "read its log and restart it: nothing is lost by that",
        )
    elif waits is not None and waits.oldest > STUCK:
        yield Finding(
            True,
            f"{waits.ready} submitted items are not routed, the oldest for {waits.oldest:.0f} s",
            "start more routing stages, or read their log",
        )


def _tier(progress: Progress, tier: Tier, concurrency: int) -> Iterator[Finding]:
    backlog = progress.backlog.get(tier)
    workers = alive(progress, "worker", tier)
    for each in workers:
        for deployment in each.detail.get("breakers_open", ()):
            yield Finding(
                False,
                f"{each.id} has stopped calling {deployment}, which failed several times in a row",
                "look at that provider or engine; calls go on by themselves once one succeeds",
            )
    if backlog is None or not backlog.ready:
        return
    what = f"{backlog.ready} items are ready for tier {tier}, the oldest for {backlog.oldest:.0f} s"
    if not workers:
        yield Finding(
            True,
            f"{what}, and no worker of that tier is alive",
            f"start the Procfile's {tier} process, or read its log",
        )
    elif concurrency == 0:
        yield Finding(
            False,
            f"{what}, and its calls in flight are set to 0",
            f"tierqueue concurrency set {tier} N",
        )
    elif (
        backlog.oldest > STUCK
        and min(each.since.get("claimed", each.up) for each in workers) > STUCK
    ):
        yield Finding(
            True,
            f"{what}, and none was claimed in the last {STUCK:.0f} seconds",
            f"read the log of the {tier} workers: is the broker reachable, do slices arrive?",
        )


def _left_behind(progress: Progress) -> Iterator[Finding]:
    if progress.overdue_leases and not alive(progress, "routing"):
        yield Finding(
            True,
            f"{progress.overdue_leases} items belong to workers that died",
            "start a routing stage: it finds them within a second",
        )
    if progress.promises_owed:
        yield Finding(
            True,
            f"{progress.promises_owed} answers are in the ledger and their producers not told",
            "is the broker reachable? Once it is, the routing stage tells them",
        )
    resent = sum(each.last_minute.get("resent", 0) for each in progress.processes)
    if resent:
        yield Finding(
            False,
            f"{resent} items were sent to their tier again in the last minute, because nobody"
            " claimed them in time",
            "are there enough workers, and does the broker lose messages?",
        )
    stale = sum(each.last_minute.get("stale_fences", 0) for each in progress.processes)
    if stale:
        yield Finding(
            False,
            f"{stale} answers came in the last minute after their lease had ended; they were"
            " refused and their cost booked",
            "if this lasts, workers stall: give them more CPU, or set TIERQUEUE_LEASE higher",
        )
    if progress.unreadable:
        yield Finding(
            False,
            f"{progress.unreadable} messages could not be read; their bytes are kept",
            "somebody sends what no task of this house can read: look at raw_messages",
        )


def _paused(progress: Progress) -> Iterator[Finding]:
    for each in progress.paused:
        yield Finding(
            False,
            f"{each.kind} {each.name} was paused by {each.by}",
            f"tierqueue resume {each.kind} {each.name}",
        )


def _waiting(progress: Progress) -> Iterator[Finding]:
    for reason, count in sorted(progress.waiting.items()):
        yield Finding(False, f"{count} items wait: {reason}", "they go on by themselves")


def _exhausted(ceilings: list[CeilingStanding]) -> Iterator[Finding]:
    for each in ceilings:
        if each.spent >= each.limit:
            name = f"{each.scope} {each.name}".removesuffix(" *")
            limit, spent = format_usd(NanoUSD(each.limit)), format_usd(NanoUSD(each.spent))
            yield Finding(
                False,
                f"the ceiling over {name} is used up: {spent} of {limit} ({each.window})",
                "wait for the next window, or raise it: tierqueue ceilings set",
            )
