"""Every invariant of a fault run, and what the run measured."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from bench.checker.limits import limits_kept
from bench.checker.run import Row, Run, Violations, percentile

ENDS = ("succeeded", "dead", "cancelled")
STATES = ("submitted", "routed", "queued", "running", "waiting", "handed_over", *ENDS)
SHOWN = 20
"""Offending keys printed for each broken invariant."""

TROUBLES = {"provider_outage": ("503", "gateway"), "key_revoked": ("unauthorized",)}
"""What befell the providers, and what their own log says of calls then."""

OF_OUTAGE = ("exhausted", "refused", "no_route", "unknown")
"""Ends that an item whose provider is away could come to."""

AFTERMATH = 10.0
"""Seconds after a trouble in which such an end is still laid to it."""

RECOVERY = 2.0
"""Seconds beyond the lease in which what a killed worker held must be ready again."""


def check(run: Run, lease_seconds: float) -> tuple[Violations, dict[str, Any]]:
    """Every invariant, and the figures of the run."""
    found = Violations(run)
    stale = _stale(run, found)
    figures: dict[str, Any] = {
        "accepted": len(run.items),
        "ends": _ends(run),
        "lost": _no_loss(run, found),
        "accepted_twice": one_result(run, found),
        **stale,
        "over_ceiling_nanousd": _money(run, found),
        **_charges(run, found),
        **_recovery(run, found, lease_seconds),
        "calls": len(run.calls),
    }
    figures["condemned"] = _poison(run, found)
    figures["died_of_outage"] = _outages(run, found)
    limits_kept(run, found, lease_seconds)
    _always(run, found)
    return found, figures


def _ends(run: Run) -> dict[str, int]:
    named = Counter(
        f"dead:{row['reason']}" if row["state"] == "dead" else row["state"]
        for row in run.items.values()
    )
    return dict(sorted(named.items()))


def _no_loss(run: Run, found: Violations) -> int:
    """I1: every ok key ends once, an unknown one once or was never there; producers are told."""
    lost = 0
    for line in run.keys:
        item = run.item_of(line["key"])
        if item is None:
            if line["status"] == "ok":
                lost += 1
                found.add("I1", line["key"], "was accepted and is not in the ledger")
        elif item["state"] not in ENDS or item["ended_at"] is None:
            lost += 1
            found.add("I1", line["key"], f"has not ended: {item['state']}")
    known = {item["id"] for line in run.keys if (item := run.item_of(line["key"])) is not None}
    for item in run.items.values():
        if item["id"] not in known and item["state"] not in ENDS:
            lost += 1
            found.add("I1", item["id"], f"has not ended: {item['state']}")
    for promise in run.promises.values():
        item = run.items[promise["item_id"]]
        if promise["kept_at"] is None and item["state"] in ENDS:
            found.add("I1", promise["id"], "has ended and its producer was never told")
    return lost


def one_result(run: Run, found: Violations) -> int:
    """I2: one accepted result an item, under the highest fence, from one call a fence."""
    twice = 0
    for item in run.items.values():
        tried = run.attempts[item["id"]]
        accepted = [row["fence"] for row in tried if row["outcome"] == "accepted"]
        highest = max((row["fence"] for row in tried), default=0)
        wanted = [item["fence"]] if item["state"] == "succeeded" else []
        if accepted != wanted or item["fence"] != highest:
            twice += 1
            says = f"{item['state']} under fence {item['fence']}, accepted under {accepted}"
            found.add("I2", item["id"], f"{says}, highest claim {highest}")
    for (item_id, fence), calls in run.calls_by_fence.items():
        if len(calls) > 1:
            twice += 1
            found.add("I2", item_id, f"was called {len(calls)} times under fence {fence}")
    for key, count in Counter(line["item"] for line in run.bare).items():
        if count > 1:
            twice += 1
            found.add("I2", key, f"was accepted {count} times")
    return twice


def _stale(run: Run, found: Violations) -> dict[str, int]:
    """I3: nothing that came under an old fence stands in the ledger or at the broker."""
    tried = 0
    accepted = 0
    for item_id, fence in run.stale:
        item = run.items.get(item_id)
        if item is None:
            continue
        outcome = next(
            (row["outcome"] for row in run.attempts[item_id] if row["fence"] == fence), None
        )
        # A settle repeated because its reply was lost is told "stale" too, and is none.
        if fence == item["fence"] and outcome not in ("unknown", "lost", "late"):
            continue
        tried += 1
    for item in run.items.values():
        highest = max((row["fence"] for row in run.attempts[item["id"]]), default=0)
        for row in run.attempts[item["id"]]:
            if row["outcome"] == "accepted" and row["fence"] < highest:
                tried, accepted = tried + 1, accepted + 1
                found.add("I3", item["id"], f"took a result under {row['fence']} of {highest}")
        said = (item["output"] or {}).get("text", "") if item["state"] == "succeeded" else ""
        whose, slash, under = str(said).rpartition("/")
        if slash and whose == item["id"] and under != str(item["fence"]):
            accepted += 1
            found.add("I3", item["id"], f"has the answer of fence {under}, not {item['fence']}")
    for line in run.results:
        item = run.item_of(line["key"])
        answer = line["result"] if line["status"] == "SUCCESS" else None
        ledger = item["output"] if item is not None and item["state"] == "succeeded" else None
        if (answer or {}).get("output") != ledger:
            accepted += 1
            found.add("I3", line["key"], "told its producer something else than the ledger says")
    if not tried and any(line["kind"] == "zombie" for line in run.faults):
        found.add("I3", "(none)", "no stale write was attempted: the test did not bite")
    return {"stale_writes_attempted": tried, "stale_writes_accepted": accepted}


def _money(run: Run, found: Violations) -> int:
    """I4: never over a ceiling, by the ledger's books and by the engines' own."""
    over = 0
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    most: dict[str, int] = defaultdict(int)
    for entry in run.entries:
        total = sums[entry["balance_id"]]
        total[0] += entry["held"]
        total[1] += entry["spent"]
        most[entry["balance_id"]] = max(most[entry["balance_id"]], sum(total))
    by_engine: Counter[tuple[str, str]] = Counter()
    for call in run.calls:
        item = run.items.get(call["item"])
        if item is not None and call["cost_nanousd"]:
            by_engine["budget", item["budget"]] += call["cost_nanousd"]
            by_engine["job", item["job_id"]] += call["cost_nanousd"]
    for row in run.balances:
        held, spent = sums[row["id"]]
        if (row["held"], row["spent"]) != (held, spent):
            found.add("I4", row["id"], "its figures are not the sums of its entries")
        if row["held"]:
            found.add("I4", row["id"], f"still holds {row['held']} nano-dollars after quiet")
        limit = run.limit(row["scope"], row["name"], row["window"])
        above = max(row["peak"], most[row["id"]]) - limit
        if above > 0:
            over = max(over, above)
            found.add("I4", row["id"], f"went {above} nano-dollars over its ceiling")
    for (scope, name), cost in by_engine.items():
        limit = run.limit(scope, name, "total") if name is not None else cost
        if cost > limit:
            over = max(over, cost - limit)
            keys = [item for item in run.items.values() if item[_COLUMN[scope]] == name]
            for item in keys[:SHOWN]:
                found.add("I4", item["id"], f"{scope} {name} was billed {cost - limit} over")
    return over


_COLUMN = {"budget": "budget", "job": "job_id"}


def _charges(run: Run, found: Violations) -> dict[str, int]:
    """I4: what the engines billed is what the ledger charged, but for declared unknowns."""
    unknown = declared = 0
    for item in run.items.values():
        tried = run.attempts[item["id"]]
        if item["held"] or item["spent"] != sum(row["cost"] or 0 for row in tried):
            found.add("I4", item["id"], "holds money, or has not spent what its attempts cost")
        for row in tried:
            billed = sum(
                call["cost_nanousd"] for call in run.calls_by_fence[item["id"], row["fence"]]
            )
            if row["ended_at"] is None:
                found.add("I4", item["id"], f"the attempt of fence {row['fence']} is open")
            elif row["outcome"] == "unknown":
                unknown += 1
                declared += row["cost"]
                if billed > row["cost"]:
                    found.add("I4", item["id"], f"was billed {billed}, booked {row['cost']}")
            elif row["metered"] and billed != row["cost"]:
                found.add("I4", item["id"], f"was billed {billed}, charged {row['cost']}")
    for item_id, fence in list(run.calls_by_fence):
        if fence not in {row["fence"] for row in run.attempts[item_id]}:
            found.add("I4", item_id, f"was called under fence {fence}, which nobody claimed")
    return {"unknown_charges": unknown, "unknown_nanousd": declared}


def _recovery(run: Run, found: Violations, lease_seconds: float) -> dict[str, Any]:
    """I7: what a killed worker held is ready again, or has ended, soon after its lease."""
    recovered = [line for line in run.faults if line["kind"] == "recovered"]
    seconds = sorted(line["seconds"] for line in recovered)
    for line in run.faults:
        if line["kind"] == "not_recovered":
            found.add("I7", line["item"], "was never seen ready again after its worker was killed")
    p99 = percentile(seconds, 99)
    if p99 is not None and p99 > lease_seconds + RECOVERY:
        slowest = max(recovered, key=lambda line: line["seconds"])
        found.add("I7", slowest["item"], f"p99 {p99} s until ready again, lease {lease_seconds} s")
    across = [line["seconds"] for line in run.faults if line["kind"] == "recovered_after_outage"]
    return {
        "recovered": len(seconds),
        "recovered_after_outage": len(across),
        "recovery_after_outage_max_s": max(across, default=None),
        "recovery_p50_s": percentile(seconds, 50),
        "recovery_p99_s": p99,
        "recovery_max_s": seconds[-1] if seconds else None,
    }


def _poison(run: Run, found: Violations) -> int:
    """I9: what kills its workers is dead as poison, what it took with it is not.

    Returns how many others were lost with as many workers as poison is allowed, by chance: also a
    neighbour that stood beside it and then lost a worker to another fault.
    """
    poison = {line["key"] for line in run.keys if line["how"] == "poison"}
    beside = {line["key"] for line in run.keys if line["how"] == "neighbour"}
    dead = {item["id"] for item in run.items.values() if item["reason"] == "poison"}
    for key in poison:
        if (item := run.item_of(key)) is not None and item["id"] not in dead:
            found.add("I9", key, f"killed its workers and is {item['state']}")
    killed = {worker for key in poison for worker in lost_with(run, run.item_of(key))}
    for key in beside:
        item = run.item_of(key)
        if item is not None and item["id"] in dead and lost_with(run, item) <= killed:
            found.add("I9", key, "was condemned with its neighbour")
    return len(dead) - sum(run.item_of(key) is not None for key in poison)


def _outages(run: Run, found: Violations) -> int:
    """I10: no item with time left dies while its provider is down or refuses the key, or of it.

    Returns how many did. A trouble that nobody met proves nothing, and is said to be missed.
    """
    died = 0
    for fault in run.faults:
        if fault["kind"] not in TROUBLES:
            continue
        since, until = fault["since"], fault["at"]
        met = {call.get("fault") for call in run.calls if since <= call["started"] <= until}
        if missed := set(TROUBLES[fault["kind"]]) - met:
            what = f"{', '.join(sorted(missed))}: nobody called between {since} and {until}"
            found.add("bite", fault["kind"], what)
        for item in run.items.values():
            ended = (item["ended_at"] or 0) / 1e6
            if item["reason"] in OF_OUTAGE and since <= ended <= until + AFTERMATH:
                died += 1
                found.add("I10", item["id"], f"died as {item['reason']} of a {fault['kind']}")
    return died


def lost_with(run: Run, item: Row | None) -> set[str]:
    """The workers that were lost while they held this item."""
    tried = [] if item is None else run.attempts[item["id"]]
    return {row["worker"] for row in tried if row["outcome"] in ("lost", "unknown")}


def _always(run: Run, found: Violations) -> None:
    """I11: at every sample each item was in one known state, and none ever went away."""
    before, ended = 0, 0
    for sample in run.samples:
        states = sample["states"]
        strange = states.keys() - set(STATES)
        total, ends = sum(states.values()), sum(states.get(end, 0) for end in ENDS)
        if strange or total != sample["total"] or total < before or ends < ended:
            found.add("I11", f"sample at {sample['at']}", f"{states} of {sample['total']}")
        before, ended = total, ends


def report(found: Violations, lines: Iterable[str] = ()) -> None:
    """Print what is broken, each with its first offending keys."""
    for line in lines:
        print(line)
    for invariant, offences in sorted(found.by_invariant.items()):
        print(f"{invariant} is broken by {len(offences)}:")
        for key, why in offences[:SHOWN]:
            print(f"  {key}: {why}")
