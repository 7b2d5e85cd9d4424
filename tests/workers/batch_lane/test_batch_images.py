"""Images in the batch lane: their bytes stand in the batch, read for it, and within its limits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from bench.batch_lane.plant import Plant
from tests.images import an_image
from tierqueue.ledger.tables import attempts, batches, contents, items

pytestmark = pytest.mark.processes

COLOURS = ("red", "green", "blue")


@pytest.fixture(params=["openai", "anthropic"])
def eyes(request: Any, tmp_path: Path, sqlite_url: str) -> Iterator[Any]:
    """``eyes(…)`` is a plant whose model sees images, of each provider's batches."""
    made: list[Plant] = []

    def plant(batch: str = "") -> Plant:
        keys = "vision = true\nimage_tokens = 2000\n"
        how = {"engine": request.param, "model": "frontier-mini", "keys": keys, "batch": batch}
        made.append(Plant(tmp_path, sqlite_url, **how))
        return made[-1]

    yield plant
    for one in made:
        one.__exit__(None, None, None)


def test_items_with_images_are_answered_in_one_batch(eyes: Any) -> None:
    plant = eyes()
    ids = plant.submit_images([an_image(colour=colour) for colour in COLOURS])
    plant.pass_time(lambda: plant.over(ids))
    assert plant.states() == {"succeeded": 3}
    [batch] = plant.rows(batches)
    assert (batch["size"], batch["counts"]["answered"]) == (3, 3)
    assert [line["batch"] for line in plant.logged()] == [True] * 3
    booked = sorted(row["usage"]["input_tokens"] for row in plant.rows(attempts))
    assert booked == sorted(line["input_tokens"] for line in plant.logged())
    # An image counts as far more than these few words.
    assert all(line["input_tokens"] > 100 for line in plant.logged())


def test_a_batch_of_images_is_split_to_the_limit_of_bytes(eyes: Any) -> None:
    images = [an_image(size=(600, 600), colour=colour) for colour in COLOURS]
    plant = eyes(batch=f"bytes = {len(images[0]) * 4 // 3 * 2 + 4_000}")
    ids = plant.submit_images(images)
    plant.pass_time(lambda: plant.over(ids))
    assert sorted(row["size"] for row in plant.rows(batches)) == [1, 2]
    assert [line["batch"] for line in plant.logged()] == [True] * 3


def test_an_image_that_no_batch_holds_goes_live(eyes: Any) -> None:
    images = [an_image(size=(600, 600), colour=colour) for colour in COLOURS]
    plant = eyes(batch=f"bytes = {len(images[0])}")
    ids = plant.submit_images(images[:1])
    plant.pass_time(lambda: plant.over(ids))
    assert plant.rows(batches) == []
    assert [line.get("batch", False) for line in plant.logged()] == [False]
    assert plant.states() == {"succeeded": 1}


def test_an_image_that_is_kept_no_more_is_not_sent_in_a_batch(eyes: Any) -> None:
    plant = eyes()
    ids = plant.submit_images([an_image(colour=colour) for colour in COLOURS])
    carried = plant.rows(items)[0]["arguments"]["image"].rpartition(";")[2]
    with plant.ledger.write() as connection:
        connection.execute(delete(contents).where(contents.c.sha256 == carried))
    plant.route()
    plant.advance(900)
    plant.tick()
    assert [batch["size"] for batch in plant.rows(batches)] == [2]
    # The live call would find no image either, and says so: nothing of it was sent.
    assert plant.states()["handed_over"] == len(ids) - 1
