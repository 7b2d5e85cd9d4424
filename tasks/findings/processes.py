"""Processes that are missing or do not get on, and what they left behind."""

from collections.abc import Iterator, Sequence

from tierqueue.ledger.monitoring.progress import Process
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding, alive
from tierqueue.tasks.plural import count


def routing(facts: Facts) -> Iterator[Finding]:
    """Whether a routing stage routes."""
    beating = alive(facts.progress.processes, "routing")
    yield from _superseded(beating)
    stages = [stage for stage in beating if "superseded" not in stage.since]
    unrouted = facts.progress.backlog.get("route")
    waiting = (
        "" if unrouted is None else f"; {count(unrouted.ready, 'item', 'waits', 'wait')} for it"
    )
    detail = {"ready_items": unrouted.ready if unrouted else 0}
    if not stages:
        yield Finding(
            code="no_routing_stage",
            wrong=True,
            what="no routing stage is alive: nothing is routed, sent to a tier or found again"
            f"{waiting}",
            meanwhile="work is accepted and stays in the ledger; nothing is lost",
            do="start the Procfile's routing process, or read its log",
            detail=detail,
        )
    elif min(stage.since.get("looked", stage.up) for stage in stages) > STUCK_SECONDS:
        yield Finding(
            code="routing_stage_stuck",
            wrong=True,
            what="the routing stage lives but has not looked at the ledger's items for"
            f" {STUCK_SECONDS:.0f} seconds{waiting}",
            do="read its log and restart it: nothing is lost by that",
            detail=detail,
        )
    elif unrouted is not None and unrouted.oldest_seconds > STUCK_SECONDS:
        yield Finding(
            code="routing_behind",
            wrong=True,
            what=f"{count(unrouted.ready, 'submitted item')} not routed, the oldest for"
            f" {unrouted.oldest_seconds:.0f} s",
            do="start more routing stages, or read their log",
            detail={**detail, "oldest_seconds": unrouted.oldest_seconds},
        )


def _superseded(stages: Sequence[Process]) -> Iterator[Finding]:
    """Stages with an older policy than the one in force: they route nothing, as if stopped."""
    for stage in stages:
        if (seconds := stage.since.get("superseded")) is None:
            continue
        yield Finding(
            code="routing_stage_superseded",
            wrong=seconds > STUCK_SECONDS,
            what=f"the routing stage {stage.id} routes nothing: for {seconds:.0f} s another policy"
            " than its own has been in force",
            meanwhile="the stages with the policy in force do its work",
            do="its log says why it did not take it; one of an older release is restarted with the"
            " policy in force. If its own is the right one: tierqueue policy apply FILE",
            detail={"process": stage.id, "superseded_seconds": seconds},
        )


def left_behind(facts: Facts) -> Iterator[Finding]:
    """What died or was lost on the way, and who finds it."""
    progress = facts.progress
    if progress.overdue_leases and not alive(progress.processes, "routing"):
        yield Finding(
            code="leases_overdue",
            wrong=True,
            what=f"{count(progress.overdue_leases, 'item', 'belongs', 'belong')} to workers that"
            " died",
            do="start a routing stage: it finds them within a second",
            detail={"items": progress.overdue_leases},
        )
    if progress.promises_owed:
        yield Finding(
            code="producers_not_told",
            wrong=True,
            what=f"{count(progress.promises_owed, 'answer', 'is', 'are')} in the ledger whose"
            " producers were not told",
            meanwhile="the routing stage tells them once the broker can be reached",
            do="is the broker up, and a routing stage alive?",
            detail={"promises": progress.promises_owed},
        )
    if resent := sum(process.last_minute.get("resent", 0) for process in progress.processes):
        yield Finding(
            code="slices_resent",
            wrong=False,
            what=f"{count(resent, 'item', 'was', 'were')} sent to a tier again in the last minute,"
            " because nobody claimed them in time",
            do="are there enough workers, and does the broker lose messages?",
            detail={"items_last_minute": resent},
        )
    if stale := sum(process.last_minute.get("stale_fences", 0) for process in progress.processes):
        yield Finding(
            code="answers_too_late",
            wrong=False,
            what=f"{count(stale, 'answer')} came in the last minute after their lease had ended;"
            " they were refused and their cost booked",
            do="if this lasts, workers stall: give them more CPU, or set TIERQUEUE_LEASE higher",
            detail={"answers_last_minute": stale},
        )
    if progress.unreadable:
        yield Finding(
            code="messages_unreadable",
            wrong=False,
            what=f"{count(progress.unreadable, 'message')} could not be read; the bytes are kept",
            do="see who sends what no task here can read: tierqueue raw-messages list",
            detail={"messages": progress.unreadable},
        )


def other_policy(facts: Facts) -> Iterator[Finding]:
    """Workers that go by another policy than the one in force."""
    for worker in facts.progress.processes:
        digest = worker.detail.get("policy")
        if worker.kind != "worker" or None in (digest, facts.policy) or digest == facts.policy:
            continue
        if worker in alive(facts.progress.processes, "worker", worker.tier):
            yield Finding(
                code="worker_policy_differs",
                wrong=False,
                what=f"the worker {worker.id} goes by another policy than the one in force",
                meanwhile="it serves what it has in common with that one, at its own limits",
                do="its log says why it did not take what was applied; restart it",
                detail={"process": worker.id},
            )


def other_file(facts: Facts) -> Iterator[Finding]:
    """A policy file that counts for nothing, because another policy was applied."""
    applied = facts.applied
    if applied is None or facts.file in (None, applied.digest):
        return
    yield Finding(
        code="policy_file_differs",
        wrong=False,
        what=f"the policy file here is not in force: version {applied.id}, which {applied.by}"
        " applied, is",
        meanwhile="processes of this release go by what was applied last, whatever file they were"
        " started with",
        do="to put the file in force: tierqueue policy apply FILE; to see what is: tierqueue policy"
        " history",
        detail={"version": applied.id, "by": applied.by},
    )


def paused(facts: Facts) -> Iterator[Finding]:
    """What operators hold back."""
    for pause in facts.progress.paused:
        yield Finding(
            code="paused",
            wrong=False,
            what=f"{pause.kind} {pause.name} was paused by {pause.by}",
            meanwhile="its items wait in the ledger, until their deadlines",
            do=f"to let them go on: tierqueue resume {pause.kind} {pause.name}",
            detail={"kind": pause.kind, "name": pause.name, "by": pause.by},
        )
