"""Dead letters on the broker: each one's id and reason, for whoever follows queues.

The queues ``dead.gpu`` … ``dead.route`` are read by no process of tierqueue; consuming them
changes nothing in the ledger. A consumer that has only Celery registers a task
``tierqueue.dead_letter``.
"""

from collections.abc import Sequence

import structlog
from celery import Celery
from kombu import Exchange, Queue

from tierqueue.ledger.results.announcements import MAX_ANNOUNCED, Announcement
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import memory, names
from tierqueue.tasks.broker.once import once

_log = structlog.get_logger(__name__)


def announce(app: TierqueueApp, letters: Sequence[Announcement]) -> list[str]:
    """Put dead letters on their queues; returns the ids of those that stand there now.

    Raises nothing: what the broker did not take is announced by a later tick. A letter that
    somebody else is announcing is left to them.
    """
    announced: list[str] = []
    try:
        for queue, those in _by_queue(letters).items():
            announced += _publish(app, queue, those)
            memory.trim_announced(app.backend, queue, MAX_ANNOUNCED)
    except Exception as error:  # noqa: BLE001 - an announcement is owed until it is made
        left = len(letters) - len(announced)
        _log.warning("dead_letters_not_announced", count=left, error=type(error).__name__)
    return announced


def _publish(app: TierqueueApp, queue: str, letters: Sequence[Announcement]) -> list[str]:
    by_marker = {
        names.dead_letter_marker(letter.item_id, letter.ended_at): letter for letter in letters
    }
    kept = app.backend.expires
    with once(app.backend, list(by_marker), kept=kept) as marked:
        _send(app, queue, [by_marker[marker] for marker in marked.ours])
    return [by_marker[marker].item_id for marker in (*marked.ours, *marked.before)]


def _send(app: Celery, queue: str, letters: Sequence[Announcement]) -> None:
    if not letters:
        return
    target = Queue(queue, Exchange(queue), routing_key=queue)
    with app.producer_pool.acquire(block=True) as producer, producer.batch(len(letters) + 1):
        for letter in letters:
            app.send_task(
                names.DEAD,
                kwargs={"item": letter.item_id, "reason": letter.reason},
                queue=target,
                producer=producer,
                ignore_result=True,
                retry=False,
            )


def _by_queue(letters: Sequence[Announcement]) -> dict[str, list[Announcement]]:
    found: dict[str, list[Announcement]] = {}
    for letter in letters:
        found.setdefault(names.dead_queue(letter.tier), []).append(letter)
    return found
