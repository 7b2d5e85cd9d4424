"""Names as people give them: ids by any beginning that only one has, words with their typos."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from tierqueue.ledger.operations.names import budgets, items_beginning, jobs_beginning
from tierqueue.ledger.session import Transaction
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import parse_duration
from tierqueue.router.policy.policy_errors import nearest

SHOWN = 5
"""Ids that are named where a beginning is that of several."""


def item_named(connection: Transaction, text: str) -> str:
    """The id of the item whose id, or a Celery task id of which, begins with ``text``.

    Raises ``InvalidItem`` where there is none, and with the candidates where there are several.
    """
    return only("item", text, items_beginning(connection, text, SHOWN + 1))


def job_named(connection: Transaction, text: str) -> str:
    """The id of the job whose id begins with ``text``; raises as ``item_named``."""
    return only("job", text, jobs_beginning(connection, text, SHOWN + 1))


def ago(duration: str | None) -> int | None:
    """The moment, in epoch microseconds, that was ``24h`` ago; raises ``InvalidItem``."""
    if duration is None:
        return None
    try:
        return round(datetime.now(UTC).timestamp() * 1_000_000) - parse_duration(duration)
    except ValueError as error:
        raise InvalidItem(str(error)) from None


def misspelt(connection: Transaction, filters: Mapping[str, str | None]) -> str:
    """What the filters of a list without rows may have meant: a budget, a task type."""
    known: dict[str, Callable[[], Iterable[str]]] = {
        "budget": lambda: budgets(connection),
        "task": _task_types,
    }
    for name, names in known.items():
        if (stated := filters.get(name)) is not None and stated not in (there := list(names())):
            return nearest(stated, there)
    return ""


def _task_types() -> Iterable[str]:
    import tierqueue.tasks.kinds  # noqa: F401  # the kinds declare themselves
    from tierqueue.tasks.submission.item_task import ItemTask

    return ItemTask.declared


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
        raise InvalidItem(f"there is no {what} {text}" if text else f"say which {what}")
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
