"""Results that an event loop waits for."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError

from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.router.errors import InvalidItem
from tierqueue.router.errors import Rejected as RejectedError
from tierqueue.tasks import ItemResult, complete
from tierqueue.tasks.results.awaiting import waiting

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], sqlite_url: str, valkey: Any) -> Producer:
    return producer_to(sqlite_url)


def test_an_answer_is_awaited_with_its_types(producer: Producer) -> None:
    async def ask() -> str:
        result = await complete.adelay("Say hello")
        producer.tell(producer.answer(result.id, {"text": "hello"}))
        return (await result.aget(timeout=20)).output.text

    assert asyncio.run(ask()) == "hello"


def test_hundreds_are_waited_for_at_once_by_one_thread(producer: Producer) -> None:
    others = threading.enumerate()

    async def ask() -> tuple[list[str], int]:
        results = await asyncio.gather(*(complete.adelay(f"number {n}") for n in range(300)))
        waits = [asyncio.create_task(result.aget(timeout=60)) for result in results]
        await asyncio.sleep(0)
        for number, result in enumerate(results):
            producer.tell(producer.answer(result.id, {"text": str(number)}))
        answers = await asyncio.gather(*waits)
        return [answer.output.text for answer in answers], _begun(others).count("results-awaited_0")

    texts, threads = asyncio.run(ask())
    assert texts == [str(number) for number in range(300)]
    assert threads == 1


def _begun(before: list[threading.Thread]) -> list[str]:
    """The names of the threads that have begun since these were all."""
    return [thread.name for thread in threading.enumerate() if thread not in before]


def test_what_an_event_loop_waited_with_goes_with_it(producer: Producer) -> None:
    others = threading.enumerate()

    async def ask() -> str:
        result = await complete.adelay("Say hello")
        producer.tell(producer.answer(result.id, {"text": "hello"}))
        return (await result.aget(timeout=20)).output.text

    def left() -> list[str]:
        gc.collect()
        return [name for name in _begun(others) if name.startswith(("results-", "items-"))]

    assert [asyncio.run(ask()) for _ in range(3)] == ["hello"] * 3
    until(lambda: left() == [])


def test_what_ended_an_item_is_raised(producer: Producer) -> None:
    async def ask() -> None:
        result = await complete.adelay("Say hello")
        producer.tell(producer.kill(result.id, "rejected"))
        await result.aget(timeout=20)

    with pytest.raises(RejectedError):
        asyncio.run(ask())


def test_what_the_broker_has_forgotten_is_told_by_the_ledger(producer: Producer) -> None:
    async def ask() -> str:
        result = await complete.adelay("Say hello")
        producer.answer(result.id, {"text": "kept"})
        return (await result.aget(timeout=20)).output.text

    assert asyncio.run(ask()) == "kept"


def test_an_answer_that_does_not_come_in_time_times_out_and_is_forgotten(
    producer: Producer,
) -> None:
    async def ask() -> int:
        result: ItemResult[Any] = await complete.adelay("Say hello")
        with pytest.raises(CeleryTimeoutError):
            await result.aget(timeout=0.1)
        waits = asyncio.create_task(result.aget())
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        return len(waiting()._wanted)

    assert asyncio.run(ask()) == 0


def test_one_answer_is_told_to_everybody_who_waits_for_it(producer: Producer) -> None:
    async def ask() -> list[str]:
        result = await complete.adelay("Say hello")
        other = complete.AsyncResult(result.id)
        waits = asyncio.gather(result.aget(timeout=20), other.aget(timeout=20))
        producer.tell(producer.answer(result.id, {"text": "both"}))
        return [answer.output.text for answer in await waits]

    assert asyncio.run(ask()) == ["both", "both"]


def test_bad_input_is_raised_by_the_call(producer: Producer) -> None:
    with pytest.raises(InvalidItem):
        asyncio.run(complete.adelay(""))
