"""A ceiling as it is named on a command line: its scope, its window and its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tierqueue.operations.cli.input.names import job_named
from tierqueue.operations.cli.input.policies import applied_or_file
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Purpose, shown
from tierqueue.router.money import NanoUSD, format_usd, parse_usd
from tierqueue.router.policy.policy_errors import nearest, plain_message, there_is_no

if TYPE_CHECKING:
    from tierqueue.ledger.session import Transaction
    from tierqueue.router.policy.tables import CeilingRule

SCOPES = ("everything", "budget", "job", "tier", "deployment", "provider", "purpose")
WINDOWS = ("total", "hour", "day", "week", "month")

_MOST = 2**63 - 1
"""Nano-dollars that a column of the ledger holds."""


def scope_of(connection: Transaction, text: str) -> tuple[str, str]:
    """``budget:acme`` -> its kind and name; a kind alone stands for each name of it (``*``).

    Raises ``InvalidItem``.
    """
    kind, separator, name = text.partition(":")
    if kind not in SCOPES or (separator and not name) or (kind == "everything" and separator):
        raise InvalidItem(
            f"{shown(text)!r} is not a scope: write it like everything, budget, budget:acme,"
            " job:ID, tier:frontier, deployment:NAME, provider:NAME or purpose:shadow"
            f"{nearest(kind, SCOPES)}"
        )
    if kind == "job" and name:
        name = job_named(connection, name)
    return kind, name or "*"


def scope_text(kind: str, name: str) -> str:
    """What ``scope_of`` reads: ``budget:acme``, or the kind alone for each name of it."""
    return kind if name == "*" else f"{kind}:{name}"


def amount_of(text: str) -> NanoUSD:
    """``50usd`` in nano-dollars. Raises ``InvalidItem`` for more than the ledger can count."""
    amount = parse_usd(text)
    if amount > _MOST:
        raise InvalidItem(f"{text!r} is more than the ledger can count")
    return amount


def rule_of(kind: str, name: str, window: str, amount: NanoUSD, timezone: str) -> CeilingRule:
    """The ceiling itself. Raises ``InvalidItem`` for what cannot be one, such as no time zone."""
    from pydantic import ValidationError

    from tierqueue.router.policy.tables import CeilingRule

    stated = {"scope": kind, "name": name, "window": window, "timezone": timezone}
    try:
        return CeilingRule.model_validate({**stated, "limit": format_usd(amount)})
    except ValidationError as error:
        raise InvalidItem(plain_message(error.errors(include_url=False)[0])) from None


def refuse_unknown_name(connection: Transaction, kind: str, name: str) -> None:
    """A ceiling over a name that is nowhere would bound nothing: it is an ``InvalidItem``."""
    if name == "*" or kind in ("budget", "job"):
        return
    if kind == "tier":
        known = {tier.value for tier in TIERS}
    elif kind == "purpose":
        known = {purpose.value for purpose in Purpose}
    else:
        deployments = applied_or_file(connection).deployments
        known = (
            set(deployments)
            if kind == "deployment"
            else {deployment.provider for deployment in deployments.values()}
        )
    if name not in known:
        raise InvalidItem(there_is_no(kind, name, known))
