"""Rules for ``classify`` in a policy: as words, or as a table in a file."""

import json
from hashlib import sha256
from pathlib import Path

from tests.tasks.routing.tickets import LABELS
from tierqueue.router.policy.policy import Policy, parse_policy

HOUSE = """
default_sensitivity = "internal"

[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 8000
gpu_hour = "3.60"
"""

TASK = "tierqueue.classify"
WORDS = {"lost my card": "card", "at login": "login"}


def stated(**keys: object) -> str:
    """A policy whose rules for ``classify`` say this; ``None`` leaves a key out."""
    usual: dict[str, object] = {"name": "tickets", "audit": 0.01, "agreement": 0.9}
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in {**usual, **keys}.items()
        if value is not None and name != "words"
    ]
    words = keys.get("words")
    if isinstance(words, dict):
        lines += [
            f"words.{json.dumps(phrase, ensure_ascii=False)} = {json.dumps(label)}"
            for phrase, label in words.items()
        ]
    lines.append(f"arguments.labels = {json.dumps(LABELS)}")
    return f'{HOUSE}\n[tasks."{TASK}".rules]\n' + "\n".join(lines) + "\n"


def words(more: str = "", **keys: object) -> Policy:
    """A policy with words in service."""
    return parse_policy(stated(**{"words": WORDS, **keys}) + more, "test")


def table_of(folder: Path, content: str | bytes, **keys: object) -> str:
    """A policy with this table in service, as a text."""
    file = folder / "tickets.csv"
    told = content.encode() if isinstance(content, str) else content
    file.write_bytes(told)
    return stated(**{"file": str(file), "sha256": sha256(told).hexdigest(), **keys})
