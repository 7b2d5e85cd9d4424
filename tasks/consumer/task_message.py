"""Celery's task message, protocols 1 and 2: what each of its fields must be before it is acted on.

Celery itself looks as it goes along, and what it stumbles over ends a worker or is never
acknowledged.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Required

from celery.utils.time import maybe_iso8601
from kombu import Message
from kombu.utils import json as celery_json
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from tierqueue.ledger.results.promises import Promise
from tierqueue.tasks.bounded_values import Count, Name
from tierqueue.tasks.results.signatures import plain

_MANY_STAMPS = 100


def _moment(text: str) -> str:
    try:
        maybe_iso8601(text)
    except Exception:  # noqa: BLE001 - a parser of dates raises what it likes
        raise ValueError("not a time") from None
    return text


Moment = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_moment)]
CallId = Annotated[Name, Field(pattern=r"^\S+$")]
"""Celery's own log names it: a sentence there may be what a message says."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Fields(_Strict):
    """What is said of the call: protocol 2 says it in headers, protocol 1 in the body."""

    task: Name
    id: CallId
    root_id: Name | None = None
    parent_id: Name | None = None
    group: Name | None = None
    group_index: Count | None = None
    retries: Count | None = None
    eta: Moment | None = None
    expires: Moment | None = None
    timelimit: Annotated[list[Seconds | None], Field(min_length=2, max_length=2)] | None = None
    shadow: Name | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: Count | None = None
    stamped_headers: Annotated[list[Name], Field(max_length=_MANY_STAMPS)] | None = None
    stamps: dict[str, Any] | None = None


class _Signature(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # pydantic looks for it

    task: Required[Name]
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    options: dict[str, Any] | None
    subtask_type: str | None


class Continuation(_Strict):
    """What is sent once the call has ended."""

    callbacks: list[_Signature] | None = None
    errbacks: list[_Signature] | None = None
    chain: list[_Signature] | None = None
    chord: _Signature | None = None


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A message as it says itself; ``wrong`` names the fields that are not what they must be."""

    fields: dict[str, Any]
    args: Any
    kwargs: Any
    following: dict[str, Any]
    wrong: frozenset[str]

    @property
    def addressee(self) -> tuple[str, str] | None:
        """The task and the id of whoever waits for an answer, where both can be read."""
        if self.wrong & {"task", "id"}:
            return None
        return self.fields["task"], self.fields["id"]

    def promise(self) -> Promise:
        """What the sender is owed, as far as it can be read; there must be an addressee."""
        task, call_id = self.fields["task"], self.fields["id"]
        told = {
            name: None if name in self.wrong else self.fields.get(name)
            for name in ("group", "group_index", "root_id", "parent_id")
        }
        after: dict[str, Any] = {
            name: None if name in self.wrong else plain(self.following.get(name))
            for name in Continuation.model_fields
        }
        return Promise(
            id=call_id,
            item_id=call_id,
            task=task,
            group_id=told["group"],
            group_index=told["group_index"],
            root_id=told["root_id"],
            parent_id=told["parent_id"],
            **after,
        )


def read(message: Message) -> TaskMessage:
    """What a message says, as far as it can be read; raises nothing."""
    headers, wrong = message.headers, set[str]()
    args: Any
    kwargs: Any
    args, kwargs, following = [], {}, None
    fields: dict[str, Any] = headers
    match _payload(message):
        case [args, kwargs, following] if "task" in headers:
            pass
        # A body under headers of protocol 2 is protocol 1's where it names its arguments.
        case dict(payload) if "task" not in headers or "args" in payload:
            fields = {**payload, **headers}
            if "taskset" in payload:
                fields["group"] = payload["taskset"]
            args, kwargs = payload.get("args", []), payload.get("kwargs", {})
            following = {**payload, "chain": None}
        case _:
            wrong.add("body")
    wrong |= _wrong(Fields, fields)
    if following is not None and not isinstance(following, dict):
        wrong.add("embed")
        following = None
    wrong |= _wrong(Continuation, following or {})
    if not isinstance(args, list | tuple):
        wrong.add("args")
    if not isinstance(kwargs, dict):
        wrong.add("kwargs")
    if not _finite([args, kwargs, following]):
        wrong.add("a number that JSON has not (NaN, an empty cell?)")
        following = None
    return TaskMessage(fields, args, kwargs, following or {}, frozenset(wrong))


def _payload(message: Message) -> Any:
    try:
        return None if message.errors else message.payload
    except Exception:  # noqa: BLE001 - a decoder raises what it likes
        return None


def _finite(payload: Any) -> bool:
    """Whether ``payload`` is JSON for whoever reads it: Python alone writes and reads NaN."""
    try:
        celery_json.dumps(payload, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _wrong(model: type[BaseModel], given: dict[str, Any]) -> set[str]:
    try:
        model.model_validate(given)
    except ValidationError as error:
        return {str(fault["loc"][0]) if fault["loc"] else "it" for fault in error.errors()}
    return set()
