"""A deployment's condition over all workers: whether it serves, and who may call it now.

A deployment's fault is nobody's call. ``its_own`` is the one place that says when a fault is the
item's after all; ``after`` is the one place that says how a condition changes.

Clear: everybody may call. Held back, after a few faults in a row or a stated Retry-After: nobody,
``until`` then. On trial from then on: one item at a time, another each time, until one is served.
After a single throttling there is no trial, unless it lasts: everybody goes on.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import assert_never

from tierqueue.router.outcome import (
    NEEDS_SOMEBODY,
    Accepted,
    Failed,
    FlexRefused,
    Interrupted,
    Outcome,
    Rejected,
    Throttled,
    Trouble,
    Unavailable,
    Unknown,
)
from tierqueue.router.policy.duration import SECOND_US

FAULTS = 5
"""Faults in a row, over all items and workers, that hold a deployment back."""

REFUSALS = 3
"""As ``FAULTS``, where the last of them says that a person has to mend something, or may have been
billed; for want of a key it is one."""

LONGEST_PAUSE = 15.0
"""The most seconds between two trials: a mended deployment is seen within as many."""

LONGEST_PAID_PAUSE = 60.0
"""As ``LONGEST_PAUSE``, where each trial may be billed although no reply comes."""

LONGEST_HOLD = 600.0
"""The most seconds that a stated Retry-After holds a deployment back: then it is tried."""

LONG_WAIT_SECONDS = 60.0
"""Seconds of throttling, stated or tried, that are more than a rate: an account's limit of the day.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One deployment's; times in epoch microseconds.

    ``code`` and ``detail`` are the last fault's and ``since`` is when the row of ``faults`` began;
    without a code it serves. ``until``: held back until then, ``None`` where it was never held
    back since. ``rounds`` counts how often it was. ``faulted_by`` is the last fault's item,
    ``probe`` the item on trial and ``probe_until`` when its trial is given up. ``told_at``:
    somebody was told.
    """

    deployment: str
    code: Trouble | None = None
    detail: str = ""
    since: int | None = None
    until: int | None = None
    faults: int = 0
    rounds: int = 0
    faulted_at: int | None = None
    faulted_by: str | None = None
    served_at: int | None = None
    probe: str | None = None
    probe_until: int | None = None
    told_at: int | None = None

    @property
    def held(self) -> bool:
        """Whether it has been held back since it last served: not everybody may call."""
        return self.until is not None

    @property
    def unavailable(self) -> bool:
        """Whether another deployment should take over: it is held back, and not for its rate."""
        return self.held and (self.code != "throttled" or self.lasting)

    @property
    def lasting(self) -> bool:
        """Whether it is throttled for so long that somebody should know, and another take over.

        Its provider asked for so long a wait, or no trial was served for so long.
        """
        if self.code != "throttled" or self.until is None or self.since is None:
            return False
        last = self.faulted_at or self.since
        return max(last - self.since, self.until - last) > LONG_WAIT_SECONDS * SECOND_US

    @property
    def needs_somebody(self) -> bool:
        """Whether a person has to mend something."""
        return self.code in NEEDS_SOMEBODY

    def wait(self, now: int) -> float:
        """Seconds until anybody may call; 0 when somebody may."""
        ahead = ((self.until or 0) - now) / SECOND_US
        # Held for longer than ever: the clock was set back since.
        return ahead if 0 < ahead <= LONGEST_HOLD else 0.0

    def free(self, now: int) -> bool:
        """Whether everybody may call."""
        if self.until is None:
            return True
        rate = self.code == "throttled" and not self.lasting
        return rate and self.rounds < 2 and not self.wait(now)

    def may_call(self, item: str, now: int) -> bool:
        """Whether this item may: everybody may, or it is the one on trial."""
        return self.free(now) or (self.probe == item and not self.wait(now))

    def wants_probe(self, now: int) -> bool:
        """Whether an item should be put on trial."""
        if self.free(now) or self.wait(now):
            return False
        return self.probe is None or now >= (self.probe_until or 0)

    def in_words(self) -> str:
        """The fault in words for people, without a secret."""
        return f"{self.code} ({self.detail})" if self.detail else str(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCall:
    """A call was answered ``at`` that had been ``begun``, both in epoch microseconds."""

    item: str
    begun: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A call that had been ``begun`` was not; ``after``: the seconds of its Retry-After, ``draw``:
    uniform in [0, 1).
    """

    item: str
    begun: int
    at: int
    code: Trouble
    detail: str
    after: float | None = None
    draw: float = 0.0


