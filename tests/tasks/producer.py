"""A producer, workers beside it, and the test in the place of the stages behind."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import update

from tests.fork_server import ForkServer
from tests.waiting import until
from tierqueue.ledger.lifecycle.items import Death, die
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.ledger.results.promises import Ending
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.results import fulfil
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.maintenance.upkeep import Upkeep

CHECKOUT = Path(__file__).parents[2]


class Producer:
    """A producer, and this test in the place of the stages behind it."""

    def __init__(self, app: TierqueueApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    def item(self, item_id: str) -> Any:
        """The item's row, or ``None``."""
        with self.ledger.read() as connection:
            found = connection.execute(items.select().where(items.c.id == item_id))
            return found.first()

    def all_items(self) -> list[Any]:
        """Every item's row."""
        with self.ledger.read() as connection:
            return list(connection.execute(items.select().order_by(items.c.id)))

    def answer(self, item_id: str, output: Any, **receipt: Any) -> Ending:
        """A tier accepts an answer: only the ledger knows yet."""
        receipt = {"sensitivity": "public", **receipt}
        until(lambda: self.item(item_id))
        with self.ledger.write() as connection:
            connection.execute(
                update(items)
                .where(items.c.id == item_id)
                .values(
                    state="succeeded",
                    output=output,
                    receipt=receipt,
                    ended_at=database_now(connection),
                )
            )
        answer = {"output": output, "receipt": receipt}
        return Ending(item_id=item_id, state=State.SUCCEEDED, answer=answer, error=None)

    def kill(self, item_id: str, reason: str, **fields: Any) -> Ending:
        """A stage declares the item dead: only the ledger knows yet."""
        until(lambda: self.item(item_id))
        with self.ledger.write() as connection:
            death = Death(item_id, reason, f"died of {reason}", fields)
            return die(connection, [death], database_now(connection)).ended[0]

    def die(self, item_id: str, reason: str = "no_route") -> Ending:
        """An item dies and everybody is told."""
        ending = self.kill(item_id, reason)
        self.tell(ending)
        return ending

    def tell(self, *endings: Ending) -> None:
        """The stage keeps what is owed."""
        with self.ledger.read() as connection:
            ends = ledger_promises.ends_of(connection, list(endings))
        Delivery(self.app).ended(ends)

    def tell_twice(self, ending: Ending) -> None:
        """The stage and the tick keep the same promise, one after the other."""
        with self.ledger.read() as connection:
            owed = ledger_promises.unfulfilled(connection, [ending.item_id])
        pairs = [(promise, ending) for promise in owed]
        for _ in range(2):
            assert self.fulfil(pairs) == [promise.id for promise in owed]

    def fulfil(self, owed: Sequence[fulfil.OwedPromise]) -> list[str]:
        """Tell everybody who is owed one of these; returns the ids of those that came true."""
        return fulfil.fulfil(self.app, self.ledger, self.app.installation.wakes.call, owed)

    def upkeep(self) -> Upkeep:
        """A routing stage's upkeep."""
        installation = self.app.installation
        return Upkeep(
            self.ledger,
            Delivery(self.app),
            self.app.backend,
            wake=installation.wakes.call,
            retention=lambda: installation.policy.retention,
            result_expires=installation.settings.result_expires,
        )

    def notes(self) -> list[list[Any]]:
        """What the foreign tasks wrote down."""
        lines = self.app.backend.client.lrange("foreign-notes", 0, -1)
        return [json.loads(line) for line in lines]


class Worker:
    """A real worker process; its log is ``log``."""

    def __init__(
        self,
        forks: ForkServer,
        name: str,
        module: str,
        queue: str,
        log: Path,
        environment: dict[str, str],
    ) -> None:
        self.log = log
        self.process = forks.start(
            [
                *("celery", "-A", module, "worker", "-P", "threads"),
                *("-c", "2", "-Q", queue, "-n", f"{name}@test", "-E", "-l", "INFO"),
                *("--without-gossip", "--without-mingle"),
            ],
            output=log,
            environ={**os.environ, **environment},
        )
        until(lambda: self.process.poll() is not None or b"ready." in _said(log))
        assert self.process.poll() is None, log.read_text()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not heard."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _said(log: Path) -> bytes:
    return log.read_bytes() if log.exists() else b""
