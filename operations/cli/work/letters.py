"""Dead letters as a command means them, by their ids or by filters, and what is done to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import between, item_named, job_named, one_of
from tierqueue.operations.cli.output.printing import echo, emit, on_terminal
from tierqueue.router.errors import BY_REASON, InvalidItem
from tierqueue.router.item import TIERS
from tierqueue.router.lifecycle import State
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.operations.dead_letters import DeadLetter, DeadLetterQuery
    from tierqueue.ledger.session import Ledger, Transaction
    from tierqueue.ledger.whole_item import WholeItem

F = TypeVar("F", bound=Callable[..., Any])

_BATCH = 500
"""Dead letters in one transaction."""

_SUBMIT_AGAIN = "submit it again, corrected"

_ERASED = "what was asked is gone, so that there is nothing to run"

_PIECE_ERASED = (
    "a piece that its document's answer needs was erased; tierqueue job submit --retry-failed of"
    " the file asks the document anew"
)

_FILTERS = (
    click.option(
        "--reason",
        type=one_of(sorted(BY_REASON)),
        help="Ended for this reason.",
    ),
    click.option("--task", help="Such as tierqueue.classify."),
    click.option("--tier", type=one_of([tier.value for tier in TIERS]), help="Of this tier."),
    click.option("--deployment", help="To which it was last routed."),
    click.option("--budget", help="Paid by this budget."),
    click.option("--job", help="Of this job alone."),
    click.option("--since", help="Ended in the last 1h, 24h, 7d, …"),
    click.option("--older-than", help="Ended longer ago than 1h, 24h, 7d, …"),
)


def filters(command: F) -> F:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def wanted_by(
    ledger: Ledger,
    since: str | None = None,
    older_than: str | None = None,
    job: str | None = None,
    **stated: str | None,
) -> DeadLetterQuery:
    from tierqueue.ledger.operations.dead_letters import DeadLetterQuery
    from tierqueue.operations.cli.input.filters import refuse_unknown

    with ledger.read() as connection:
        refuse_unknown(connection, stated)
        job_id = None if job is None else job_named(connection, job)
    begin, end = between(since, older_than)
    return DeadLetterQuery(**stated, job=job_id, since=begin, before=end)


def act_on(
    what: str,
    once: Callable[[Ledger, list[str], DeadLetterQuery | None], int],
    item_ids: tuple[str, ...],
    chosen: Mapping[str, str | None],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to every dead letter that is meant, a batch in a transaction; else only count them."""
    if bool(item_ids) == any(value is not None for value in chosen.values()):
        raise click.UsageError(
            f"{what} either dead letters by their IDs or all that filters choose"
        )
    with open_ledger() as ledger:
        wanted = wanted_by(ledger, **chosen)
        found = _named(ledger, item_ids) if item_ids else _matching(ledger, wanted)
        stay = [letter for letter in found if what == "replay" and not letter.may_go_back]
        if stay and item_ids:
            raise InvalidItem(stay[0].why_not)
        left = set(stay)
        ids = [letter.item_id for letter in found if letter not in left]
        done = 0
        if yes:
            done = _in_batches(ledger, once, ids, None if item_ids else wanted)
    erased = sum(letter.erased for letter in stay)
    of_erased = sum(letter.of_erased and not letter.erased for letter in stay)
    if as_json:
        gone = erased + of_erased
        why = {"no_way_back": len(stay) - gone, "erased": gone} if what == "replay" else {}
        emit({"action": what, "matching": len(ids), "done": done, "dry_run": not yes, **why})
        return
    if yes:
        echo(f"{what}: {done:,} of {count(len(ids), 'dead letter')}")
        if done < len(ids):
            echo(f"{len(ids) - done:,} had been replayed, discarded or erased meanwhile")
    else:
        echo(f"would {what} {count(len(ids), 'dead letter')}; say --yes to do it")
    if other := len(stay) - erased - of_erased:
        echo(f"{other} more that are invalid or undecodable have no way back: {_SUBMIT_AGAIN}")
    if erased:
        echo(f"{erased} more that were erased have no way back: {_ERASED}")
    if of_erased:
        echo(f"{of_erased} more have no way back: {_PIECE_ERASED}")


def _in_batches(
    ledger: Ledger,
    once: Callable[[Ledger, list[str], DeadLetterQuery | None], int],
    ids: list[str],
    chosen_by: DeadLetterQuery | None,
) -> int:
    """Do it, and say on a terminal how far it is; returns to how many it was done."""
    done = 0
    for start in range(0, len(ids), _BATCH):
        done += once(ledger, ids[start : start + _BATCH], chosen_by)
        if len(ids) > _BATCH and on_terminal():
            echo(f"{done:,} of {len(ids):,}", err=True)
    return done


class _Letter(NamedTuple):
    item_id: str
    reason: str
    erased: bool
    of_erased: bool

    @property
    def may_go_back(self) -> bool:
        from tierqueue.ledger.operations import dead_letters as letters

        return not (self.erased or self.of_erased) and self.reason not in letters.NO_WAY_BACK

    @property
    def why_not(self) -> str:
        if self.erased:
            return f"{self.item_id} was erased and has no way back: {_ERASED}"
        if self.of_erased:
            return f"{self.item_id} has no way back: {_PIECE_ERASED}"
        return f"{self.item_id} is {self.reason} and has no way back: {_SUBMIT_AGAIN}"


def _letters(connection: Transaction, found: Sequence[DeadLetter | WholeItem]) -> list[_Letter]:
    from tierqueue.ledger.operations import dead_letters as letters

    gone = letters.beyond_replay(connection, [letter.id for letter in found])
    return [
        _Letter(letter.id, letter.reason or "", letter.erased_at is not None, letter.id in gone)
        for letter in found
    ]


def _named(ledger: Ledger, item_ids: tuple[str, ...]) -> list[_Letter]:
    """The dead letters of these ids; raises ``InvalidItem`` for others."""
    from tierqueue.ledger.operations import dead_letters as letters

    found = []
    with ledger.read() as connection:
        for text in item_ids:
            item_id = item_named(connection, text)
            shown = letters.show(connection, item_id)
            if shown is None or shown[0].state != State.DEAD:
                raise InvalidItem(f"{item_id} is not a dead letter")
            found.append(shown[0])
        return _letters(connection, found)


def _matching(ledger: Ledger, wanted: DeadLetterQuery) -> list[_Letter]:
    """All dead letters that are meant."""
    found: list[_Letter] = []
    for page in pages(ledger, wanted):
        with ledger.read() as connection:
            found += _letters(connection, page)
    return found


def pages(ledger: Ledger, wanted: DeadLetterQuery) -> Iterator[Sequence[DeadLetter]]:
    from tierqueue.ledger.operations import dead_letters as letters

    last: tuple[int, str] | None = None
    while True:
        with ledger.read() as connection:
            page = letters.listed(connection, wanted, _BATCH, before=last)
        if not page:
            return
        yield page
        last = (page[-1].ended_at, page[-1].id)
