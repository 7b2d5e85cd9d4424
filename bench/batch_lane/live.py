"""The live calls of a plant: made, settled, and ended where their worker was killed."""

from collections.abc import Mapping, Sequence
from typing import Any

from tierqueue.ledger.lifecycle import leases, settlements
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.lost import lost
from tierqueue.tasks.settle.write import Verdict
from tierqueue.workers.caller import judge
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.request import prepare as call_of
from tierqueue.workers.request import whole


def replies_to(
    loop: EventLoopThread,
    station: Station,
    types: Mapping[str, Any],
    contents: Any,
    claimed: Sequence[Claim],
) -> list[tuple[Claim, Any]]:
    """The calls of these claims, all at once, and their replies."""

    async def reply_to(claim: Claim) -> Any:
        call = call_of(station.deployment, claim, types[claim.item.task])
        assert isinstance(call, Call)
        call = await whole(call, contents)
        assert isinstance(call, Call)
        return await station.engine.complete(call)

    submitted = [(claim, loop.submit(reply_to(claim))) for claim in claimed]
    return [(claim, reply.result()) for claim, reply in submitted]


def written_of(
    claim: Claim,
    station: Station,
    types: Mapping[str, Any],
    reply: Any,
    policy: Policy,
    now: int,
) -> Settlement:
    """What the ledger is to write of a reply ``now`` (epoch microseconds)."""
    return settlement(
        claim,
        station.deployment,
        judge(reply, claim, types[claim.item.task], station.deployment),
        policy,
        now,
        0.5,
        verdict=Verdict(condition=None, own=False),
        stopped=False,
    )


def end_leases(ledger: Ledger, policy: Policy, now: int) -> None:
    """What a routing stage's tick does with the calls of workers that are gone."""
    with ledger.write() as connection:
        found = leases.lapsed(connection, now, 10_000)
        ended = [
            lost(
                lapsed,
                policy.deployments[lapsed.attempt.deployment],
                policy,
                now,
                0.5,
                blamed=False,
            )
            for lapsed in found
        ]
        settlements.settle(connection, settlements.prepare(ledger.dialect, ended, now))
