"""Arguments by reference: what an earlier item was given or answered, read from the ledger.

A later step of a canvas then carries ids, and neither the broker nor a signature the texts. Who has
no ledger has no references: a call by name that brings one is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.tasks.results.async_answer import ItemResult

if TYPE_CHECKING:
    from tierqueue.ledger.results.earlier_items import EarlierItem
    from tierqueue.ledger.session import Ledger

_ANSWER, _ARGUMENT = "tierqueue.answer_of", "tierqueue.argument_of"


def answer_of(call: str | ItemResult[Any]) -> Any:
    """The output of an earlier call, by its result or its id, as an argument of a later one.

    It is read when the later call becomes an item, which is refused as ``InvalidItem`` where the
    earlier one has no answer by then. Its sensitivity is inherited, as an answer's in a chain is.
    """
    return {_ANSWER: _id_of(call)}


def argument_of(call: str | ItemResult[Any], name: str) -> Any:
    """The argument ``name`` that an earlier call was given; else as ``answer_of``."""
    return {_ARGUMENT: [_id_of(call), name]}


def mentioned(sent: Any) -> bool:
    """Whether there is a reference anywhere in what somebody sent, however deep."""
    left = [sent]
    while left:
        value = left.pop()
        if _is_reference(value):
            return True
        if isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
    return False


def resolved(
    ledger: "Callable[[], Ledger]", task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with what their references stand for, in the form of predecessors' answers.

    A reference is an argument, or one of a list that is; without any the ledger is not opened.
    Raises ``InvalidItem`` naming the argument, where there is nothing to read.
    """
    named = [*((str(at), value) for at, value in enumerate(args, start=1)), *kwargs.items()]
    calls = [_call(part) for _, value in named for part in _parts(value) if _is_reference(part)]
    if not calls:
        return list(args), dict(kwargs)
    from tierqueue.ledger.results.earlier_items import earlier

    with ledger().read() as connection:
        found = earlier(connection, calls)

    def read(name: str, value: Any) -> Any:
        parts = [_read(found, f"{task}: argument {name}", part) for part in _parts(value)]
        return parts if isinstance(value, list | tuple) else parts[0]

    values = [read(name, value) for name, value in named]
    return values[: len(args)], dict(zip(kwargs, values[len(args) :], strict=True))


def _id_of(call: str | ItemResult[Any]) -> str:
    return call if isinstance(call, str) else str(call.id)


def _is_reference(value: Any) -> bool:
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, told),) = value.items()
    if kind == _ANSWER:
        return isinstance(told, str)
    pair = isinstance(told, list | tuple) and len(told) == 2
    return kind == _ARGUMENT and pair and all(isinstance(part, str) for part in told)


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _call(reference: Mapping[str, Any]) -> str:
    ((kind, told),) = reference.items()
    return str(told if kind == _ANSWER else told[0])


def _read(found: "Mapping[str, EarlierItem]", where: str, value: Any) -> Any:
    if not _is_reference(value):
        return value
    call = _call(value)
    name = value[_ARGUMENT][1] if _ARGUMENT in value else None
    item = found.get(call)
    if item is None:
        raise InvalidItem(f"{where}: there is no call {call} to read from")
    if item.erased or item.arguments is None:
        raise InvalidItem(f"{where}: what {call} was given and answered is erased")
    if name is None and item.state is not State.SUCCEEDED:
        raise InvalidItem(f"{where}: {call} has no answer to read, it is {item.state}")
    if name is not None and name not in item.arguments:
        given = ", ".join(item.arguments)
        raise InvalidItem(f"{where}: {call} was given no {name!r}, it has {given}")
    said = item.output if name is None else item.arguments[name]
    return {"output": said, "receipt": {"sensitivity": item.sensitivity}}
