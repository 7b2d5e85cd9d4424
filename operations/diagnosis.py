"""The doctor's diagnosis: a check of the system, and what is wrong with its settings and policy."""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from tierqueue.ledger.in_force.policies import AppliedPolicy
from tierqueue.operations import health
from tierqueue.operations.health import wrong_setting
from tierqueue.router.errors import InvalidPolicy, TierqueueError, Unpriced
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import max_rate
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.findings import in_order
from tierqueue.tasks.findings.finding import Finding


def diagnosis(app: TierqueueApp) -> list[Finding]:
    """Everything there is to say, also where settings or the policy are wrong."""
    applied: AppliedPolicy | None = None

    def checked() -> list[Finding]:
        nonlocal applied
        found = health.check(app)
        applied = found.applied
        return found.findings

    found: list[Finding] = []
    for part in (checked, lambda: _stated(app, applied)):
        try:
            found += part()
        except TierqueueError as error:
            wrong = wrong_setting(error, "set it right, then look again")
            if wrong not in found:
                found.append(wrong)
    return in_order(found)


def _stated(app: TierqueueApp, applied: AppliedPolicy | None) -> list[Finding]:
    """Deployments of the policy in force; those of a file here that is not in force, as notes."""
    if applied is None:
        return _uncallable(app.installation.policy, os.environ)
    found = _uncallable(app.installation.read_applied(applied), os.environ)
    aside = f"the policy file here, which is not in force (version {applied.id} is)"
    try:
        file = app.installation.policy
    except InvalidPolicy as error:
        what = f"{aside}, cannot be read: {error.message}"
        do = "set it right before you apply it"
        return [*found, Finding(code="policy_file_unread", wrong=False, what=what, do=do)]
    others = [one for one in _uncallable(file, os.environ) if one not in found]
    return [*found, *(replace(one, wrong=False, what=f"{aside}: {one.what}") for one in others)]


def _uncallable(policy: Policy, environ: Mapping[str, str]) -> list[Finding]:
    """Deployments that can never be called: without a price, or without a key in ``environ``."""
    found = []
    for deployment in policy.deployments.values():
        try:
            max_rate(deployment, datetime.now(UTC).date())
        except Unpriced as error:
            found.append(
                wrong_setting(error, f"state its prices under deployments.{deployment.name}")
            )
        if (
            deployment.key_env is not None
            and not environ.get(deployment.key_env)
            and not deployment.simulated
        ):
            found.append(
                Finding(
                    code="no_key_here",
                    wrong=False,
                    what=f"deployment {deployment.name} ({deployment.tier}) has no key here:"
                    f" {deployment.key_env} is not set",
                    do="only the worker of that tier needs it",
                    detail={"deployment": deployment.name, "key_env": deployment.key_env},
                )
            )
    return found
