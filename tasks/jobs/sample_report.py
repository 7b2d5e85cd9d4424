"""The report of a sample on its whole file: who answers, for how much, in what time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tierqueue.ledger.accounting import spending
from tierqueue.ledger.accounting.spending import CallHistory, SpendingQuery
from tierqueue.ledger.evaluation import calls
from tierqueue.ledger.evaluation.calls import RecordedCall
from tierqueue.ledger.in_force import stated_limits
from tierqueue.ledger.job_records import RowAnswer
from tierqueue.ledger.lifecycle.claims import budgets
from tierqueue.ledger.operations import job_rows, jobs
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.jobs.expectation import Estimate, Outlay, share
from tierqueue.tasks.jobs.outlook import time_of
from tierqueue.tasks.jobs.sampled_cost import Stratum, whole
from tierqueue.tasks.jobs.sampling import Layer


@dataclass(slots=True)
class SampleReport:
    """The rows of a sample as ``job_rows.answers`` gives them, and what they say of the file.

    ``outlay`` and ``seconds`` are of the whole file, identical rows paid once, the sample included;
    ``cost`` is what ceilings count of it, in nano-dollars; ``untimed`` says why there are no
    seconds. ``tiers``: answers by tier.
    """

    rows: Sequence[RowAnswer]
    accepted: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    outlay: Outlay = field(default_factory=Outlay)
    cost: Estimate = field(default_factory=Estimate)
    seconds: Estimate | None = None
    untimed: str = ""


def report(
    ledger: Ledger,
    job_id: str,
    layers: Sequence[Layer],
    policy: Policy,
    concurrency: Mapping[Tier, int],
    most_more: Mapping[str, float],
) -> SampleReport:
    """What has become of the sample ``layers`` of a job, and the whole file told from it.

    ``most_more``: what a row can take at the most in the tiers above its first, by part.
    """
    with ledger.read() as connection:
        job = jobs.get(connection, job_id)
        assert job is not None
        most = sum(len(layer.numbers) for layer in layers)
        rows = job_rows.answers(connection, job_id, -1, most)
        asked = SpendingQuery(job=job_id, simulated=policy.simulated)
        past = spending.past(connection, job.task, asked)
        limits = stated_limits.all_set(connection)
        own = [row.id for row in rows if row.fingerprint]
        made, paid = calls.by_item(connection, own), budgets(connection, sorted(own))
    found = SampleReport(rows)
    for row in rows:
        if row.state == State.SUCCEEDED:
            found.accepted += 1
            tier = str(row.tier)
            found.tiers[tier] = found.tiers.get(tier, 0) + 1
        else:
            reason = row.reason or row.state
            found.failed[reason] = found.failed.get(reason, 0) + 1
    parts = {
        part: _whole(layers, rows, _own(rows, made, policy, part), most)
        for part, most in most_more.items()
    }
    found.outlay = Outlay(parts["cash"], parts["engines"], parts["hours"].over(1e9))
    found.cost = found.outlay.counted(policy)
    _time(found, layers, policy, past, concurrency, limits, _places(made, paid))
    return found


def _whole(
    layers: Sequence[Layer],
    rows: Sequence[RowAnswer],
    own: Mapping[str, float],
    most_more: float,
) -> Estimate:
    by_number = {row.number: row for row in rows}
    strata: list[Stratum] = []
    more: list[float] = []
    for layer in layers:
        its = [by_number[number] for number in layer.numbers if number in by_number]
        plain = [_of(row, own) for row in its if not row.refused_by]
        mean = sum(plain) / len(plain) if plain else 0.0
        # What a row that went on cost where it was asked first counts as what the others cost.
        onward = [_of(row, own) for row in its if row.refused_by]
        more += [max(0.0, cost - mean) for cost in onward]
        strata.append(Stratum(layer.rows, [*plain, *[mean] * len(onward)], layer.unsure))
    return whole(strata, more, most_more)


def _own(
    rows: Sequence[RowAnswer],
    made: Mapping[str, Sequence[RecordedCall]],
    policy: Policy,
    part: str,
) -> dict[str, float]:
    """Of each item what its calls took of a part of the outlay; all but engines' time is cash."""
    of = "engines" if part == "cash" else part
    shares = {name: float(share(policy, name, of)) for name in policy.deployments}
    took = {
        item: sum(call.cost * shares.get(call.deployment, 0.0) for call in its)
        for item, its in made.items()
    }
    if part != "cash":
        return took
    return {row.id: row.spent - took.get(row.id, 0.0) for row in rows}


def _of(row: RowAnswer, own: Mapping[str, float]) -> float:
    return own.get(row.id, 0.0) if row.fingerprint is not None else 0.0


def _time(
    found: SampleReport,
    layers: Sequence[Layer],
    policy: Policy,
    past: Mapping[tuple[str, bool], CallHistory],
    concurrency: Mapping[Tier, int],
    limits: Mapping[str, Mapping[str, int]],
    paid_by: Mapping[tuple[str, str], int],
) -> None:
    known = {
        name: there
        for name, deployment in policy.deployments.items()
        if (there := past.get((name, deployment.simulated))) is not None and there.items
    }
    scale = sum(layer.rows for layer in layers) / len(found.rows) if found.rows else 0.0
    visits = {name: there.items * scale for name, there in known.items()}
    paid = {place: items * scale for place, items in paid_by.items() if place[0] in known}
    seconds, found.untimed = time_of(visits, policy, known, concurrency, limits, paid)
    by_number = {row.number: float((row.receipt or {}).get("seconds") or 0.0) for row in found.rows}
    strata = [
        Stratum(layer.rows, [by_number[n] for n in layer.numbers if n in by_number], layer.unsure)
        for layer in layers
    ]
    busy = whole(strata, [])
    if seconds is not None and busy.value:
        low, high = busy.low / busy.value, busy.high / busy.value
        found.seconds = Estimate(seconds * low, seconds, seconds * high)


def _places(
    made: Mapping[str, Sequence[RecordedCall]], paid: Mapping[str, str | None]
) -> Counter[tuple[str, str]]:
    """For how many items, each at which deployment, a budget paid."""
    places: Counter[tuple[str, str]] = Counter()
    for item, its in made.items():
        if (budget := paid.get(item)) is not None:
            places.update({(call.deployment, budget) for call in its})
    return places
