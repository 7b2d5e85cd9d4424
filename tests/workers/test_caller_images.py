"""Images of a call: their bytes are read for it, or nothing is sent."""

import time
from collections.abc import Callable
from typing import Any

from tests.workers.test_caller import Engine, called, deployment
from tierqueue.router.outcome import Accepted, Failed, Interrupted
from tierqueue.tasks.kinds.images import ask_image
from tierqueue.workers.settler import SettlingCall


def of_an_image(contents: Callable[..., Any], **stated: Any) -> tuple[Engine, list[SettlingCall]]:
    """What is sent of an item with an image, whose bytes ``contents`` reads."""
    name = f"image:image/png;640x480;{'0' * 64}"
    where = deployment(vision=True, image_tokens=2_000, **stated)
    return called(
        time.monotonic() + 60,
        lambda _: None,
        where=where,
        contents=contents,
        kind=ask_image,
        arguments={"image": name, "question": "What is it?"},
    )


def test_the_bytes_of_an_image_are_read_for_the_call_that_sends_them() -> None:
    engine, [settled] = of_an_image(lambda hashes: dict.fromkeys(hashes, b"bytes"))
    (call,) = engine.asked
    assert [(image.media_type, image.body) for image in call.images] == [("image/png", b"bytes")]
    assert isinstance(settled.call.outcome, Accepted)


def test_without_the_ledger_an_image_is_not_sent_and_its_item_given_back() -> None:
    def away(_: Any) -> Any:
        raise OSError("the ledger is away")

    engine, [settled] = of_an_image(away)
    assert engine.asked == []
    assert isinstance(settled.call.outcome, Interrupted)


def test_an_image_that_is_not_kept_any_more_is_not_sent() -> None:
    engine, [settled] = of_an_image(lambda _: {})
    assert engine.asked == []
    assert isinstance(settled.call.outcome, Failed)
    assert settled.call.outcome.reason == "internal"


def test_a_deployment_that_takes_no_images_is_sent_none_whatever_was_routed() -> None:
    name = f"image:image/png;640x480;{'0' * 64}"
    engine, [settled] = called(
        time.monotonic() + 60,
        lambda _: None,
        kind=ask_image,
        arguments={"image": name, "question": "What is it?"},
        contents=lambda hashes: dict.fromkeys(hashes, b"bytes"),
    )
    assert engine.asked == []
    assert isinstance(settled.call.outcome, Failed)
    assert settled.call.outcome.reason == "no_route"
