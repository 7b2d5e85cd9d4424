"""A long document that is a row of a job: the items of its pieces, and what they come to.

The same pieces and the same joining items as ``ask_document`` and the like submit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery import Signature

from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.lifecycle.documents import Cut, Document, DocumentEnd
from tierqueue.ledger.lifecycle.items import Death, NewItem, new_id
from tierqueue.ledger.records import DocumentPart
from tierqueue.ledger.results.promises import Promise
from tierqueue.router.errors import Erased
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.files.documents.chunks import chunked
from tierqueue.tasks.kinds.ask import ask
from tierqueue.tasks.kinds.document_result import merged
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.kinds.in_pieces import JOINED_BY, grouped, joins
from tierqueue.tasks.kinds.summarize import summarize
from tierqueue.tasks.results.fulfil import PART, PARTIAL
from tierqueue.tasks.results.signatures import plain
from tierqueue.tasks.submission.item_task import ItemTask

if TYPE_CHECKING:
    from tierqueue.router.choose import Conditions
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.routing.splitting import DocumentPlans
    from tierqueue.tasks.routing.token_counter import TokenCounter

_ASKED: Mapping[str, ItemTask[..., Any]] = {task.name: task for task in (ask, summarize, extract)}


class JobDocument:
    """A document by its item, which waits for its pieces or is not submitted yet."""

    def __init__(self, item: Document) -> None:
        assert item.split is not None, item.id
        self._item = item
        self._task = _ASKED[item.task]
        self._join = JOINED_BY[item.task]
        self._how = item.split

    @property
    def always(self) -> bool:
        """Whether it is cut whatever the whole would cost."""
        return bool(self._how["split"] == "always")

    @cached_property
    def _chunks(self) -> list[tuple[int, str]]:
        found = chunked(self._arguments["text"], self._how["characters"])
        return [(start, text) for start, text in found if text.strip()]

    @property
    def _arguments(self) -> Mapping[str, Any]:
        assert self._item.arguments is not None, self._item.id
        return self._item.arguments

    @cached_property
    def _own(self) -> dict[str, Any]:
        return {name: said for name, said in self._arguments.items() if name != "text"}

    @cached_property
    def _pieces(self) -> list[NewItem]:
        made = []
        for at, (_, text) in enumerate(self._chunks):
            new = self._task.new_item((), {**self._own, "text": text}, item_id=new_id())
            made.append(documents.shared(self._item, new, (at, at + 1), self._count))
        return made

    @property
    def _count(self) -> int:
        return len(self._chunks) + (joins(len(self._chunks)) if self._join else 0)

    def compared(
        self, policy: "Policy", conditions: "Conditions", counter: "TokenCounter"
    ) -> "DocumentPlans":
        """Whether it costs less whole or in pieces; raises ``InvalidItem`` for what is no item."""
        from tierqueue.tasks.routing.splitting import compare

        whole = self._task.new_item((), self._arguments, item_id="whole")
        whole = documents.shared(self._item, whole, (0, len(self._chunks)), 1)
        return compare(whole, self.calls, policy, conditions, counter)

    @property
    def calls(self) -> list[NewItem]:
        """What its pieces ask, and what joins them: that reads answers, which are taken to be as
        long as a piece.
        """
        if self._join is None:
            return self._pieces
        joining = replace(self._pieces[0], output_limit=self._join.output_limit)
        return [*self._pieces, *[joining] * joins(len(self._pieces))]

    def cut(self) -> Cut:
        """What it is cut into; raises ``InvalidItem`` where a piece can be no item."""
        pieces = self._pieces
        count = len(pieces)
        groups: dict[str, int] = {}
        joined: list[tuple[int, int]] = []
        # From the pieces upwards, each level in groups: who joins a group is known before it is
        # known what that is a part of, so its own place is set once the level above is made.
        level: list[tuple[Any, int, int]] = [(new, at, at + 1) for at, new in enumerate(pieces)]
        places: dict[int, tuple[str, int, Signature]] = {}
        while self._join is not None and len(level) > 1:
            above: list[tuple[Any, int, int]] = []
            for group in grouped(level):
                if len(group) == 1:
                    above.append(group[0])
                    continue
                span = group[0][1], group[-1][2]
                joined.append(span)
                body = self._joining(self._join, span)
                self._place(group, body, groups, places)
                above.append((body, *span))
            level = above
        last = self._task.s().set(task_id=self._item.id, **{PART: {"document": self._item.id}})
        self._place(level, self._allowing(last), groups, places)
        self._nest(places)
        made = [_promise(new, self._task.name, places[id(new)]) for new in pieces]
        spans = [(start, start + len(text)) for start, text in self._chunks]
        assert len(spans) == count
        return Cut(pieces, made, groups, spans, joined)

    def _joining(self, join: ItemTask[..., Any], span: tuple[int, int]) -> Signature:
        part = {"document": self._item.id, "from": span[0], "to": span[1], "parts": self._count}
        own = {
            name: self._own[name] for name in join.arguments_model.model_fields if name in self._own
        }
        return self._allowing(join.s(**own).set(task_id=new_id(), **{PART: part}))

    def _allowing(self, body: Signature) -> Signature:
        return body.set(**{PARTIAL: True}) if self._how["on_failure"] == "partial" else body

    @staticmethod
    def _place(
        group: Sequence[tuple[Any, int, int]],
        body: Signature,
        groups: dict[str, int],
        places: dict[int, tuple[str, int, Signature]],
    ) -> None:
        name = new_id()
        groups[name] = len(group)
        for index, (part, _, _) in enumerate(group):
            places[id(part)] = name, index, body

    @staticmethod
    def _nest(places: Mapping[int, tuple[str, int, Signature]]) -> None:
        """Each body that is itself a part of a chord says of which."""
        for _, _, body in places.values():
            if (place := places.get(id(body))) is not None:
                name, index, outer = place
                body.set(group_id=name, group_index=index, chord=outer)

    def end(self, parts: Sequence[DocumentPart]) -> DocumentEnd | None:
        """What the document's parts have come to; ``None`` while something is still to come."""
        if any(part.state not in ENDS for part in parts):
            return None
        tree = _Tree(self._how, parts)
        count = len(self._how["spans"])
        tops = [(0, count)] if self._join and count > 1 else [(at, at + 1) for at in range(count)]
        came = [tree.came(span) for span in tops]
        if None in came:
            return None
        partial = self._how["on_failure"] == "partial"
        if not any(came) or not (partial or all(came)):
            return self._dead(parts)
        return self._answered(
            [tree.parts[span] for span, whole in zip(tops, came, strict=True) if whole],
            parts,
            tree.missing() if partial else [],
        )

    def _dead(self, parts: Sequence[DocumentPart]) -> DocumentEnd:
        dead = [part for part in parts if not _answers(part)]
        # What was erased is named first: a replay does not bring it back.
        first = min(dead, key=lambda part: part.erased_at is None)
        start, end = self._characters(first.span)
        error = (first.error or {}).get("message", "erased")
        what = f"what joins its pieces {first.span[0] + 1} to {first.span[1]}"
        if first.span[1] - first.span[0] == 1:
            what = f"piece {first.span[1]} of {len(self._how['spans'])}"
        fields = {"item": self._item.id, "parts": [part.id for part in dead]}
        message = f"{what} (characters {start} to {end}) has no answer: {error}"
        death = Death(self._item.id, _reason(first), message, fields)
        spent = sum(part.spent for part in parts)
        bound = sum(part.bound or 0 for part in dead)
        return DocumentEnd(None, death, spent, bound, first.tier, first.deployment)

    def _answered(
        self,
        last: Sequence[DocumentPart],
        parts: Sequence[DocumentPart],
        missing: Sequence[Mapping[str, Any]],
    ) -> DocumentEnd:
        spent = sum(part.spent for part in parts)
        receipts = [part.receipt or {} for part in parts]
        tokens = [receipt.get("tokens") or {} for receipt in receipts]
        outputs = [part.output for part in last if part.output is not None]
        output, conflicts = outputs[0], {}
        if self._join is None:
            found = merged(outputs, ())
            output, conflicts = dict(found.values), dict(found.conflicts)
        receipt = {
            **(last[-1].receipt or {}),
            "item": self._item.id,
            "task": self._item.task,
            "attempts": sum(part.calls for part in parts),
            "tokens": {
                "input": sum(one.get("input") or 0 for one in tokens),
                "output": sum(one.get("output") or 0 for one in tokens),
                "estimated": any(one.get("estimated") for one in tokens),
            },
            "cost": format_usd(NanoUSD(spent)),
            "cost_nanousd": spent,
            "seconds": round(sum(receipt.get("seconds") or 0 for receipt in receipts), 6),
            "pieces": len(self._how["spans"]),
            "parts": len(parts),
            "missing": list(missing),
            "conflicts": {name: list(said) for name, said in conflicts.items()},
        }
        answer = (output, receipt)
        tier, deployment = last[-1].tier, last[-1].deployment
        return DocumentEnd(answer, None, spent, None, tier, deployment)

    def _characters(self, span: tuple[int, int]) -> tuple[int, int]:
        spans = self._how["spans"]
        return spans[span[0]][0], spans[span[1] - 1][1]


