"""``ItemTask``: a Celery task whose ``.delay()`` commits a work item and sends no message."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NoReturn

from celery import Task
from celery.exceptions import Ignore
from pydantic import BaseModel, ValidationError
from typing_extensions import ParamSpec

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.broker import names
from tierqueue.tasks.outside import CallIds
from tierqueue.tasks.results.async_answer import ItemResult, Out_co
from tierqueue.tasks.submission import chained_inputs
from tierqueue.tasks.submission.demands import NAMES, StatedDemands, invalid, moment
from tierqueue.tasks.submission.prompt import Prompt

# A producer imports its task types at every start: the ledger comes with the first call.
if TYPE_CHECKING:
    from celery import Signature

    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.ledger.results.promises import Promise
    from tierqueue.router.outcome import Accepted, Rejected
    from tierqueue.tasks.app import TierqueueApp

P = ParamSpec("P", default=...)
"""What a task type is called with: its own arguments, and the demands it lists."""

OutputModel = type[BaseModel]
Check = Callable[[Mapping[str, Any], Any], str | None]
"""Given the arguments and the parsed output, says why the output is wrong, or ``None``."""

MOST_OUTPUT = 1_000_000
"""The most output tokens that can be asked of a call; no model has more."""

KeyScope = Literal["task", "budget"]
"""Among which items one idempotency key is one item."""

_OFF_THE_ROAD = frozenset({"exchange", "routing_key", "priority", "time_limit", "soft_time_limit"})


class Doubt(str):
    """What a ``Check`` returns when the answer may be right but is not sure enough."""

    __slots__ = ()


class ItemTask(Task, Generic[P, Out_co]):  # type: ignore[misc]  # celery ships no types
    """A task type. Declare one with ``item_task``; submit an item with ``.delay()``.

    Called directly it makes the prompt, and ``validate`` judges an answer, both without a broker,
    a ledger or a model.

    ``build`` makes the prompt from the arguments; ``output`` is the pydantic model of the answer,
    a function of the arguments giving one, or ``None`` for free text; ``checks`` judge a parsed
    answer; ``output_limit`` is in tokens; ``defaults`` are demands of items that state none.
    """

    abstract = True
    Request = "tierqueue.tasks.consumer.request:ItemRequest"
    declared: ClassVar[dict[str, "ItemTask[..., Any]"]] = {}
    """Every task type that was imported, by name."""

    build: Callable[..., Prompt]
    signature_of_build: inspect.Signature
    arguments_model: type[BaseModel]
    output: OutputModel | Callable[[Mapping[str, Any]], OutputModel] | None
    answer_model: OutputModel | None
    """By which ``.get().output`` reads an answer; ``None`` leaves it a plain mapping."""
    checks: Sequence[Check]
    output_limit: int
    prompt_version: str
    defaults: Mapping[str, Any]
    key_scope: KeyScope
    key_lifetime: int | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Prompt:
        """The prompt that this call would send; raises ``InvalidItem`` as ``delay`` would."""
        if self._is_called_by_name:
            self.run(*args, **kwargs)
        return self.prompt(self._checked(args, kwargs))

    def validate(self, answer: str, /, *args: P.args, **kwargs: P.kwargs) -> "Accepted | Rejected":
        """Judge what a model answered to this call, as a worker does: form, bounds and checks.

        ``Accepted.output`` is what the producer gets, ``Rejected.reasons`` say why it does not.
        """
        from tierqueue.router.outcome import Completed, Usage
        from tierqueue.tasks.answers.validation import validate

        done = Completed(text=answer, usage=Usage(), model_served="")
        return validate(self, self._checked(args, kwargs), done)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> ItemResult[Out_co]:
        """Submit one item; as ``apply_async``, which also takes Celery's options."""
        return self.apply_async(args, kwargs)

    def apply(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: an item is done by a worker, under a hold."""
        raise InvalidItem(
            f"{self.name}: apply() cannot run an item here. To test the task type, call it for its"
            " prompt and .validate() an answer; to run it, .delay()",
            {"task": self.name},
        )

    def AsyncResult(self, task_id: str, **kwargs: Any) -> ItemResult[Out_co]:  # noqa: N802 - Celery's name
        """The result of an item that was submitted, here or elsewhere."""
        result: ItemResult[Out_co] = ItemResult(
            task_id, backend=self.backend, task_name=self.name, app=self.app, **kwargs
        )
        result.model = self.answer_model
        return result

    def prompt(self, arguments: Mapping[str, Any]) -> Prompt:
        """The prompt of one item, from its stored arguments."""
        return type(self).build(**arguments)

    def output_model(self, arguments: Mapping[str, Any]) -> OutputModel | None:
        """The model an answer to these arguments must fit; ``None`` for free text."""
        output = type(self).output
        if output is None or isinstance(output, type):
            return output
        return output(arguments)

    def new_item(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        item_id: str,
        not_before: int | None = None,
        expires: int | None = None,
    ) -> "NewItem":
        """Check one call and make its item; raises ``InvalidItem`` naming what is wrong."""
        from tierqueue.ledger.lifecycle.items import NewItem
        from tierqueue.tasks.answers import form

        args, kwargs, inherited = chained_inputs.take(args, kwargs)
        given = {name: value for name, value in kwargs.items() if name in NAMES}
        stated = StatedDemands.read({**self.defaults, **given}, self.name)
        own = {name: value for name, value in kwargs.items() if name not in NAMES}
        arguments = self._arguments(args, own)
        try:
            prompt, model = self.prompt(arguments), self.output_model(arguments)
            asking = form.size(model)
            limit = _output_limit(arguments.get("max_output_tokens") or self.output_limit)
            _refuse_empty(prompt)
        except (ValueError, TypeError, NameError, RuntimeError) as error:
            raise InvalidItem(f"{self.name}: {error}", {"task": self.name}) from None
        demands = stated.to_columns()
        demands["inherits"] = inherited.strictest()
        if expires is not None:
            demands["deadline"] = min(expires, demands["deadline"] or expires)
        key = demands.pop("idempotency_key")
        # The deadline is left out: a repeated call states it relative to another now.
        stable = {name: value for name, value in demands.items() if name != "deadline"}
        try:
            told = json.dumps([arguments, stable], sort_keys=True, allow_nan=False)
        except ValueError:
            raise InvalidItem(
                f"{self.name}: a number among the arguments is none (NaN, an empty cell?)",
                {"task": self.name},
            ) from None
        priority = demands.pop("priority")
        return NewItem(
            id=item_id,
            task=self.name,
            arguments=arguments,
            fingerprint=hashlib.sha256(told.encode()).hexdigest()[:32],
            prefix=prompt.shared(self.name, self.prompt_version),
            prompt_bytes=prompt.size + asking,
            messages=2,
            output_limit=limit,
            priority=5 if priority is None else priority,
            not_before=not_before,
            idempotency_key=None if key is None else self._key(key, demands["budget"]),
            key_lifetime=self.key_lifetime,
            **demands,
        )

    def called(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        item_id: str,
        not_before: Any,
        expires: Any,
    ) -> "NewItem":
        """``new_item`` with Celery's times: durations, seconds from now, datetimes or ISO text."""
        return self.new_item(
            args,
            kwargs,
            item_id=item_id,
            not_before=None if not_before is None else moment(not_before, self.name, "countdown"),
            expires=None if expires is None else moment(expires, self.name, "expires"),
        )

    def signature(self, args: Any = None, *more: Any, **options: Any) -> "Signature":
        """As Celery's; it names our queue, for whoever sends it on without knowing this task."""
        made = super().signature(args, *more, **options)
        made.options.setdefault("queue", names.ROUTE)
        return made

    subtask = signature

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,  # noqa: ARG002 - Celery passes its own; nothing is published with it
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,  # noqa: ARG002 - Celery's name for logs; an item has its task
        **options: Any,
    ) -> ItemResult[Out_co]:
        """Commit the item and what its caller is owed, then wake the routing stage.

        Raises ``InvalidItem`` for bad input and the database's own error when the ledger cannot be
        reached; a broker that is down neither raises nor delays. ``countdown`` and ``eta`` become
        "not before", ``expires`` the deadline; options that would leave the road are refused.
        """
        from tierqueue.ledger.lifecycle.items import new_id, submit
        from tierqueue.ledger.results.promises import Promise
        from tierqueue.tasks.results import fulfil
        from tierqueue.tasks.results.signatures import listed, plain
        from tierqueue.tasks.submission import intake

        item_id = task_id or new_id()
        not_before = (
            options.get("eta") if options.get("countdown") is None else options["countdown"]
        )
        parent = self.app.current_worker_task
        request = parent.request if parent else None
        promise = Promise(
            id=item_id,
            item_id=item_id,
            task=self.name,
            group_id=options.get("group_id"),
            group_index=options.get("group_index"),
            chord=plain(options.get("chord")),
            chain=plain(options.get("chain")),
            callbacks=plain(listed(link)),
            errbacks=plain(listed(link_error)),
            root_id=options.get("root_id")
            or (request.root_id or request.id if request else item_id),
            parent_id=options.get("parent_id") or (request.id if request else None),
        )
        road = self._road
        try:
            self._refuse_other_roads(options)
            self._check_ids(promise)
            new = self.called(
                args or (),
                kwargs or {},
                item_id=item_id,
                not_before=not_before,
                expires=options.get("expires"),
            )
            with road.ledger.write() as connection:
                joined = submit(connection, new, promise) != item_id
        except InvalidItem as error:
            if not fulfil.unattended():
                raise
            intake.refuse(road, self.name, args or (), kwargs or {}, promise, error)
            joined = True
        else:
            road.wakes.call()
        if joined:
            road.joined[item_id] = True
        result = self.AsyncResult(item_id)
        if parent is not None and options.get("add_to_parent", True):
            parent.add_trail(result)
        return result

    def submit_in(self, session: Any, *args: P.args, **kwargs: P.kwargs) -> ItemResult[Out_co]:
        """As ``delay``, but in the caller's own SQLAlchemy session or connection.

        The item is there once that transaction commits, and never was if it is rolled back; it
        must be on the ledger's database. The routing stage is woken after the commit. Raises
        ``InvalidItem`` for bad input, ``Misconfigured`` for what is no session.
        """
        from tierqueue.ledger.lifecycle import caller_session
        from tierqueue.ledger.lifecycle.items import new_id
        from tierqueue.ledger.results.promises import Promise

        item_id = new_id()
        new = self.called(args, kwargs, item_id=item_id, not_before=None, expires=None)
        promise = Promise(id=item_id, item_id=item_id, task=self.name, root_id=item_id)
        road = self._road
        if caller_session.submit_in(session, new, promise, road.wakes.call) != item_id:
            road.joined[item_id] = True
        return self.AsyncResult(item_id)

    def run(self, *args: Any, **kwargs: Any) -> NoReturn:
        """The intake: a call by name arrived at the routing stage with its full arguments.

        Commits item and promise and then raises ``Ignore``, because the answer comes later; bad
        input becomes a dead letter, whose producer is told. Raises ``Reject`` with requeue while
        the ledger cannot be asked.
        """
        from tierqueue.ledger.results.promises import Promise
        from tierqueue.tasks.results.signatures import plain
        from tierqueue.tasks.submission import intake

        if not self._is_called_by_name:
            raise InvalidItem(
                f"{self.name}: run() is for Celery; call the task type itself, or .delay()"
            )
        request = self.request
        promise = Promise(
            id=request.id,
            item_id=request.id,
            task=self.name,
            group_id=request.group,
            group_index=request.group_index,
            chord=plain(request.chord),
            chain=plain(request.chain),
            callbacks=plain(request.callbacks),
            errbacks=plain(request.errbacks),
            root_id=request.root_id,
            parent_id=request.parent_id,
        )
        intake.take_in(self, args, kwargs, promise, not_before=request.eta, expires=request.expires)
        self._road.wakes.call()
        raise Ignore

    @property
    def _is_called_by_name(self) -> bool:
        """Whether Celery is carrying out a message; an unbound task has no requests at all."""
        return self.request_stack is not None and not self.request.called_directly

    @property
    def _road(self) -> "TierqueueApp":
        road: TierqueueApp = self.app
        return road

    def _checked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call without its demands, both checked."""
        return dict(self.new_item(args, kwargs, item_id="").arguments)

    def _arguments(self, args: Sequence[Any], own: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self.signature_of_build.bind_partial(*args, **own)
        except TypeError as error:
            raise InvalidItem(f"{self.name}: {error}", {"task": self.name}) from None
        fields = self.arguments_model.model_fields
        given = {
            name: chained_inputs.fit(
                value, as_text=name in fields and fields[name].annotation is str
            )
            for name, value in bound.arguments.items()
        }
        try:
            checked = self.arguments_model.model_validate(given)
        except ValidationError as error:
            raise invalid(self.name, error) from None
        return checked.model_dump(mode="json")

    def _key(self, key: str, budget: str | None) -> str:
        # Quoted, so that no budget and key together read like others.
        return f"{self.name}:{key}" if self.key_scope == "task" else f"{self.name}:{budget!r}:{key}"

    def _check_ids(self, promise: "Promise") -> None:
        try:
            CallIds.model_validate({name: getattr(promise, name) for name in CallIds.model_fields})
        except ValidationError as error:
            raise invalid(self.name, error) from None

    def _refuse_other_roads(self, options: Mapping[str, Any]) -> None:
        refused = sorted(name for name in _OFF_THE_ROAD if options.get(name) is not None)
        if options.get("queue") not in (None, names.ROUTE):
            refused.append("queue")
        if refused:
            raise InvalidItem(
                f"{self.name}: {', '.join(refused)} would leave the road: the policy decides where"
                " an item goes; say what it demands instead (priority, deadline, floor)",
                {"task": self.name, "options": refused},
            )


def _refuse_empty(prompt: Prompt) -> None:
    if not (prompt.prefix + prompt.question).strip():
        raise ValueError("the prompt is empty: providers refuse a message without a text")


def _output_limit(limit: Any) -> int:
    if type(limit) is not int or not 1 <= limit <= MOST_OUTPUT:
        raise ValueError(f"the output limit is a whole number of tokens from 1 to {MOST_OUTPUT}")
    return limit
