"""``ItemTask``: a Celery task whose ``.delay()`` commits a work item and sends no message."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn

from celery.exceptions import Ignore
from pydantic import ValidationError
from typing_extensions import ParamSpec

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.bounded_values import CallIds
from tierqueue.tasks.broker import names
from tierqueue.tasks.results.async_answer import ItemResult, Out_co
from tierqueue.tasks.submission.demands import NAMES, invalid
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.tasks.submission.references import resolved
from tierqueue.tasks.submission.task_type import TaskType

# A producer imports its task types at every start: the ledger comes with the first call.
if TYPE_CHECKING:
    from celery import Signature

    from tierqueue.ledger.results.promises import Promise
    from tierqueue.router.outcome import Accepted, Rejected
    from tierqueue.tasks.app import TierqueueApp

P = ParamSpec("P", default=...)
"""What a task type is called with: its own arguments, and the demands it lists."""


_DECIDED_BY_POLICY = frozenset(
    {"exchange", "routing_key", "priority", "time_limit", "soft_time_limit"}
)


class ItemTask(TaskType, Generic[P, Out_co]):
    """A task type. Declare one with ``item_task``; submit an item with ``.delay()``.

    Called directly it makes the prompt, and ``validate`` judges an answer, both without a broker,
    a ledger or a model.
    """

    abstract = True
    Request = "tierqueue.tasks.consumer.request:ItemRequest"
    declared: ClassVar[dict[str, "ItemTask[..., Any]"]] = {}
    """Every task type that was imported, by name."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Prompt:
        """The prompt that this call would send; raises ``InvalidItem`` as ``delay`` would."""
        if self._is_called_by_name:
            self.run(*args, **kwargs)
        return self.prompt(self.checked_arguments(args, kwargs))

    def validate(self, answer: str, /, *args: P.args, **kwargs: P.kwargs) -> "Accepted | Rejected":
        """Judge what a model answered to this call, as a worker does: form, bounds and checks.

        ``Accepted.output`` is what the producer gets, ``Rejected.reasons`` say why it does not.
        """
        from tierqueue.router.outcome import Completed, Usage
        from tierqueue.tasks.submission.validation import validate

        done = Completed(text=answer, usage=Usage(), model_served="")
        return validate(self, self.checked_arguments(args, kwargs), done)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> ItemResult[Out_co]:
        """Submit one item; as ``apply_async``, which also takes Celery's options."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> ItemResult[Out_co]:
        """As ``delay``, without holding up the event loop; ``await result.aget()`` waits."""
        from tierqueue.tasks.results.awaiting import waiting

        return await waiting().submitted(lambda: self.delay(*args, **kwargs))

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
        "not before", ``expires`` the deadline; options for what the policy decides are refused.
        """
        from tierqueue.ledger.lifecycle import documents
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
        app, part = self._tierqueue, options.get(fulfil.PART)
        try:
            self._refuse_routing_options(options)
            self._check_ids(promise)
            given, named = resolved(
                lambda: app.installation.ledger, self.name, args or (), kwargs or {}
            )
            new = self.called(
                given,
                named,
                item_id=item_id,
                not_before=not_before,
                expires=options.get("expires"),
                unattended=fulfil.unattended(),
            )
            with app.installation.ledger.write() as connection:
                part_new = new if part is None else documents.joining(connection, new, part)
                joined = part_new is None or submit(connection, part_new, promise) != item_id
        except InvalidItem as error:
            if not fulfil.unattended():
                raise
            intake.refuse(app, self.name, args or (), kwargs or {}, promise, error)
            if part is not None:
                with app.installation.ledger.write() as connection:
                    documents.refused(connection, item_id, part)
            joined = True
        else:
            app.installation.wakes.call()
        if joined:
            app.installation.joined[item_id] = True
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
        app = self._tierqueue
        if caller_session.submit_in(session, new, promise, app.installation.wakes.call) != item_id:
            app.installation.joined[item_id] = True
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
        self._tierqueue.installation.wakes.call()
        raise Ignore

    @property
    def _is_called_by_name(self) -> bool:
        """Whether Celery is carrying out a message; an unbound task has no requests at all."""
        return self.request_stack is not None and not self.request.called_directly

    @property
    def _tierqueue(self) -> "TierqueueApp":
        app: TierqueueApp = self.app
        return app

    def _check_ids(self, promise: "Promise") -> None:
        try:
            CallIds.model_validate({name: getattr(promise, name) for name in CallIds.model_fields})
        except ValidationError as error:
            raise invalid(self.name, error) from None

    def _refuse_routing_options(self, options: Mapping[str, Any]) -> None:
        refused = sorted(name for name in _DECIDED_BY_POLICY if options.get(name) is not None)
        if options.get("queue") not in (None, names.ROUTE):
            refused.append("queue")
        if refused:
            verb = "is" if len(refused) == 1 else "are"
            raise InvalidItem(
                f"{self.name}: {', '.join(refused)} {verb} not supported: the policy decides the"
                " queue; state what the item demands instead (priority, deadline, floor)",
                {"task": self.name, "options": refused},
            )
        unheard = sorted(NAMES & options.keys())
        if unheard:
            raise InvalidItem(
                f"{self.name}: {', '.join(unheard)} among Celery's options would not be heard:"
                " what an item demands is said with its arguments (args, kwargs)",
                {"task": self.name, "options": unheard},
            )
