"""Flower's pages of one item and of the workers, with what the ledger knows of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flower.views.tasks import TaskView
from flower.views.workers import WorkersView
from tornado import web
from tornado.escape import xhtml_escape
from tornado.ioloop import IOLoop

from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.records import Attempt
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.simulated import of_items
from tierqueue.ledger.session import Ledger
from tierqueue.operations.health import LatestHealth
from tierqueue.router.lifecycle import State
from tierqueue.router.money import format_usd
from tierqueue.tasks.broker.task_events import message_of
from tierqueue.tasks.findings.finding import Finding

_STATES = {
    State.RUNNING: "STARTED",
    State.WAITING: "RETRY",
    State.SUCCEEDED: "SUCCESS",
    State.DEAD: "FAILURE",
    State.CANCELLED: "REVOKED",
}
_BEFORE_METRICS = b'<section class="metric-grid"'


class LedgerTask:
    """An item as Flower's template of a task shows it: ``_fields`` names what is shown."""

    def __init__(self, uuid: str, name: str, state: str, shown: Mapping[str, Any]) -> None:
        self.uuid, self.name, self.state = uuid, name, state
        self.args = self.kwargs = self.result = "kept in the ledger: tierqueue item show --payload"
        self._fields = tuple(shown)
        vars(self).update(shown)


class ItemPage(TaskView):  # type: ignore[misc]
    """A task's page: of an item by its own id or a call's, also where no event told of it."""

    def initialize(self, ledger: Ledger, simulated: Collection[str]) -> None:
        self._ledger = ledger
        self._simulated = simulated

    @web.authenticated
    async def get(self, task_id: str) -> None:
        found = await IOLoop.current().run_in_executor(
            None, item_as_task, self._ledger, task_id, self._simulated
        )
        if found is None:
            super().get(task_id)
            return
        task, called = found
        # What no call is behind has no task id that could be revoked.
        read_only = self.application.options.read_only or not called
        self.render("task.html", task=task, read_only=read_only)


def item_as_task(
    ledger: Ledger, task_id: str, simulated: Collection[str] = ()
) -> tuple[LedgerTask, bool] | None:
    """An item as a task, and whether a call of that id is behind it; without its contents.

    ``simulated``: the deployments of the policy that are.
    """
    with ledger.read() as connection:
        of_call = promises.items_of(connection, [task_id])
        item_id = of_call[0] if of_call else task_id
        row = items.get(connection, item_id)
        history = items.history(connection, item_id) if row is not None else []
        made_up = of_items(connection, [item_id], simulated)
    if row is None:
        return None
    shown: dict[str, Any] = {
        "item": item_id,
        "ledger_state": row.state.value,
        "reason": row.reason,
        "why": message_of(row.error) or None,
        "tier": row.tier,
        "deployment": row.deployment,
        "cost": format_usd(row.spent),
        "held": format_usd(row.held) if row.held else None,
        "budget": row.budget,
        "job": row.job_id,
        "attempts": [_attempt(attempt) for attempt in history] or None,
    }
    if made_up:
        shown["simulated"] = "its money and answers are made up: no provider was asked"
    return LedgerTask(task_id, row.task, _STATES.get(row.state, "RECEIVED"), shown), bool(of_call)


def _attempt(attempt: Attempt) -> str:
    cost = "" if attempt.cost is None else f", {format_usd(attempt.cost)}"
    return f"{attempt.deployment}: {attempt.outcome or 'running'}{cost}"


def _is_worker(worker: Mapping[str, Any]) -> bool:
    """Whether it said so itself: a command that tells of an item is taken for one by Celery."""
    return worker["sw_ident"] is not None


class WorkersPage(WorkersView):  # type: ignore[misc]
    """The workers, under what is wrong; one whose deployments are held back says so in its row."""

    def initialize(self, health: LatestHealth) -> None:
        self._health = health
        self._wrong: Sequence[Finding] = ()

    async def get(self) -> None:
        health = await IOLoop.current().run_in_executor(None, self._health.now)
        self._wrong = [finding for finding in health.findings if finding.wrong]
        await super().get()

    def write(self, chunk: Any) -> None:
        if isinstance(chunk, dict):
            chunk["data"] = [worker for worker in chunk["data"] if _is_worker(worker)]
            for worker in chunk["data"]:
                self._mark_stopped(worker)
        super().write(chunk)

    def render(self, template_name: str, **shown: Any) -> Any:
        # An error's page is a template of its own, without workers.
        if "workers" in shown:
            found = shown["workers"].items()
            shown["workers"] = {name: worker for name, worker in found if _is_worker(worker)}
            for worker in shown["workers"].values():
                self._mark_stopped(worker)
        return super().render(template_name, **shown)

    def finish(self, chunk: Any = None) -> Any:
        if isinstance(chunk, bytes):
            banner = "".join(
                f'<div class="alert alert-danger" role="alert">{xhtml_escape(finding.what)}<br>'
                f"<code>{xhtml_escape(finding.do)}</code></div>"
                for finding in self._wrong
            )
            chunk = chunk.replace(_BEFORE_METRICS, banner.encode() + _BEFORE_METRICS, 1)
        return super().finish(chunk)

    def _mark_stopped(self, worker: dict[str, Any]) -> None:
        tier = str(worker.get("hostname", "")).partition("@")[0]
        stopped = [
            f"{finding.detail['deployment']}: {finding.detail.get('trouble', 'not called')}"
            for finding in self._wrong
            if finding.code == "deployment_stopped" and finding.detail.get("tier") == tier
        ]
        if stopped:
            # The last column, which is a text where it is no list of numbers.
            worker["loadavg"] = "NOT CALLED " + ", ".join(stopped)
