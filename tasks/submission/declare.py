"""``item_task``: a task type is declared by the function that builds its prompt."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, Unpack, get_args, overload

from celery._state import connect_on_app_finalize
from pydantic import BaseModel, ConfigDict, PydanticUndefinedAnnotation, create_model

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import parse_duration
from tierqueue.tasks.answers import form
from tierqueue.tasks.app import app
from tierqueue.tasks.results.async_answer import FreeText
from tierqueue.tasks.submission.demands import NAMES, Demands, StatedDemands
from tierqueue.tasks.submission.item_task import ItemTask, P
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.tasks.submission.task_type import MOST_OUTPUT, Check, KeyScope, OutputModel

M = TypeVar("M", bound=BaseModel)
Out = TypeVar("Out")
ModelOf = Callable[[Mapping[str, Any]], OutputModel]


class _Options(Demands, total=False):
    checks: Sequence[Check]
    output_limit: int
    prompt_version: str
    idempotency_scope: KeyScope
    idempotency_lifetime: str | None


class _Declare(Protocol[Out]):
    def __call__(self, build: Callable[P, Prompt], /) -> ItemTask[P, Out]: ...


@overload
def item_task(name: str, *, output: type[M], **options: Unpack[_Options]) -> _Declare[M]: ...
@overload
def item_task(name: str, *, output: None, **options: Unpack[_Options]) -> _Declare[FreeText]: ...
@overload
def item_task(
    name: str, *, output: ModelOf, answer_model: type[M], **options: Unpack[_Options]
) -> _Declare[M]: ...
@overload
def item_task(
    name: str, *, output: ModelOf, **options: Unpack[_Options]
) -> _Declare[dict[str, Any]]: ...
def item_task(
    name: str,
    *,
    output: OutputModel | ModelOf | None,
    answer_model: OutputModel | None = None,
    checks: Sequence[Check] = (),
    output_limit: int = 256,
    prompt_version: str = "1",
    idempotency_scope: KeyScope = "task",
    idempotency_lifetime: str | None = None,
    **defaults: Any,
) -> _Declare[Any]:
    """Declare a task type from the function that builds its prompt.

    The function's signature is the task's signature, checked at every call; with
    ``**_demands: Unpack[Demands]`` at its end, type checkers know the demands too. An answer's
    ``output`` is read by ``output``; where that is a function of the arguments, by
    ``answer_model``, or it stays a plain mapping. ``name`` is explicit and travels, so that moving
    the file changes nothing. One idempotency key is one item of the type, or of the type and the
    item's stated budget (``idempotency_scope="budget"``), for ever or for
    ``idempotency_lifetime`` (``"7d"``) from its submission. A parameter ``min_confidence`` is the
    least confidence with which an answer is accepted, and a field ``confidence`` that
    ``answer_model`` alone has is filled in with the answer's. Raises ``InvalidItem`` at the
    declaration for a parameter without a type or one named like a demand, and for an ``output``
    that has no JSON schema.
    """

    def declare(build: Callable[..., Prompt]) -> ItemTask[..., Any]:
        StatedDemands.read(defaults, name)
        if idempotency_scope not in get_args(KeyScope):
            raise InvalidItem(f"{name}: idempotency_scope is task or budget")
        _refuse_formless(name, output)
        _refuse_formless(name, answer_model)
        if type(output_limit) is not int or not 1 <= output_limit <= MOST_OUTPUT:
            raise InvalidItem(f"{name}: output_limit is from 1 to {MOST_OUTPUT} tokens")
        try:
            lifetime = idempotency_lifetime and parse_duration(idempotency_lifetime)
        except ValueError as error:
            raise InvalidItem(f"{name}: idempotency_lifetime: {error}") from None
        signature = _own_signature(build)
        members = {
            "name": name,
            "build": staticmethod(build),
            "signature_of_build": signature,
            "arguments_model": _arguments_model(name, build.__name__, signature),
            "output": output
            if output is None or isinstance(output, type)
            else staticmethod(output),
            "answer_model": FreeText if output is None else _fixed(output) or answer_model,
            "checks": tuple(checks),
            "output_limit": output_limit,
            "prompt_version": prompt_version,
            "defaults": defaults,
            "key_scope": idempotency_scope,
            "key_lifetime": lifetime,
            "__doc__": build.__doc__,
            "__module__": build.__module__,
            "abstract": False,
            "_app": app,
        }
        task: ItemTask = type(build.__name__, (ItemTask,), members)()
        ItemTask.declared[name] = task
        if app.finalized:
            app.register_task(task)
        else:
            # Registering reads the configuration, and importing a task must read no environment.
            connect_on_app_finalize(lambda ready: ready is app and app.register_task(task))
        return task

    return declare


def _refuse_formless(name: str, output: OutputModel | ModelOf | None) -> None:
    if not isinstance(output, type):
        return
    try:
        form.schema_of(output)
    except PydanticUndefinedAnnotation:
        pass  # a name that the module defines further down; the first call sees it
    except InvalidItem as error:
        raise InvalidItem(f"{name}: {error.message}", {"task": name}) from None


def _fixed(output: OutputModel | ModelOf) -> OutputModel | None:
    return output if isinstance(output, type) else None


def _own_signature(build: Callable[..., Prompt]) -> inspect.Signature:
    """The signature of ``build`` without ``**_demands``, which type checkers alone look at."""
    signature = inspect.signature(build, eval_str=True)
    own = [
        parameter
        for parameter in signature.parameters.values()
        if not (parameter.kind is parameter.VAR_KEYWORD and parameter.annotation == Unpack[Demands])
    ]
    return signature.replace(parameters=own)


def _arguments_model(name: str, title: str, signature: inspect.Signature) -> OutputModel:
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty or parameter.name in NAMES:
            raise InvalidItem(
                f"{name}: parameter {parameter.name} needs a type, and a name that is no demand"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)
    return create_model(f"{title}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
