"""Applying policies, and the record of it: which text, who, when, why."""

from sqlalchemy import insert, select

from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import policies
from tierqueue.ledger.in_force.policies import APPLIED, AppliedPolicy
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import policy_versions
from tierqueue.router.policy.policy import Policy, digest_of


def apply(
    connection: Transaction, policy: Policy, text: str, *, by: str, reason: str | None
) -> AppliedPolicy:
    """Put ``policy``, whose ``text`` this is, in force for every process.

    Its ceilings are to be seeded in the same transaction.
    """
    before = policies.in_force(connection)
    version = _written(connection, policy.digest, text, by, reason)
    detail = {"version": version.id, "digest": policy.digest, "in force before": before}
    audit_log.note(connection, by=by, what="apply policy", detail=detail, reason=reason)
    policies.start(connection, policy.digest, version.at)
    return version


def record_file(connection: Transaction, text: str, *, by: str) -> None:
    """Write down the file that is in force, where nothing was ever applied, as a version to go
    back to; another text than that of the policy in force is not.
    """
    digest = digest_of(text)
    if policies.applied_digest(connection) is None and policies.in_force(connection) == digest:
        _written(connection, digest, text, by, "the file that was in force before")


def _written(
    connection: Transaction, digest: str, text: str, by: str, reason: str | None
) -> AppliedPolicy:
    now = database_now(connection)
    row = {"digest": digest, "text": text, "at": now, "by": by, "reason": reason}
    key = connection.execute(insert(policy_versions).values(row)).inserted_primary_key
    assert key is not None
    return AppliedPolicy(key[0], digest, text, now, by, reason)


def history(connection: Transaction, limit: int) -> list[AppliedPolicy]:
    """What was applied, the newest first."""
    found = select(*APPLIED).order_by(policy_versions.c.id.desc()).limit(limit)
    return [AppliedPolicy.from_row(row) for row in connection.execute(found)]


def version(connection: Transaction, number: int) -> AppliedPolicy | None:
    """The version of this number."""
    found = select(*APPLIED).where(policy_versions.c.id == number)
    row = connection.execute(found).one_or_none()
    return None if row is None else AppliedPolicy.from_row(row)


def before(connection: Transaction, applied: AppliedPolicy) -> AppliedPolicy | None:
    """The last version before this one that says anything else."""
    found = (
        select(*APPLIED)
        .where(policy_versions.c.id < applied.id, policy_versions.c.digest != applied.digest)
        .order_by(policy_versions.c.id.desc())
        .limit(1)
    )
    row = connection.execute(found).one_or_none()
    return None if row is None else AppliedPolicy.from_row(row)
