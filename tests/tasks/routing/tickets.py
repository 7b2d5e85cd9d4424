"""A small surrogate for ``classify``, made from tickets, and the policy that puts it in service."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

from tests.tiny_embedding import FOLDER
from tierqueue.router.learned.certify import NoCertificate
from tierqueue.router.learned.embedding import Embedding
from tierqueue.router.learned.surrogate import Guarantee, surroundings
from tierqueue.router.learned.surrogate_training import (
    SurrogateScope,
    TrainingAnswer,
    calibrate,
    train,
    written,
)
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.routing.surrogates import embedding_in

LABELS = ["card", "login", "transfer"]
_SAID = {
    "card": ("my card was {} at the till", "the card is {} since monday"),
    "login": ("I cannot log in, it says {}", "the app says {} at login"),
    "transfer": ("the transfer has {} arrived", "my transfer is {}"),
}
_THINGS = ("declined", "lost", "not", "pending", "wrong", "blocked", "failed", "late")
KNOWN = "the app says blocked at login 7"
"""A ticket that it answers: ``login``."""

FOREIGN = "Wie wird das Wetter morgen in Oslo?"
"""A text that it defers."""

POLICY = """
default_sensitivity = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 8000
gpu_hour = "3.60"

[tasks."tierqueue.classify".surrogate]
file = "{file}"
sha256 = "{sha256}"
audit = {audit}
"""


def arguments(text: str, **other: object) -> dict[str, object]:
    """A stored call of ``classify``."""
    call = {"text": text, "labels": LABELS, "instructions": "", "min_confidence": 0.0}
    return {**call, **other}


@cache
def content(embedding: Embedding | None = None) -> bytes:
    """The surrogate's artefact."""
    random = Random(3)
    answers = []
    for number in range(300):
        label = random.choice(LABELS)
        said = random.choice(_SAID[label]).format(random.choice(_THINGS))
        answers.append(TrainingAnswer(f"{said} {number}", label))
    here = surroundings(arguments(""), "text", classify.prompt_version)
    trained = train(answers, embedding=embedding)
    assert not isinstance(trained, NoCertificate)
    calibrated = calibrate(trained, Guarantee(0.1, 0.05))
    assert not isinstance(calibrated, NoCertificate)
    return written(trained.linear, SurrogateScope("tierqueue.classify", "text", here), calibrated)


def policy(folder: Path, audit: float = 0.01, more: str = "") -> Policy:
    """A policy with the surrogate in service."""
    return parse_policy(policy_text(folder, audit) + more, "test")


@cache
def tiny() -> Embedding:
    """A real embedding."""
    return embedding_in(str(FOLDER))


def embedded(folder: Path, embedding: Path | None = FOLDER) -> Policy:
    """A policy with a surrogate that was trained with ``tiny``, and names this folder of it."""
    file = folder / "embedded.safetensors"
    file.write_bytes(content(tiny()))
    digest = sha256(content(tiny())).hexdigest()
    text = POLICY.format(file=file, sha256=digest, audit=0.01)
    stated = "" if embedding is None else f'embedding = "{embedding}"\n'
    return parse_policy(text + stated, "test")


def policy_text(folder: Path, audit: float = 0.01) -> str:
    """The same as a text."""
    file = folder / "classify.safetensors"
    file.write_bytes(content())
    digest = sha256(content()).hexdigest()
    return POLICY.format(file=file, sha256=digest, audit=audit)
