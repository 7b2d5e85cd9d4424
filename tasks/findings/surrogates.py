"""Surrogates and rules that their audits have switched off."""

from collections.abc import Iterator

from tierqueue.ledger.in_force.surrogates import SwitchOff
from tierqueue.router.item import BelowTier
from tierqueue.router.policy.duration import utc
from tierqueue.tasks.findings.finding import Facts, Finding, alive


def deferring(facts: Facts) -> Iterator[Finding]:
    """Those that answer nothing in a routing stage, because their embedding is not there."""
    for stage in alive(facts.progress.processes, "routing"):
        for task, why in sorted(dict(stage.detail.get("deferring") or {}).items()):
            yield Finding(
                code="surrogate_deferring",
                wrong=True,
                what=f"the surrogate for {task} answers nothing in the routing stage {stage.id}:"
                f" {why}",
                meanwhile="its items go to the model",
                do="put the folder that it was trained with there, name it as the surrogate's"
                " embedding in the policy, and restart that stage",
                detail={"task": task, "process": stage.id, "why": why},
            )


def findings(facts: Facts) -> Iterator[Finding]:
    """Those of the policy that answer nothing any more."""
    for off in facts.surrogates_off:
        if off.version.startswith(f"{BelowTier.RULE.value}-"):
            yield Finding(
                code="rule_off",
                wrong=bool(off.record.compared),
                what=f"the rules for {off.task} were {_how(off)}",
                meanwhile="their items go to the model",
                do="look at what differed and change the words or the table, or take the rules out"
                " of the policy"
                if off.record.compared
                else f"tierqueue router promote {off.version}, or take them out of the policy",
                detail=_detail(off),
            )
            continue
        yield Finding(
            code="surrogate_off",
            wrong=bool(off.record.compared),
            what=f"the surrogate for {off.task} was {_how(off)}",
            meanwhile="its items go to the model",
            do="train and certify a new one from newer answers, or take it out of the policy"
            if off.record.compared
            else f"tierqueue router promote {off.version}, or take it out of the policy",
            detail=_detail(off),
        )


def _how(off: SwitchOff) -> str:
    at = f"{utc(off.at):%Y-%m-%d %H:%M} UTC"
    if not off.record.compared:
        return f"retired by somebody at {at}"
    return (
        f"switched off at {at}: {off.record.differed} of the last {off.record.compared} audited"
        " answers differed from the model's, which is more than was promised"
    )


def _detail(off: SwitchOff) -> dict[str, object]:
    return {
        "task": off.task,
        "version": off.version,
        "compared": off.record.compared,
        "differed": off.record.differed,
    }
