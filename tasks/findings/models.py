"""Models: deployments that another one answers for than before, and answers' own that none hold."""

from collections.abc import Iterator

from tierqueue.router.item import TIERS
from tierqueue.router.policy.duration import utc
from tierqueue.tasks.findings.finding import Facts, Finding, alive


def findings(facts: Facts) -> Iterator[Finding]:
    """Each change of the last week, until somebody acknowledged what is wrong."""
    for change in facts.models_changed:
        deployment = facts.deployments.get(change.deployment)
        if deployment is None or deployment.model != change.asked:
            continue
        if (facts.acknowledged_at or 0) > change.since:
            continue
        since = utc(change.since)
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


def not_held(facts: Facts) -> Iterator[Finding]:
    """Each model of a task type that the grammar of a living worker's engine cannot hold."""
    workers = (
        worker for tier in TIERS for worker in alive(facts.progress.processes, "worker", tier)
    )
    told = {
        (one["task"], one["deployment"], one["part"])
        for worker in workers
        for one in worker.detail.get("not_held", ())
    }
    for task, deployment, part in sorted(told):
        yield Finding(
            code="answer_not_held",
            wrong=True,
            what=f"deployment {deployment} cannot hold the answers of {task} to their model: its"
            f" engine makes no grammar of {part}",
            meanwhile="such an item ends there with the kind grammar, uncharged, and is given to"
            " another deployment of the tier or to the tier above, or dies where there is none",
            do="change that part of the model and restart the workers, or have the deployment do"
            " other task types alone (tasks)",
            detail={"task": task, "deployment": deployment, "part": part},
        )
