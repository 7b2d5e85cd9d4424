"""Policies as commands read them: the one in force, else a file's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.router.errors import InvalidPolicy

if TYPE_CHECKING:
    from tierqueue.ledger.session import Transaction
    from tierqueue.router.policy.policy import Policy


def read_policy(path: str | None) -> tuple[Policy, str]:
    """The policy at ``path``, else of ``TIERQUEUE_POLICY``, and its path.

    Raises ``InvalidPolicy``.
    """
    from tierqueue.tasks.settings import read_policy_file

    path = policy_path(path)
    return read_policy_file(Path(path)), path


def policy_path(path: str | None) -> str:
    """``path``, else that of ``TIERQUEUE_POLICY``, whatever the other settings say."""
    from tierqueue.tasks.settings import POLICY_FILE, PREFIX

    return path or os.environ.get(f"{PREFIX}POLICY", str(POLICY_FILE))


def policy_in_force() -> Policy:
    """What was applied last; where nothing ever was, the file of ``TIERQUEUE_POLICY``.

    Raises ``InvalidPolicy``.
    """
    with open_ledger() as ledger, ledger.read() as connection:
        return applied_or_file(connection)


def applied_or_file(connection: Transaction) -> Policy:
    """As ``policy_in_force``, where the ledger is open."""
    from tierqueue.ledger.in_force import policies
    from tierqueue.router.policy.policy import parse_policy
    from tierqueue.tasks.settings import read_settings

    if (applied := policies.applied(connection)) is None:
        return read_policy(None)[0]
    source = f"version {applied.id} of the policy"
    return parse_policy(applied.text, source, read_settings().policy_folder)


def simulated_by_policy(connection: Transaction) -> frozenset[str]:
    """The simulated deployments of the policy in force; none where it cannot be read here."""
    try:
        return applied_or_file(connection).simulated
    except InvalidPolicy:
        return frozenset()


def simulated_known(connection: Transaction) -> frozenset[str]:
    """The simulated deployments of the policy in force and of the ledger's first and last items."""
    from tierqueue.ledger.results import simulated

    return simulated.deployments(connection, simulated_by_policy(connection))
