"""Names as people give them: ids by any beginning that only one has, words with their typos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.output.printing import on_terminal
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import shown
from tierqueue.router.policy.duration import microseconds, parse_duration
from tierqueue.router.policy.policy_errors import nearest

if TYPE_CHECKING:
    from tierqueue.ledger.session import Transaction

SHOWN = 5
"""Ids that are named where a beginning is that of several."""


def item_named(connection: Transaction, text: str) -> str:
    """The id of the item whose id, or a Celery task id of which, begins with ``text``.

    Raises ``InvalidItem`` where there is none, and with the candidates where there are several.
    """
    from tierqueue.ledger.operations.names import items_beginning

    return only("item", text, items_beginning(connection, text, SHOWN + 1))


def ids_for_people(connection: Transaction, item_ids: Sequence[str]) -> dict[str, str]:
    """Each item's id as a table shows it: whole in a pipe, on a terminal what names it."""
    from tierqueue.ledger.operations.names import item_beginnings

    if not on_terminal():
        return {item_id: item_id for item_id in item_ids}
    return item_beginnings(connection, item_ids)


def job_named(connection: Transaction, text: str) -> str:
    """The id of the job whose id begins with ``text``; raises as ``item_named``."""
    from tierqueue.ledger.operations.names import jobs_beginning

    return only("job", text, jobs_beginning(connection, text, SHOWN + 1))


def unused_budget(connection: Transaction, budget: str) -> str | None:
    """That nothing has used this budget so far, which is allowed, and may be a typo."""
    from tierqueue.ledger.operations.names import budgets

    known = budgets(connection)
    if budget in known:
        return None
    return f"note: nothing has used the budget {budget} lately{nearest(budget, known)}"


def between(since: str | None, older_than: str | None) -> tuple[int | None, int | None]:
    """``--since`` and ``--older-than`` as moments; raises ``InvalidItem`` where none is between."""
    begin, end = ago(since), ago(older_than)
    if begin is not None and end is not None and begin >= end:
        raise InvalidItem(
            f"nothing is both of the last {since} and older than {older_than}: --since is the"
            " longer of the two"
        )
    return begin, end


def ago(duration: str | None) -> int | None:
    """The moment, in epoch microseconds, that was ``24h`` ago; raises ``InvalidItem``."""
    if duration is None:
        return None
    try:
        return microseconds(datetime.now(UTC).timestamp()) - parse_duration(duration)
    except ValueError as error:
        raise InvalidItem(str(error)) from None


def one_of(words: Iterable[str]) -> click.Choice[str]:
    """One of these words; for another, the nearest is named."""
    return _Word(list(words))


class _Word(click.Choice[str]):
    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        said = super().get_invalid_choice_message(value, ctx)
        return said.removesuffix(".") + (nearest(str(value), self.choices) or ".")


def only(what: str, text: str, found: Sequence[str]) -> str:
    """The one id that was ``found`` to begin with ``text``, or that is it; else ``InvalidItem``."""
    if not text or not found:
        raise InvalidItem(f"there is no {what} {shown(text)}" if text else f"say which {what}")
    if text in found:
        return text
    if len(found) > 1:
        more = ", and more" if len(found) > SHOWN else ""
        raise InvalidItem(
            f"several {what}s begin with {text}: {', '.join(found[:SHOWN])}{more};"
            " say more of the id",
            {"candidates": list(found)},
        )
    return found[0]
