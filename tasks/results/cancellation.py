"""Cancelling by Celery id: a revoke is written into the ledger, where nobody can miss it."""

from collections.abc import Sequence
from typing import Any

from celery.app.control import Control
from celery.utils.functional import maybe_list

from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.results import promises
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker.commands import ItemMailbox
from tierqueue.tasks.results.delivery import Delivery


def cancel_behind(app: TierqueueApp, task_ids: Sequence[str]) -> set[str]:
    """Cancel the items these Celery ids were promised; returns the ids that are promises of ours.

    An item that waits ends at once and its producers are told; one that runs ends when its call
    is aborted; one that has ended stays as it is.
    """
    with app.installation.ledger.write() as connection:
        known = [task_id for task_id in task_ids if promises.exists(connection, task_id)]
        ends = items.cancel(connection, promises.items_of(connection, known), "a revoke")
    Delivery(app).ended(ends)
    return set(known)


class ItemControl(Control):  # type: ignore[misc]  # celery ships no types
    """As Celery's; what is an item's is cancelled in the ledger, whether or not a process runs.

    Whoever has no ledger tells the processes that run, as Celery does.
    """

    Mailbox = ItemMailbox

    def revoke(self, task_id: Any, *args: Any, **kwargs: Any) -> Any:
        """Revoke a task by its id, or several by theirs; work items among them are cancelled.

        Raises the database's own error when the ledger cannot be reached: then nothing is revoked.
        """
        ids = [str(celery_id) for celery_id in maybe_list(task_id) or []]
        ours: set[str] = set()
        if self.app.installation.settings.ledger_url is not None:
            ours = cancel_behind(self.app, sorted(set(ids)))
        others = [celery_id for celery_id in ids if celery_id not in ours]
        replies = super().revoke(others, *args, **kwargs) if others else None
        if not ours or not kwargs.get("reply"):
            return replies
        told = {"ledger": {"ok": f"cancelled: {', '.join(sorted(ours))}"}}
        return [told, *(replies or [])]
