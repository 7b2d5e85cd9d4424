"""Rows that are longer than a piece of a document: what they would come to in pieces."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.lifecycle.items import Death, NewItem
    from tierqueue.tasks.routing.splitting import DocumentPlans


@dataclass(slots=True)
class LongRows:
    """``rows`` of them, of which ``cheaper`` cost less in pieces, and ``only`` go nowhere whole.

    ``whole`` and ``pieces`` are what the ``cheaper`` ones can cost at most, in nano-dollars;
    ``alone`` is what the ``only`` ones can, in pieces.
    """

    rows: int = 0
    cheaper: int = 0
    whole: int = 0
    pieces: int = 0
    only: int = 0
    alone: int = 0

    def counting(
        self,
        made: "Iterable[tuple[NewItem, Death | None]]",
        both_ways: "Callable[[NewItem], DocumentPlans | None]",
    ) -> "Iterator[tuple[NewItem, Death | None]]":
        """The same items; the long ones among them are added up."""
        for new, death in made:
            if death is None and (found := both_ways(new)) is not None:
                self._add(found)
            yield new, death

    def _add(self, found: "DocumentPlans") -> None:
        self.rows += 1
        if found.pieces.cost is None or not found.split:
            return
        if found.whole.cost is None:
            self.only += 1
            self.alone += found.pieces.cost
        else:
            self.cheaper += 1
            self.whole += found.whole.cost
            self.pieces += found.pieces.cost

    @property
    def lines(self) -> list[str]:
        """What there is to say of them, for people."""
        said = []
        if self.cheaper:
            said.append(
                f"{count(self.cheaper, 'row')} would cost less in pieces (--split"
                f" cheaper): at most {_usd(self.pieces)} in place of {_usd(self.whole)}"
            )
        if self.only:
            said.append(
                f"{count(self.only, 'row')} can be done in pieces alone (--split"
                f" cheaper): at most {_usd(self.alone)}"
            )
        return said


def _usd(amount: int) -> str:
    return format_usd(NanoUSD(amount))