class _Tree:
    """The parts of a document that are there, and which of them has what others answered."""

    def __init__(self, how: Mapping[str, Any], parts: Sequence[DocumentPart]) -> None:
        self.parts = {part.span: part for part in parts}
        self._partial = how["on_failure"] == "partial"
        self._spans = how["spans"]
        self._joined = [(first, end) for first, end in how["joined"]]

    def came(self, span: tuple[int, int]) -> bool | None:
        """Whether the part of these pieces has an answer; ``None``: it is to come."""
        if (part := self.parts.get(span)) is not None:
            return _answers(part)
        below = {inner: self.came(inner) for inner in self._below(span)}
        if None in below.values():
            return None
        lost = [inner for inner, came in below.items() if not came]
        failed = len(lost) == len(below) if self._partial else bool(lost)
        return False if failed or any(self._untold(inner) for inner in lost) else None

    def _untold(self, span: tuple[int, int]) -> bool:
        """Whether what joins these pieces with others is never sent: nobody is told of their end,
        for there is no such item, or what it promised was erased with it.
        """
        return (part := self.parts.get(span)) is None or part.erased_at is not None

    def _below(self, span: tuple[int, int]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = span[0]
        while at < span[1]:
            ends = [
                end
                for first, end in self._joined
                if first == at and end <= span[1]
                if (first, end) != span
            ]
            found.append((at, max(ends, default=at + 1)))
            at = found[-1][1]
        return found

    def missing(self) -> list[dict[str, Any]]:
        """The pieces of which no answer speaks: characters of the document, item and reason."""
        lost: dict[int, dict[str, Any]] = {}
        for (first, end), part in self.parts.items():
            # Of a piece that was erased behind its join an answer speaks all the same.
            if _answers(part) or (self._joined and part.state == State.SUCCEEDED):
                continue
            for piece in range(first, end):
                start, stop = self._spans[piece]
                told = {"start": start, "end": stop, "item": part.id, "reason": _reason(part)}
                lost.setdefault(piece, told)
        return [lost[piece] for piece in sorted(lost)]


def _answers(part: DocumentPart) -> bool:
    return part.state == State.SUCCEEDED and part.output is not None


def _reason(part: DocumentPart) -> str:
    gone = part.state == State.SUCCEEDED
    return Erased.reason if gone else part.reason or part.state


def _promise(new: NewItem, task: str, place: tuple[str, int, Signature]) -> Promise:
    group, index, body = place
    return Promise(
        id=new.id,
        item_id=new.id,
        task=task,
        group_id=group,
        group_index=index,
        chord=plain(body),
        root_id=new.part_of,
        parent_id=new.part_of,
    )
