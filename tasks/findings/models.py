"""Deployments for which another model answers than before."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tierqueue.tasks.findings.finding import Facts, Finding


def findings(facts: Facts) -> Iterator[Finding]:
    """Each change of the last week, until somebody acknowledged what is wrong."""
    for change in facts.models_changed:
        deployment = facts.deployments.get(change.deployment)
        if deployment is None or deployment.model != change.asked:
            continue
        if (facts.acknowledged_at or 0) > change.since:
            continue
        since = datetime.fromtimestamp(change.since / 1e6, UTC)
        yield Finding(
            code="served_model_changed",
            wrong=True,
            what=f"deployment {change.deployment} is answered by {change.served} since"
            f" {since:%Y-%m-%d %H:%M} UTC; before it was {change.before}",
            meanwhile="its answers are taken as before, and what is known of them is of the other"
            " model",
            do="look at its answers; once that is done: tierqueue doctor --acknowledge; to"
            ' allow one model alone, state its dated name and served_model = "exact"',
            detail={
                "deployment": change.deployment,
                "asked": change.asked,
                "before": change.before,
                "served": change.served,
            },
        )
