"""A small predictor for ``complete``, and the policy that names it."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from tierqueue.router.item import Tier
from tierqueue.router.learned.gain_training import LabelledPair, TierPair, train
from tierqueue.router.policy.policy import Policy, parse_policy

TASK = "tierqueue.complete"
HARD = "integrate x^4 over the unit ball"
EASY = "add 77 and 3"

POLICY = """
default_sensitivity = "internal"

[deployments.small]
tier = "open_weight"
engine = "openai"
model = "s"
base_url = "http://small.example/v1"
boundary = "house"
context_window = 8000
prices = { input = "1", output = "1" }

[deployments.best]
tier = "frontier"
engine = "openai"
model = "b"
base_url = "http://best.example/v1"
boundary = "house"
context_window = 8000
prices = { input = "2", output = "2" }

[tasks."TASK".predictor]
file = "FILE"
sha256 = "SHA256"
"""


@cache
def content() -> bytes:
    """Its artefact: sums are easy, integrals are not."""
    rows = []
    for number in range(300):
        hard = number % 3 == 0
        what = f"integrate x^{number} over the unit ball" if hard else f"add {number} and 3"
        rows.append(LabelledPair(TASK, what, not hard, expensive_right=True))
    return train(rows, TierPair(Tier.OPEN_WEIGHT, Tier.FRONTIER, "prompt"))


def text(folder: Path, more: str = "", task: str = TASK, sha: str | None = None) -> str:
    """A policy with it; ``more`` goes below its table."""
    file = folder / "gain.safetensors"
    file.write_bytes(content())
    found = POLICY.replace("TASK", task).replace("FILE", str(file))
    return found.replace("SHA256", sha or sha256(content()).hexdigest()) + more


def policy(folder: Path, more: str = "") -> Policy:
    return parse_policy(text(folder, more), "test")
