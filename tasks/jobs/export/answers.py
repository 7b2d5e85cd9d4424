"""A row's outcome as cells: an answer or an error, and who answered, for how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierqueue.ledger.job_records import JobRecord, RowAnswer
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.tasks.answers.citations import citations, unread

OUTPUT = "output"
SAID = ("error", "tier", "cost", "item")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the added columns look. ``prefix`` stands before each of their names; ``flat`` gives each
    field of an answer a column of its own, else the answer is one. ``keys``: the source's columns
    that are given back, all where there are none.
    """

    prefix: str = ""
    flat: bool = True
    keys: tuple[str, ...] = ()


def outcome(answer: RowAnswer) -> tuple[Any, str | None]:
    """An item's output, or why there is none."""
    state = answer.state
    if state not in ENDS:
        why = f" ({answer.reason})" if answer.reason else ""
        return None, f"not_ended: {state.value}{why}"
    if state is not State.SUCCEEDED:
        reason = answer.reason or state.value
        return None, f"{reason}: {(answer.error or {}).get('message', 'erased')}"
    if answer.erased_at is not None:
        return None, "erased: the answer is not kept any more"
    return answer.output, None


def is_reused(answer: RowAnswer) -> bool:
    """Whether another item's answer is given: the row has that item, or its own took it."""
    return answer.fingerprint is None or answer.tier == BelowTier.REUSED


def added(answer: RowAnswer | None, output: Any, error: str | None, shape: Shape) -> dict[str, Any]:
    """The added cells of one row; ``answer`` is ``None`` where it is no item.
    Where it is simulated, the cell ``tier`` says so too.
    """
    said: dict[str, Any] = dict.fromkeys(SAID)
    said["error"] = error
    if answer is not None:
        own = answer.fingerprint is not None
        answered = is_reused(answer) and answer.state == State.SUCCEEDED
        said["tier"] = BelowTier.REUSED.value if answered else answer.tier
        if answer.simulated or (answer.receipt or {}).get("simulated"):
            said["tier"] = f"{said['tier']} (simulated)"
        said["item"] = answer.id
        said["cost"] = answer.spent / 1e9 if own else 0.0
    given = {} if output is None else cells(output, shape)
    return {f"{shape.prefix}{name}": value for name, value in {**given, **said}.items()}


def of_documents(job: JobRecord) -> tuple[str, ...]:
    """The columns that rows of a job have which may be documents in pieces; none of other jobs."""
    if (job.reading or {}).get("pieces") is None:
        return ()
    own = {"tierqueue.ask": ("citations",), "tierqueue.extract": ("conflicts",)}
    return (*own.get(job.task, ()), "missing")


def about_document(
    names: Sequence[str], answer: RowAnswer, text: str, pages: Sequence[int], shape: Shape
) -> dict[str, Any]:
    """What an answer says of a document, by the ``names`` of ``of_documents``: where in its
    ``text`` it stands, by where ``pages`` begin, and what of it is missing.
    """
    receipt = answer.receipt or {}
    said: dict[str, Any] = {"missing": unread(pages, receipt.get("missing") or ()) or None}
    if "citations" in names:
        said["citations"] = citations(text, pages, answer.output.get("quotations") or ())
    if "conflicts" in names:
        said["conflicts"] = receipt.get("conflicts") or None
    return {f"{shape.prefix}{name}": said[name] for name in names}


def cells(output: Any, shape: Shape) -> dict[str, Any]:
    """An answer as columns: one, or one a field; a text that is all of it is no field."""
    if not shape.flat or not isinstance(output, dict):
        return {OUTPUT: output}
    if output.keys() == {"text"}:
        return {OUTPUT: output["text"]}
    return {f"{OUTPUT}_{name}": value for name, value in output.items()}
