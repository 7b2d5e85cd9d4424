"""``item_task``: a task type is declared by the function that builds its prompt."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from celery._state import connect_on_app_finalize
from pydantic import ConfigDict, PydanticUndefinedAnnotation, create_model

from tierqueue.router.duration import parse_duration
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import answer_form
from tierqueue.tasks.app import app
from tierqueue.tasks.base import Check, ItemTask, KeyScope, OutputModel
from tierqueue.tasks.demands import NAMES, StatedDemands
from tierqueue.tasks.prompt import Prompt


def item_task(
    name: str,
    *,
    output: OutputModel | Callable[[Mapping[str, Any]], OutputModel] | None,
    checks: Sequence[Check] = (),
    output_limit: int = 256,
    prompt_version: str = "1",
    idempotency_scope: KeyScope = "task",
    idempotency_lifetime: str | None = None,
    **defaults: Any,
) -> Callable[[Callable[..., Prompt]], ItemTask]:
    """Declare a task type from the function that builds its prompt.

    The function's signature is the task's signature, checked at every call. ``name`` is explicit
    and travels, so that moving the file changes nothing. One idempotency key is one item of the
    type, or of the type and the item's stated budget (``idempotency_scope="budget"``), for ever
    or for ``idempotency_lifetime`` (``"7d"``) from its submission. Raises ``InvalidItem`` at the
    declaration for a parameter without a type or one named like a demand, and for an ``output``
    that has no JSON schema.
    """

    def declare(build: Callable[..., Prompt]) -> ItemTask:
        StatedDemands.read(defaults, name)
        if idempotency_scope not in get_args(KeyScope):
            raise InvalidItem(f"{name}: idempotency_scope is task or budget")
        _refuse_formless(name, output)
        try:
            lifetime = idempotency_lifetime and parse_duration(idempotency_lifetime)
        except ValueError as error:
            raise InvalidItem(f"{name}: idempotency_lifetime: {error}") from None
        members = {
            "name": name,
            "build": staticmethod(build),
            "signature_of_build": inspect.signature(build),
            "arguments_model": _arguments_model(name, build),
            "output": output
            if output is None or isinstance(output, type)
            else staticmethod(output),
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


def _refuse_formless(
    name: str, output: OutputModel | Callable[[Mapping[str, Any]], OutputModel] | None
) -> None:
    if not isinstance(output, type):
        return
    try:
        answer_form.schema_of(output)
    except PydanticUndefinedAnnotation:
        pass  # a name that the module defines further down; the first call sees it
    except InvalidItem as error:
        raise InvalidItem(f"{name}: {error.message}", {"task": name}) from None


def _arguments_model(name: str, build: Callable[..., Prompt]) -> OutputModel:
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(build, eval_str=True).parameters.values():
        if parameter.annotation is parameter.empty or parameter.name in NAMES:
            raise InvalidItem(
                f"{name}: parameter {parameter.name} needs a type, and a name that is no demand"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)
    return create_model(
        f"{build.__name__}_arguments", __config__=ConfigDict(extra="forbid"), **fields
    )