def seen_in(
    outcome: Outcome, item: str, begun: int, at: int, draw: float
) -> ServedCall | Fault | None:
    """What the end of a call says of its deployment; ``None`` where it says nothing.

    A refused request was answered all the same; what we ended ourselves says nothing. ``begun``
    and ``at`` in epoch microseconds, ``draw`` uniform in [0, 1).
    """
    served = ServedCall(item=item, begun=begun, at=at)
    code: Trouble = "outage"
    wait: float | None = None
    match outcome:
        case Rejected(reason="wrong_model", model_served=served_model):
            code, detail = "wrong_model", f"{served_model} answered"
        case Accepted() | Rejected() | FlexRefused() | Failed(transient=False):
            return served
        case Interrupted():
            return None
        case Throttled(after=wait):
            code, detail = "throttled", ""
        case Unavailable(kind=code, message=detail, after=wait):
            pass
        case Unknown(kind="unreadable_bill", message=detail):
            code = "unreadable_bill"
        case Unknown(message=detail):
            code = "reply_lost"
        case Failed(message=detail):
            pass
        case _:
            assert_never(outcome)
    return Fault(item=item, begun=begun, at=at, code=code, detail=detail, after=wait, draw=draw)


def its_own(condition: Condition, item: str, since: int) -> bool:
    """Whether a fault is what the item itself brings about, so that it is a call of its own.

    It is if the deployment has served somebody ``since`` (epoch microseconds: when this call
    began, or when the item's last call ended if that was a fault too), unless another item has
    failed since then: what fails one after the other is the deployment.
    """
    served, faulted = condition.served_at, condition.faulted_at
    if served is None or served < since:
        return False
    return faulted is None or faulted <= served or condition.faulted_by == item


def after(condition: Condition, event: ServedCall | Fault) -> Condition:
    """The condition once this has happened."""
    match event:
        case ServedCall():
            return _served(condition, event)
        case Fault():
            return _faulted(condition, event)


def _served(condition: Condition, event: ServedCall) -> Condition:
    served = replace(condition, served_at=max(condition.served_at or 0, event.at))
    if condition.code is None:
        return served
    if _under_way(condition, event):
        return served
    told_at = condition.told_at
    return Condition(deployment=condition.deployment, served_at=served.served_at, told_at=told_at)


def _faulted(condition: Condition, event: Fault) -> Condition:
    faults = condition.faults + 1
    changed = replace(
        condition,
        code=event.code,
        detail=event.detail,
        since=event.at if condition.since is None else min(condition.since, event.at),
        faults=faults,
        faulted_at=event.at,
        faulted_by=event.item,
    )
    if condition.probe == event.item:
        changed = replace(changed, probe=None, probe_until=None)
    stated = event.after if event.after is not None and isfinite(event.after) else None
    if condition.until is not None and _under_way(condition, event):
        # It says nothing new, but for how long.
        if condition.code == "throttled" or event.code == "throttled":
            changed = replace(changed, code=condition.code, detail=condition.detail)
        if stated is None:
            return changed
        return replace(changed, until=max(condition.until, event.at + _hold(stated)))
    paid = event.code == "reply_lost"
    few = REFUSALS if paid or event.code in NEEDS_SOMEBODY else FAULTS
    few = 1 if event.code == "no_key" else few
    if not (condition.held or event.code == "throttled" or stated is not None or faults >= few):
        return changed
    rounds = condition.rounds + 1
    longest = LONGEST_PAID_PAUSE if paid else LONGEST_PAUSE
    pause = min(longest, 2.0 ** min(rounds - 1, 16)) * (1 + event.draw) / 2
    wait = _hold(pause if stated is None else stated)
    return replace(changed, rounds=rounds, until=event.at + wait, probe=None, probe_until=None)


def _under_way(condition: Condition, event: ServedCall | Fault) -> bool:
    """Whether the call had begun before anybody might try what is held back: what came of it tells
    of the time before, however late it comes.
    """
    # Not where the clock was set back since.
    return event.begun < (condition.until or 0) and (condition.since or 0) <= event.at


def _hold(seconds: float) -> int:
    return round(min(max(seconds, 0.0), LONGEST_HOLD) * SECOND_US)
