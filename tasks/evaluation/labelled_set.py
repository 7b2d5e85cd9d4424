"""A labelled set: a file of work with a column that says what is right."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tierqueue.ledger.in_force import prompts
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Tier
from tierqueue.router.policy.defaults import prompt_version
from tierqueue.router.policy.policy_errors import there_is_no
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Reading
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.tasks.submission.item_task import ItemTask

LADDER = "ladder"
"""The way that work usually takes, whoever it leads to."""


class LabelledSet:
    """The rows of a file, what is right of each, and the job that each way of asking makes of them.

    ``truth``: the column that holds what is right, which no model sees. ``group``: a column whose
    values are told apart, no model sees it either. ``field``: the field of an answer that is
    compared; without it the whole answer, its confidence left out. ``system``: an instruction in
    place of the task type's own. Raises ``InvalidItem`` for a
    column that is not there and a row that does not say what is right.
    """

    def __init__(
        self,
        task: ItemTask[..., Any],
        path: Path,
        fixed: Mapping[str, Any],
        truth: str,
        *,
        column: str | None = None,
        reading: Reading | None = None,
        field: str | None = None,
        group: str | None = None,
        system: str | None = None,
    ) -> None:
        if str(path) == "-":
            raise InvalidItem("an evaluation reads its set several times: name a file, not -")
        self._task, self._path, self._fixed = task, path, dict(fixed)
        self._column, self._reading, self._field = column, reading, field
        self._system = system
        self._unread = frozenset(name for name in (truth, group) if name is not None)
        source = open_source(path, reading)
        for name in sorted(self._unread):
            if name not in source.columns:
                raise InvalidItem(f"{path}: {there_is_no('column', name, source.columns)}")
        if column in self._unread:
            raise InvalidItem(f"column {column!r} is what is asked, and cannot say what is right")
        self.truths: dict[int, Any] = {}
        """What is right, by the number of the row."""
        self.groups: dict[int, str] = {}
        """The value of the column ``group``, by the number of the row."""
        for row in source.rows():
            if row.wrong is not None:
                continue
            right = row.columns.get(truth)
            if right is None or (isinstance(right, str) and not right.strip()):
                raise InvalidItem(
                    f"{path}, {row.place}: {truth} is empty, so that nobody knows what is right:"
                    " leave such rows out"
                )
            self.truths[row.number] = right
            self.groups[row.number] = "" if group is None else str(row.columns.get(group))

    def store(self, ledger: Ledger) -> None:
        """Keep the instruction that its rows are asked under, for whoever calls."""
        if self._system is not None:
            with ledger.write() as connection:
                system = {prompt_version(self._system): self._system}
                prompts.store(connection, system, database_now(connection))

    def submission(self, tier: Tier | None) -> Submission:
        """The job that asks ``tier`` alone, ``None``: whoever the work would go to."""
        made = Submission(
            self._task,
            self._path,
            self._fixed,
            column=self._column,
            reading=self._reading,
            unread=self._unread,
            pinned=tier,
        )
        made.fresh, made.system = True, self._system
        of = [] if tier is None else [f"{tier} alone"]
        of += [] if self._system is None else [prompt_version(self._system)]
        if of:
            made.file = replace(made.file, name=f"{made.file.name} ({', '.join(of)})")
        return made

    def is_right(self, number: int, output: Any) -> bool:
        """Whether an answer to a row is right."""
        return same(compared(output, self._field), self.truths.get(number))


def compared(output: Any, field: str | None) -> Any:
    """What of an answer is compared: its ``field``, or all of it but the confidence, which alone
    stands for itself.
    """
    if not isinstance(output, Mapping):
        return output
    if field is not None:
        return output.get(field)
    own = {name: value for name, value in output.items() if name != "confidence"}
    return next(iter(own.values())) if len(own) == 1 else own


def same(answer: Any, right: Any) -> bool:
    """Whether two values say the same; a text may be another value as a cell writes it."""
    if isinstance(answer, str):
        return answer.strip() == _text(right).strip()
    if isinstance(right, str):
        try:
            return bool(answer == json.loads(right))
        except ValueError:
            return _text(answer) == right.strip().lower()
    return bool(answer == right)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
