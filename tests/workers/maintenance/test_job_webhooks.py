"""Webhooks of jobs: done, stopped and stalled are told once each, signed, until they are taken."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import update

from tests.ledger.moves import Moves, new_item, settlement
from tests.ledger.placed import commit
from tests.tasks.producer import Producer
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.results import webhooks
from tierqueue.ledger.tables import webhooks as table
from tierqueue.workers.maintenance.job_webhooks import JobWebhooks
from tierqueue.workers.maintenance.retrying import TRIES

SECRET = "a secret of its own"


class Received:
    """What came to an address, and the status that it answers with."""

    status = 204

    def __init__(self) -> None:
        self.posted: list[tuple[dict[str, Any], dict[str, str], bytes]] = []
        self.address = ""

    @property
    def whats(self) -> list[str]:
        return [told["what"] for told, _, _ in self.posted]


@pytest.fixture
def received() -> Iterator[Received]:
    found = Received()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posted.append((json.loads(body), dict(self.headers), body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.address = f"http://127.0.0.1:{server.server_port}/jobs"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def producer(
    producer_to: Callable[[str], Producer], ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> Producer:
    monkeypatch.setenv("JOBS_SECRET", SECRET)
    return producer_to(ledger_url)


def _job(producer: Producer, address: str, rows: int = 1) -> str:
    with producer.ledger.write() as connection:
        job_id = jobs.create(connection, task="t", source="f", max_cost=None, now=1, total=rows)
        commit(connection, [new_item(job_id=job_id, job_index=n) for n in range(rows)])
        jobs.complete(connection, job_id, rows)
        webhooks.put(connection, job_id, address, "env:JOBS_SECRET", "ada")
    return job_id


def _tick(producer: Producer, **changed: Any) -> bool:
    """A look at once, after ``changed``."""
    with producer.ledger.write() as connection:
        open_ = table.c.look_at.is_not(None)
        connection.execute(update(table).where(open_).values(look_at=0, **changed))
    return JobWebhooks(producer.ledger).one()


def _end(producer: Producer) -> None:
    moves = Moves(producer.ledger)
    moves.route()
    moves.settle(*(settlement(claim) for claim in moves.claim(moves.queue()).claimed))


def test_an_end_is_told_once_and_signed(producer: Producer, received: Received) -> None:
    job_id = _job(producer, received.address)
    assert _tick(producer)
    assert received.posted == []
    _end(producer)
    assert _tick(producer)
    assert not _tick(producer)
    [(told, headers, body)] = received.posted
    assert (told["job"], told["what"], told["states"]) == (job_id, "done", {"succeeded": 1})
    signed = f"{headers['Tierqueue-Timestamp']}.".encode() + body
    proof = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["Tierqueue-Signature"] == f"v1={proof}"


def test_a_job_that_stands_still_is_told_once_each_time(
    producer: Producer, received: Received
) -> None:
    _job(producer, received.address, rows=2)
    _tick(producer, moved_at=0)
    _tick(producer, moved_at=0)
    assert received.whats == ["stalled"]
    _tick(producer, ended=1)  # it got on
    _tick(producer, moved_at=0)
    assert received.whats == ["stalled", "stalled"]


def test_a_submission_that_stopped_is_told(producer: Producer, received: Received) -> None:
    job_id = _job(producer, received.address)
    with producer.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET complete = FALSE, total = 2")
        connection.exec_driver_sql("UPDATE items SET submitted_at = 1")
    _tick(producer)
    assert (received.whats, received.posted[0][0]["job"]) == (["stopped"], job_id)


def test_what_is_not_taken_is_tried_again_later_and_given_up_in_the_end(
    producer: Producer, received: Received
) -> None:
    job_id = _job(producer, received.address)
    _end(producer)
    received.status = 500
    _tick(producer)
    with producer.ledger.read() as connection:
        hook = webhooks.get(connection, job_id)
    assert hook is not None
    assert (hook.told, hook.tries, hook.error) == (None, 1, "status 500")
    assert not JobWebhooks(producer.ledger).one(), "it is not due yet"
    received.status = 204
    _tick(producer)
    assert received.whats == ["done", "done"]
    other = _job(producer, received.address)
    received.status = 500
    _end(producer)
    _tick(producer, tries=TRIES - 1)
    with producer.ledger.read() as connection:
        given_up = webhooks.get(connection, other)
    assert given_up is not None
    assert (given_up.look_at, given_up.error) == (None, "status 500")


def test_without_its_secret_nothing_is_told(
    producer: Producer, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _job(producer, received.address)
    _end(producer)
    monkeypatch.delenv("JOBS_SECRET")
    _tick(producer)
    with producer.ledger.read() as connection:
        hook = webhooks.get(connection, job_id)
    assert received.posted == []
    assert hook is not None
    assert hook.error is not None
    assert "env:JOBS_SECRET" in hook.error
