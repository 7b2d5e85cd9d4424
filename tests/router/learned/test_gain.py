"""The gain predictor: what it learned of task types and of texts, and what it has never seen."""

import numpy as np
import pytest

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import artefact
from tierqueue.router.learned.gain import Gain
from tierqueue.router.learned.gain_training import Labelled, train


def rows() -> list[Labelled]:
    """Sums need the expensive tier where they are long; greetings never do."""
    made = []
    for number in range(300):
        long = number % 3 == 0
        what = f"integrate x^{number} over the unit ball" if long else f"add {number} and 3"
        made.append(Labelled("sum", what, not long, expensive_right=True))
        made.append(Labelled("greeting", f"good morning number {number}", True, True))
    return made


@pytest.fixture(scope="module")
def content() -> bytes:
    """A predictor of them."""
    return train(rows())


def test_task_type_and_text_both_tell(content: bytes) -> None:
    gain = Gain.load(content)
    hard = gain.predict("sum", "integrate x^4 over the unit sphere")
    easy = gain.predict("sum", "add 77 and 4")
    greeting = gain.predict("greeting", "good morning everybody")
    assert hard > 0.5
    assert easy < 0.3
    assert greeting < 0.1


def test_a_task_type_it_never_saw_is_judged_by_its_text(content: bytes) -> None:
    gain = Gain.load(content)
    known = gain.tasks
    assert gain.predict("new", "add 1 and 3") == pytest.approx(
        gain.predict("sum", "add 1 and 3") - float(known["sum"][0]), abs=1e-5
    )


def test_the_same_labels_train_the_same_predictor(content: bytes) -> None:
    assert train(rows()) == content


def test_it_says_which_it_is(content: bytes) -> None:
    assert Gain.load(content).version.startswith("gain-")


def test_a_predictor_without_its_arrays_is_refused() -> None:
    with pytest.raises(InvalidArtefact, match="train it anew"):
        Gain.load(artefact.write("gain", {"tasks": []}, {}))


def test_nothing_is_learned_from_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        train([])


def test_many_at_once_are_told_what_each_alone_is(content: bytes) -> None:
    gain = Gain.load(content)
    asked = ["integrate x^4", "", "add 3 and 4", "x " * 20_000, "añ ٣"]
    for found, prompt in zip(gain.chances("sum", asked), asked, strict=True):
        [alone] = gain.chances("sum", [prompt])
        assert found.gain == pytest.approx(alone.gain, abs=1e-5)
        assert found.cheaper == pytest.approx(alone.cheaper, abs=1e-5)
    assert gain.chances("sum", []) == []


def test_the_chance_of_the_cheaper_tier_is_learned_too(content: bytes) -> None:
    hard, easy = Gain.load(content).predicted("sum", ["integrate x^4", "add 77 and 4"], None)
    assert hard.right < 0.5 < easy.right
    assert hard.above > 0.8
    assert hard.rescued > 0.5
    assert (hard.cheaper, hard.stronger) == ("gpu", "frontier")


@pytest.mark.parametrize(
    "tiers", [("frontier", "gpu"), ("gpu", "gpu"), ("gpu", "nowhere"), ("", "gpu")]
)
def test_a_predictor_compares_a_tier_with_one_above_it(tiers: tuple[str, str]) -> None:
    facts = dict(zip(("cheaper", "stronger"), tiers, strict=True))
    named = {"tasks": [], "lost": 0.0, "argument": "text", **facts}
    arrays = {"task_offsets": np.zeros((0, 2), np.float32)}
    with pytest.raises(InvalidArtefact, match="does not compare a tier with one above it"):
        Gain.load(artefact.write("gain", named, arrays))
