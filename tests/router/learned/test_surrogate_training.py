"""A surrogate is trained from accepted answers, certified, or refused with what it would take."""

from hashlib import sha256
from random import Random

import numpy as np
import pytest

from tests.tiny_embedding import NUMBERS, TOKENIZER
from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.certify import Certificate, NoCertificate, ThresholdTrial
from tierqueue.router.learned.embedding import Embedding
from tierqueue.router.learned.surrogate import (
    Guarantee,
    GuessBounds,
    Linear,
    Surrogate,
    surroundings,
)
from tierqueue.router.learned.surrogate_training import (
    CalibratedBounds,
    SurrogateScope,
    TrainingAnswer,
    TrainingResult,
    calibrate,
    train,
    written,
)

SAID = {
    "card": ("my card was {} at the till", "the card is {} since monday", "{} card, please help"),
    "transfer": ("the transfer has {} arrived", "my transfer is {}", "{} transfer to my sister"),
    "login": ("I cannot log in, it says {}", "the app says {} at login", "login {} again"),
}
THINGS = ("declined", "lost", "not", "pending", "wrong", "blocked", "failed", "late", "broken")
PROMISE = Guarantee(0.1, 0.1)
PURPOSE = SurrogateScope("tierqueue.classify", "text", "same")


def answers(count: int, wrong: float = 0.0) -> list[TrainingAnswer]:
    """So many answers, of which a share is wrong at random."""
    random, labels = Random(5), sorted(SAID)
    made = []
    for number in range(count):
        label = random.choice(labels)
        content = random.choice(SAID[label]).format(random.choice(THINGS)) + f" {number}"
        made.append(
            TrainingAnswer(content, random.choice(labels) if random.random() < wrong else label)
        )
    return made


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    """A surrogate of three labels."""
    found = train(answers(400))
    assert not isinstance(found, NoCertificate)
    return found


@pytest.fixture(scope="module")
def content(trained: TrainingResult) -> bytes:
    """It, certified."""
    calibrated = calibrate(trained, PROMISE)
    assert not isinstance(calibrated, NoCertificate)
    assert calibrated.covered > 0.8
    return written(trained.linear, PURPOSE, calibrated)


def test_it_answers_what_it_knows_and_says_how_far_ahead_its_label_is(content: bytes) -> None:
    surrogate = Surrogate.load(content)
    guess = surrogate.answer("my card was declined at the till 9")
    assert guess is not None
    assert guess.label == "card"
    assert guess.margin >= surrogate.bounds.margin
    assert surrogate.promise == PROMISE


@pytest.mark.parametrize(
    "foreign", ["", "?!", "Wie wird das Wetter in Oslo morgen", "x" * 5_000, "\ud800 \x00"]
)
def test_it_defers_what_is_unlike_its_training(content: bytes, foreign: str) -> None:
    assert Surrogate.load(content).answer(foreign) is None


def test_the_same_answers_train_the_same_surrogate(content: bytes) -> None:
    trained = train(answers(400))
    assert not isinstance(trained, NoCertificate)
    calibrated = calibrate(trained, PROMISE)
    assert not isinstance(calibrated, NoCertificate)
    assert written(trained.linear, PURPOSE, calibrated) == content


def test_what_answers_is_what_was_certified_to_the_last_bit(
    trained: TrainingResult, content: bytes
) -> None:
    loaded = Surrogate.load(content).linear
    assert (loaded.weights == trained.linear.weights).all()
    assert (loaded.centres == trained.linear.centres).all()


def test_answers_at_random_are_never_certified() -> None:
    trained = train(answers(400, wrong=1.0))
    assert not isinstance(trained, NoCertificate)
    found = calibrate(trained, PROMISE)
    assert isinstance(found, NoCertificate)
    assert "More rows alone will not help" in found.takes


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "0 accepted answers"),
        (answers(150), "150 accepted answers"),
        ([TrainingAnswer(f"text {number}", "one") for number in range(300)], "1 different labels"),
        (
            [
                TrainingAnswer(f"text {number}", "two" if number == 7 else "one")
                for number in range(300)
            ],
            "have one label",
        ),
    ],
)
def test_what_cannot_be_learned_is_said(given: list[TrainingAnswer], why: str) -> None:
    found = train(given)
    assert isinstance(found, NoCertificate)
    assert why in found.why
    assert found.takes.startswith("It takes")


def test_two_labels_are_enough() -> None:
    two = [answer for answer in answers(400) if answer.label != "login"]
    trained = train(two)
    assert not isinstance(trained, NoCertificate)
    assert trained.linear.labels == ("card", "transfer")
    assert trained.linear.guess("the transfer has not arrived").label == "transfer"


def test_other_instructions_labels_or_prompts_are_other_surroundings() -> None:
    here = surroundings({"text": "a", "labels": ["x", "y"]}, "text", "2")
    assert here == surroundings({"labels": ["x", "y"], "text": "b"}, "text", "2")
    assert here != surroundings({"text": "a", "labels": ["x", "z"]}, "text", "2")
    assert here != surroundings({"text": "a", "labels": ["x", "y"]}, "text", "3")


