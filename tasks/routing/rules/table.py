"""The words and tables of rules, read and checked before anybody goes by them."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.router.policy.defaults import RuleTable
from tierqueue.router.policy.policy_errors import complaint, dotted, placed, there_is_no
from tierqueue.router.rules.matching import AnswerTable, Phrases, key_of, words_of
from tierqueue.tasks.routing.below import form_of
from tierqueue.tasks.routing.rules.task_types import not_declared
from tierqueue.tasks.submission.item_task import ItemTask

MOST_BYTES = 64 * 1024 * 1024
"""The largest table that is read."""

_LABEL, _OUTPUT = "label", "output"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a task type: ``match`` gives an output as JSON; ``others`` are the arguments, as
    stored and all but the one that is looked at, of the calls they are for.
    """

    match: AnswerTable | Phrases
    others: Mapping[str, Any]


def read(task: str, stated: RuleTable) -> RuleSet:
    """What the rules of a task type match.

    Raises ``Misconfigured`` that names the key, or the file and the line, and what is wrong there.
    """
    try:
        kind = _known(task, stated)
        if stated.file is None:
            fitting = _FittingOutputs(kind, stated, next(iter(stated.words)))
            return RuleSet(_phrases(stated, fitting), fitting.others)
        return _listed(kind, stated, _content(stated))
    except _BadRule as wrong:
        raise Misconfigured(f"{dotted('tasks', task, 'rules')}{wrong}", {"task": task}) from None


class _BadRule(Exception):
    """What is wrong, after the name of the rules' table: a key of it, or its file and a line."""


def _known(task: str, stated: RuleTable) -> ItemTask:
    kind = ItemTask.declared.get(task)
    if kind is None:
        raise _BadRule(f": {not_declared(task)}")
    fields = kind.arguments_model.model_fields
    if stated.argument not in fields:
        raise _BadRule(f".argument: {there_is_no('argument', stated.argument, fields)}")
    for name in stated.arguments.keys() - fields.keys():
        raise _BadRule(f".arguments: {there_is_no('argument', name, fields)}")
    return kind


class _FittingOutputs:
    """Outputs, each as JSON, of which the task type might accept every one.

    ``text`` is one that it might be called with; raises ``Misconfigured`` where the other arguments
    cannot be.
    """

    def __init__(self, kind: ItemTask, stated: RuleTable, text: str) -> None:
        self._kind, self._argument = kind, stated.argument
        self._fit: set[tuple[Any, str]] = set()
        try:
            called = kind.checked_arguments((), {**stated.arguments, stated.argument: text})
        except InvalidItem as wrong:
            where = dotted("tasks", kind.name, "rules", "arguments")
            message = f"{where}: {wrong.message}"
            raise Misconfigured(message, {"task": kind.name}) from None
        self.others = {name: value for name, value in called.items() if name != stated.argument}

    def json(self, text: str, output: Any) -> str:
        """An output to ``text`` as JSON; raises ``_BadRule`` where it cannot be one."""
        form = form_of(self._kind, {**self.others, self._argument: text})
        if isinstance(form, Exception):
            raise _BadRule(f"the task type gives no form for it: {form}")
        said = json.dumps(output, sort_keys=True)
        if (form, said) not in self._fit:
            _fit(form, output, said)
            self._fit.add((form, said))
        return said


def _fit(form: type[BaseModel] | None, output: Any, said: str) -> None:
    if not isinstance(output, dict):
        raise _BadRule("the output is no JSON object")
    if form is None:
        if output.keys() != {"text"} or not isinstance(output["text"], str):
            raise _BadRule('the task type answers in free text: state it as {"text": "…"}')
        return
    try:
        form.model_validate_json(said)
    except ValidationError as error:
        key, why = complaint(error, form)
        raise _BadRule(f"{placed(key)}: {why}" if key else why) from None


def _phrases(stated: RuleTable, fitting: _FittingOutputs) -> Phrases:
    answers: dict[tuple[str, ...], str] = {}
    written: dict[tuple[str, ...], str] = {}
    for phrase, label in stated.words.items():
        where, words = f".words.{json.dumps(phrase, ensure_ascii=False)}: ", words_of(phrase)
        if not words:
            raise _BadRule(f"{where}there is no word in it")
        if words in answers:
            raise _BadRule(
                f"{where}is the same as {json.dumps(written[words], ensure_ascii=False)}"
            )
        try:
            answers[words] = fitting.json(phrase, {_LABEL: label})
        except _BadRule as wrong:
            raise _BadRule(f"{where}{wrong}") from None
        written[words] = phrase
    return Phrases(answers)


def _content(stated: RuleTable) -> str:
    """What stands in the table's file, once it is the one that is named."""
    assert stated.file is not None
    where = f".file: {stated.file}"
    try:
        with Path(stated.file).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _BadRule(f"{where} cannot be read: {why}") from None
    if len(content) > MOST_BYTES:
        raise _BadRule(f"{where} has more than {MOST_BYTES:,} bytes")
    digest = sha256(content).hexdigest()
    if digest != stated.sha256:
        raise _BadRule(f"{where} is another file: its SHA-256 is {digest}, not what is stated")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _BadRule(f"{where}:{line}: is not UTF-8") from None


def _listed(kind: ItemTask, stated: RuleTable, content: str) -> RuleSet:
    answers: dict[str, str] = {}
    lines: dict[str, int] = {}
    file, rows = f".file: {stated.file}", _rows(content, stated)
    _, header = next(rows, (1, []))
    columns = [name.strip() for name in header]
    if columns not in ([stated.argument, _LABEL], [stated.argument, _OUTPUT]):
        first = f"{stated.argument},{_LABEL} or {stated.argument},{_OUTPUT}"
        raise _BadRule(f"{file}:1: the first line must be {first}")
    fitting = None
    for line, row in rows:
        try:
            key = _key(row, lines)
            output = _output(row[1], columns[1])
            fitting = fitting or _FittingOutputs(kind, stated, row[0])
            answers[key] = fitting.json(row[0], output)
        except _BadRule as wrong:
            raise _BadRule(f"{file}:{line}: {wrong}") from None
        lines[key] = line
    if fitting is None:
        raise _BadRule(f"{file}: has no rows below its first line")
    return RuleSet(AnswerTable(answers), fitting.others)


def _key(row: Sequence[str], lines: Mapping[str, int]) -> str:
    """What a row is looked up by, which no row of ``lines`` is."""
    if len(row) != 2:
        cells = "one cell" if len(row) == 1 else f"{len(row)} cells"
        raise _BadRule(f"has {cells}, and two are needed")
    if not (key := key_of(row[0])):
        raise _BadRule("there is no text in the first cell")
    if key in lines:
        raise _BadRule(f"is for the same text as line {lines[key]}")
    return key


def _output(cell: str, column: str) -> Any:
    if column == _LABEL:
        return {_LABEL: cell.strip()}
    try:
        return json.loads(cell, parse_constant=_no_number)
    except ValueError as error:
        raise _BadRule(f"the output is not JSON: {error}") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _rows(content: str, stated: RuleTable) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with the line on which it begins."""
    # Strict, because an open quote would otherwise swallow the rest of the table in silence.
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BadRule(f".file: {stated.file}:{line}: is not CSV: {error}") from None
