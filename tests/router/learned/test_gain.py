"""The gain predictor: what it learned of task types and of texts, and what it has never seen."""

from dataclasses import replace

import numpy as np
import pytest

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import artefact
from tierqueue.router.learned.gain import Gain, Traits
from tierqueue.router.learned.gain_training import LabelledPair, train


def rows() -> list[LabelledPair]:
    """Sums need the expensive tier where they are long; greetings never do."""
    made = []
    for number in range(300):
        long = number % 3 == 0
        what = f"integrate x^{number} over the unit ball" if long else f"add {number} and 3"
        made.append(LabelledPair("sum", what, not long, expensive_right=True))
        made.append(LabelledPair("greeting", f"good morning number {number}", True, True))
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
    assert gain.tasks == ["greeting", "sum"]
    assert gain.predict("new", "add 1 and 3") == pytest.approx(
        gain.predict("sum", "add 1 and 3") - float(gain.priors["task", "sum"][0]), abs=1e-5
    )


def test_the_same_labels_train_the_same_predictor(content: bytes) -> None:
    assert train(rows()) == content


def test_it_says_which_it_is(content: bytes) -> None:
    assert Gain.load(content).version.startswith("gain-")


def test_a_predictor_without_its_arrays_is_refused() -> None:
    with pytest.raises(InvalidArtefact, match="train it anew"):
        Gain.load(artefact.write("gain", {"traits": []}, {}))


def test_a_predictor_whose_traits_are_no_pairs_is_refused(content: bytes) -> None:
    held = artefact.read(content, "gain")
    traits = [["task"], *held.facts["traits"][1:]]
    with pytest.raises(InvalidArtefact, match="train it anew"):
        Gain.load(artefact.write("gain", {**held.facts, "traits": traits}, held.numbers))


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
    named = {"traits": [], "lost": 0.0, "argument": "text", **facts}
    arrays = {"priors": np.zeros((0, 2), np.float32)}
    with pytest.raises(InvalidArtefact, match="does not compare a tier with one above it"):
        Gain.load(artefact.write("gain", named, arrays))


def test_who_pays_and_by_which_template_it_is_asked_is_learned_too() -> None:
    made = []
    for number in range(400):
        tenant, template = ("acme", "beta")[number % 2], ("short", "long")[number // 2 % 2]
        hard = tenant == "acme" and template == "long"
        traits = Traits(tenant, template)
        made.append(
            LabelledPair("sum", f"add {number}", not hard, expensive_right=True, traits=traits)
        )
    gain = Gain.load(train(made))
    asked = [Traits("acme", "long"), Traits("beta", "short"), Traits("gamma"), Traits()]
    hard_one, cheap, unknown, none = gain.chances("sum", ["add 7"] * 4, asked)
    assert hard_one.gain > 0.4 > cheap.gain + 0.2
    assert unknown == none
    assert cheap.gain < none.gain < hard_one.gain
    # Who they are does not stand in the file.
    assert b"acme" not in train(made)


def test_a_language_is_learned_where_it_tells() -> None:
    said = {"de": "ich habe die Karte nicht und das ist {}", "en": "I have the card and it is {}"}
    made = [
        LabelledPair("t", text.format(number), spoken == "en", expensive_right=True)
        for number in range(100)
        for spoken, text in said.items()
    ]
    gain = Gain.load(train(made))
    assert float(gain.priors["language", "de"][0]) > 0 > float(gain.priors["language", "en"][0])


def test_a_row_counts_for_as_many_items_as_it_stands_for() -> None:
    hard = [LabelledPair("t", "a text", False, expensive_right=True)] * 10
    easy = [LabelledPair("t", "a text", True, expensive_right=True)] * 10
    once = Gain.load(train([*hard, *easy])).predict("t", "a text")
    heavy = [replace(row, weight=9.0) for row in easy]
    assert once == pytest.approx(0.5, abs=0.01)
    assert Gain.load(train([*hard, *heavy])).predict("t", "a text") == pytest.approx(0.1, abs=0.01)
