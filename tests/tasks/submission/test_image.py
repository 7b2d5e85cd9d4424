"""Images among the arguments of a call: what is taken, what is refused, what is stored."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.images import an_image
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import NewItem, new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import item_contents
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import Image, Prompt, ask_image, classify_image, extract_image, item_task
from tierqueue.tasks.submission.image import MOST_IMAGES

RED = an_image("PNG", (640, 480))


@item_task("test.compare", output=None)
def compare(images: list[Image], question: str = "Are they alike?") -> Prompt:
    return Prompt(system="", prefix="", question=question, images=images)


def new(task: Any = ask_image, **arguments: Any) -> NewItem:
    told = {"question": "What is it?"} if task is ask_image else {}
    made: NewItem = task.new_item((), {**told, **arguments}, item_id=new_id())
    return made


def test_bytes_and_a_path_are_the_same_item(tmp_path: Path) -> None:
    path = tmp_path / "whatever.txt"
    path.write_bytes(RED)
    by_bytes, by_path = new(image=RED), new(image=path)
    assert by_bytes.arguments == by_path.arguments
    assert by_bytes.fingerprint == by_path.fingerprint
    assert by_bytes.images == [(640, 480)]
    (content,) = by_bytes.contents
    assert content == (hashlib.sha256(RED).hexdigest(), RED)


def test_the_arguments_hold_a_name_of_one_line_and_nothing_of_the_image() -> None:
    item = new(image=RED)
    assert item.arguments["image"] == (f"image:image/png;640x480;{hashlib.sha256(RED).hexdigest()}")
    assert len(json.dumps(item.arguments)) < 200
    assert item.prompt_bytes < 1_000


def test_other_bytes_are_another_item() -> None:
    assert new(image=RED).fingerprint != new(image=an_image(colour="blue")).fingerprint


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"no image", "PNG, JPEG, WebP or GIF"),
        ("shot.png", "a text is not opened"),
        ("https://images.example/shot.png", "no address is fetched"),
        (Path("not-there.png"), "not-there.png is not there"),
        (Path("/"), "is not there, or no regular file"),
        (7, "its bytes, or the pathlib.Path"),
        (None, "its bytes, or the pathlib.Path"),
        (an_image("PNG", (9_000, 1)), "9,000 x 1 pixels"),
        ("image:image/png;640x480;nothing", "a text is not opened"),
    ],
)
def test_what_is_no_image_is_refused_and_says_why(image: Any, why: str) -> None:
    with pytest.raises(InvalidItem, match=why) as refused:
        new(image=image)
    assert "image" in str(refused.value)


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(RED)
        file.truncate(1 << 40)
    with pytest.raises(InvalidItem, match="make it smaller"):
        new(image=path)


def test_several_images_go_with_one_item_and_a_repeated_one_is_kept_once() -> None:
    item = new(compare, images=[RED, an_image("JPEG", (10, 20)), RED])
    assert item.images == [(640, 480), (10, 20), (640, 480)]
    assert len(item.contents) == 2


def test_more_than_an_item_may_have_are_refused() -> None:
    with pytest.raises(InvalidItem, match="21 images, and an item 20"):
        new(compare, images=[RED] * (MOST_IMAGES + 1))


def test_more_bytes_together_than_a_request_holds_are_refused() -> None:
    # What stands behind its end makes a small image large.
    colours = ("red", "blue", "green", "black", "white", "gray")
    heavy = [_padded(an_image(colour=colour), 3_900_000) for colour in colours]
    assert len(new(compare, images=heavy[:5]).contents) == 5
    with pytest.raises(InvalidItem, match="bytes together, and providers take"):
        new(compare, images=heavy)


def _padded(body: bytes, size: int) -> bytes:
    return body + bytes(size - len(body))


def test_one_that_came_through_the_broker_is_refused_whatever_it_is() -> None:
    name = new(image=RED).arguments["image"]
    for image in (RED, Path(__file__), name, "x"):
        with pytest.raises(InvalidItem, match="does not go through the broker"):
            ask_image.new_item((image, "What?"), {}, item_id="i", unattended=True)


def test_the_kinds_that_come_with_it_say_what_they_want_and_send_the_image() -> None:
    fields = new(extract_image, image=RED, fields={"total": "number"})
    labels = new(classify_image, image=RED, labels=["receipt", "letter"])
    for item, task in ((fields, extract_image), (labels, classify_image)):
        prompt = task.prompt(item.arguments)
        assert prompt.images == [item.arguments["image"]]


def test_an_item_brings_its_images_into_the_ledger(ledger: Ledger) -> None:
    item = new(image=RED)
    with ledger.write() as connection:
        items.submit(connection, item, None)
    with ledger.read() as connection:
        row = items.get(connection, item.id)
        assert row is not None
        carried = connection.execute(select(item_contents)).all()
        found = content_store.read(connection, [carried[0].sha256])
    assert row.images == [[640, 480]]
    assert [link.item_id for link in carried] == [item.id]
    assert found == {carried[0].sha256: RED}


def test_an_item_that_was_there_by_its_key_brings_nothing_twice(ledger: Ledger) -> None:
    for _ in range(2):
        with ledger.write() as connection:
            items.submit(connection, new(image=RED, idempotency_key="k"), None)
    with ledger.read() as connection:
        assert len(connection.execute(select(item_contents)).all()) == 1


def test_a_name_whose_bytes_are_not_kept_is_refused(ledger: Ledger) -> None:
    name = new(image=RED).arguments["image"]
    with pytest.raises(InvalidItem, match="is not kept here"), ledger.write() as connection:
        items.submit(connection, new(image=name), None)
