"""Surrogates that their audits have switched off."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tierqueue.tasks.findings.finding import Facts, Finding


def found(facts: Facts) -> Iterator[Finding]:
    """Those of the policy that answer nothing any more."""
    for off in facts.surrogates_off:
        since = datetime.fromtimestamp(off.at / 1e6, UTC)
        yield Finding(
            code="surrogate_off",
            wrong=True,
            what=f"the surrogate for {off.task} was switched off at {since:%Y-%m-%d %H:%M} UTC:"
            f" {off.record.differed} of its last {off.record.compared} audited answers differed"
            " from the model's, which is more than it was certified for",
            meanwhile="its items go to the model",
            do="train and certify a new one from newer answers, or take it out of the policy",
            detail={
                "task": off.task,
                "version": off.version,
                "compared": off.record.compared,
                "differed": off.record.differed,
            },
        )
