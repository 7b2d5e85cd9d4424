"""The model card: it is of the weights that are shipped, and names whose data they come from."""

import hashlib
import re
from pathlib import Path

import pytest

from examples.tiny_tickets import GGUF, HUGGING_FACE, LABELS, WEIGHTS

CARD = (WEIGHTS.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [GGUF, HUGGING_FACE / "model.safetensors"], ids=["gguf", "folder"])
def test_the_card_is_of_the_weights_that_are_shipped(path: Path) -> None:
    assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in CARD
    (stated,) = re.findall(rf"`weights/{path.relative_to(WEIGHTS)}` \|[^|]*\| ([\d.]+) MB", CARD)
    assert float(stated) == pytest.approx(path.stat().st_size / 1e6, abs=0.05)


def test_the_card_names_the_data_its_licence_and_the_splits() -> None:
    for named in ("BANKING77", "CC-BY-4.0", "PolyAI", "--train train.csv", "seed"):
        assert named in CARD
    assert len(set(re.findall(r"`[0-9a-f]{64}`", CARD))) == 4


def test_there_are_77_labels() -> None:
    assert len(set(LABELS.read_text(encoding="utf-8").split())) == 77


def test_the_weights_are_a_few_megabytes() -> None:
    size = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    assert size < 12_000_000