def test_an_artefact_that_lacks_a_part_is_refused(content: bytes) -> None:
    held = artefact.read(content, "surrogate")
    facts = {name: value for name, value in held.facts.items() if name != "margin"}
    with pytest.raises(InvalidArtefact, match="'margin'"):
        Surrogate.load(artefact.write("surrogate", facts, held.numbers))
    numbers = {**held.numbers, "weights": held.numbers["weights"].astype("float32")}
    with pytest.raises(InvalidArtefact, match="not of bytes"):
        Surrogate.load(artefact.write("surrogate", held.facts, numbers))


@pytest.fixture(scope="module")
def tiny() -> Embedding:
    """A real embedding."""
    return Embedding.read(TOKENIZER, NUMBERS)


@pytest.fixture(scope="module")
def embedded(tiny: Embedding) -> bytes:
    """A surrogate of the same answers that looks at it too."""
    trained = train(answers(400), embedding=tiny)
    assert not isinstance(trained, NoCertificate)
    calibrated = calibrate(trained, PROMISE)
    assert not isinstance(calibrated, NoCertificate)
    assert calibrated.covered > 0.8
    loaded = Surrogate.load(written(trained.linear, PURPOSE, calibrated), embedding=tiny).linear
    assert (loaded.weights == trained.linear.weights).all()
    assert len(loaded.weights) == len(loaded.centres) == text.WIDTH + tiny.width
    return written(trained.linear, PURPOSE, calibrated)


def test_with_an_embedding_it_answers_what_it_knows_and_defers_the_rest(
    tiny: Embedding, embedded: bytes
) -> None:
    surrogate = Surrogate.load(embedded, sha256(embedded).hexdigest(), tiny)
    guess = surrogate.answer("my card was declined at the till 9")
    assert guess is not None
    assert guess.label == "card"
    assert 0 < guess.near <= 1
    for foreign in ("", "?!", "Wie wird das Wetter in Oslo morgen", "x" * 5_000, "\ud800 \x00"):
        assert surrogate.answer(foreign) is None


def test_both_forms_look_at_a_texts_meaning_or_leave_it(
    tiny: Embedding, embedded: bytes, content: bytes
) -> None:
    said = "my card was declined at the till 9"
    linear = Surrogate.load(embedded, embedding=tiny).linear
    words = text.weighted(text.counts(said), linear.rarity)
    assert linear.meaning is not None
    assert linear.guess(said) == linear.of(np.concatenate([words, linear.meaning.vector(said)]))
    plain = Surrogate.load(content).linear
    assert plain.guess(said) == plain.of(text.weighted(text.counts(said), plain.rarity))


def test_without_its_own_embedding_it_is_not_loaded(
    tiny: Embedding, embedded: bytes, content: bytes
) -> None:
    with pytest.raises(InvalidArtefact, match=r"trained with the embedding .*here is no embedding"):
        Surrogate.load(embedded)
    other = Embedding.read(TOKENIZER + b" ", NUMBERS)
    with pytest.raises(InvalidArtefact, match=f"here is the embedding {other.sha256[:12]}"):
        Surrogate.load(embedded, embedding=other)
    with pytest.raises(InvalidArtefact, match="trained with no embedding"):
        Surrogate.load(content, embedding=tiny)


def test_a_text_that_the_embedding_refuses_is_deferred(
    tiny: Embedding, embedded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Embedding, content: str) -> None:
        raise InvalidArtefact("refused")

    monkeypatch.setattr(Embedding, "mean", refuse)
    assert Surrogate.load(embedded, embedding=tiny).answer("my card was declined") is None


def test_a_surrogate_of_n_grams_alone_is_written_and_guesses_as_it_always_did() -> None:
    rows = np.arange(2 * text.WIDTH) * 7919 % 255 - 127
    made = rows.reshape(text.WIDTH, 2).astype(np.float32)
    ones, nothing = np.ones(text.WIDTH, np.float32), np.zeros(2, np.float32)
    linear = Linear(("a", "b"), ones, made, nothing, made)
    certificate = Certificate(ThresholdTrial(0.5, 100, 1), 0.05, 0.05, 0.04)
    calibrated = CalibratedBounds(GuessBounds(0.5, -1000.0, -1000.0), certificate, 0.5)
    found = written(linear, SurrogateScope("t", "text", "same"), calibrated)
    assert sha256(found).hexdigest() == (
        "c4f3c4bb4cd93c429d964a40bd189eeba02ff90b252a839058dd7c9a8e851e56"
    )
    guess = Surrogate.load(found).linear.guess("my card was declined")
    assert guess.label == "b"
    assert (guess.margin, guess.near) == pytest.approx((33.725853, 70.180914), abs=1e-3)
