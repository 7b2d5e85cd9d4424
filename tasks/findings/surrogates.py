"""Surrogates that their audits have switched off."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tierqueue.ledger.in_force.surrogates import Off
from tierqueue.tasks.findings.finding import Facts, Finding


def findings(facts: Facts) -> Iterator[Finding]:
    """Those of the policy that answer nothing any more."""
    for off in facts.surrogates_off:
        since = datetime.fromtimestamp(off.at / 1e6, UTC)
        yield Finding(
            code="surrogate_off",
            wrong=bool(off.record.compared),
            what=f"the surrogate for {off.task} was {_how(off, f'{since:%Y-%m-%d %H:%M} UTC')}",
            meanwhile="its items go to the model",
            do="train and certify a new one from newer answers, or take it out of the policy"
            if off.record.compared
            else f"tierqueue router promote {off.version}, or take it out of the policy",
            detail={
                "task": off.task,
                "version": off.version,
                "compared": off.record.compared,
                "differed": off.record.differed,
            },
        )


def _how(off: Off, at: str) -> str:
    if not off.record.compared:
        return f"retired by somebody at {at}"
    return (
        f"switched off at {at}: {off.record.differed} of its last {off.record.compared} audited"
        " answers differed from the model's, which is more than it was certified for"
    )
