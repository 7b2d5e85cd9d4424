"""Flower shows every item with its true state and none of its contents."""

import json
import urllib.request
from typing import Any

import pytest

from tests.acceptance.acceptance_house import Build, Standing, until
from tierqueue.router.errors import NoRoute
from tierqueue.tasks import classify

LABELS = ["lost card", "refund"]


@pytest.fixture(scope="module")
def standing(build_house: Build) -> Standing:
    """A house with Flower."""
    return build_house(
        processes=("sandbox", "flower", "routing", "gpu"),
        environ={"FLOWER_UNAUTHENTICATED_API": "true"},
    )


def _tasks(standing: Standing) -> dict[str, Any]:
    address = f"http://127.0.0.1:{standing.house.flower_port}/api/tasks"
    with urllib.request.urlopen(address, timeout=5) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def test_items_have_their_names_and_their_true_states(standing: Standing) -> None:
    good = classify.delay("a sentence nobody may see", labels=LABELS)
    good.get(timeout=30)
    bad = classify.delay("another one", labels=LABELS, sensitivity="regulated", floor="frontier")
    with pytest.raises(NoRoute):
        bad.get(timeout=30)
    until(lambda: _tasks(standing).get(good.id, {}).get("state") == "SUCCESS")
    until(lambda: _tasks(standing).get(bad.id, {}).get("state") == "FAILURE")
    shown = _tasks(standing)
    assert shown[good.id]["name"] == "tierqueue.classify"
    assert "NoRoute" in shown[bad.id]["exception"]
    assert "nobody may see" not in json.dumps(shown)
