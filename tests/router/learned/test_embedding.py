"""A folder's token vectors are read as numbers, and a text's vector is their mean."""

import json
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from safetensors import deserialize
from safetensors.numpy import save

from tests.tiny_embedding import NUMBERS, TOKENIZER
from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import embedding
from tierqueue.router.learned.embedding import Embedding, Meaning
from tierqueue.router.learned.text import LONGEST

TICKET = "my card was declined at the till"


@pytest.fixture(scope="module")
def tiny() -> Embedding:
    """The token vectors of the tiny ticket model, in bfloat16."""
    return Embedding.read(TOKENIZER, NUMBERS)


def mean(embedding: Embedding, text: str) -> np.ndarray[Any, Any]:
    """A text's mean, where it has tokens."""
    found = embedding.mean(text)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def vectors() -> np.ndarray[Any, Any]:
    """The same vectors, widened by hand."""
    held: Mapping[str, Any] = dict(deserialize(NUMBERS))  # type: ignore[no-untyped-call]
    told = held["model.embed_tokens.weight"]
    assert told["dtype"] == "BF16"
    halves = np.frombuffer(told["data"], "<u2")
    wide = np.stack([np.zeros_like(halves), halves], axis=1).view("<f4")
    found: np.ndarray[Any, Any] = wide.reshape(told["shape"])
    return found


def test_a_texts_mean_is_that_of_its_tokens_of_length_one(
    tiny: Embedding, vectors: np.ndarray[Any, Any]
) -> None:
    ids = tiny.tokenizer.encode(TICKET, add_special_tokens=False).ids
    found = mean(tiny, TICKET)
    assert tiny.width == len(found) == 256
    assert found.dtype == np.float32
    summed = vectors[ids].sum(axis=0)
    assert np.allclose(found, summed / np.linalg.norm(summed), atol=1e-6)


def test_a_text_is_seen_from_the_middle_of_those_of_the_training(tiny: Embedding) -> None:
    texts = [TICKET, "the transfer has not arrived"]
    meaning = Meaning.of_texts(tiny, [*texts, ""])
    one, other = (meaning.vector(text) for text in texts)
    assert np.linalg.norm(one) == pytest.approx(1)
    assert np.allclose(one, -other, atol=1e-4)
    assert not meaning.vector("").any()
    assert not Meaning.of_texts(tiny, [TICKET]).vector(TICKET).any()
    assert not Meaning.of_texts(tiny, []).middle.any()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["embeddings", "embed_tokens.weight", "whatever"])
def test_other_numbers_under_other_names_are_the_same_vectors(
    tiny: Embedding, vectors: np.ndarray[Any, Any], dtype: str, name: str
) -> None:
    beside = np.ones(len(vectors), np.float32)
    content = save({name: vectors.astype(dtype), "weights": beside})
    other = Embedding.read(TOKENIZER, content)
    assert np.allclose(mean(other, TICKET), mean(tiny, TICKET), atol=1e-3)
    assert other.sha256 != tiny.sha256


def test_each_of_its_files_makes_it_another_one(tiny: Embedding) -> None:
    assert Embedding.read(TOKENIZER, NUMBERS).sha256 == tiny.sha256
    assert Embedding.read(TOKENIZER + b"\n", NUMBERS).sha256 != tiny.sha256


def test_a_text_without_tokens_has_no_mean(tiny: Embedding) -> None:
    assert tiny.mean("") is None


def test_any_text_has_a_vector_and_marks_of_a_template_are_text(tiny: Embedding) -> None:
    assert np.isfinite(mean(tiny, "\ud800 \x00")).all()
    assert not {0, 1, 2, 3} & set(tiny.tokenizer.encode("<|end|><|pad|>").ids)


def test_what_follows_the_longest_text_changes_nothing(
    tiny: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a " * LONGEST
    assert (mean(tiny, long) == mean(tiny, long + TICKET)).all()
    assert not (mean(tiny, TICKET) == mean(tiny, TICKET + " today")).all()
    ids = tiny.tokenizer.encode(TICKET).ids
    monkeypatch.setattr(embedding, "TOKENS", len(ids))
    assert (mean(tiny, TICKET) == mean(tiny, TICKET + " today")).all()


def test_a_text_that_its_tokenizer_refuses_is_told() -> None:
    words = {"type": "WordLevel", "vocab": {"card": 0}, "unk_token": "none"}
    tokenizer = json.dumps({"version": "1.0", "added_tokens": [], "model": words}).encode()
    found = Embedding.read(tokenizer, save({"embeddings": np.ones((1, 4), np.float32)}))
    assert mean(found, "card").tolist() == [0.5] * 4
    with pytest.raises(InvalidArtefact, match="refuses a text"):
        mean(found, "login")


class Runs:
    """A pickle that would end the test."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


ROWS = 3079
ODD = np.ones((ROWS, 2), np.float32)
ODD[7, 1] = np.nan


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        (pickle.dumps(Runs()), "cannot be read"),
        (NUMBERS[:-1], "cannot be read"),
        (save({"weights": np.ones(ROWS, np.float32)}), "has 0 matrices"),
        (save({name: np.ones((ROWS, 2), np.float32) for name in "ab"}), "has 2 matrices"),
        (save({"embeddings": np.ones((ROWS, 1025), np.float16)}), "3079 by 1025 of F16"),
        (save({"embeddings": np.ones((ROWS, 2), np.int8)}), "of I8"),
        (save({"embeddings": np.ones((0, 2), np.float32)}), "0 by 2"),
        (save({"embeddings": np.ones((ROWS - 1, 2), np.float32)}), "last token is 3078"),
        (save({"embeddings": ODD}), "no number"),
    ],
    ids=lambda said: said if isinstance(said, str) else "",
)
def test_what_is_no_embedding_is_refused_and_never_run(numbers: bytes, why: str) -> None:
    with pytest.raises(InvalidArtefact, match=why):
        Embedding.read(TOKENIZER, numbers)


@pytest.mark.parametrize("tokenizer", [b"", b"{}", pickle.dumps(Runs()), b"\xff"])
def test_what_is_no_tokenizer_is_refused(tokenizer: bytes) -> None:
    with pytest.raises(InvalidArtefact, match=r"tokenizer\.json cannot be read"):
        Embedding.read(tokenizer, NUMBERS)


def test_a_bfloat16_that_is_no_number_is_refused() -> None:
    content = bytearray(NUMBERS)
    start = 8 + int.from_bytes(NUMBERS[:8], "little")
    header = json.loads(NUMBERS[8:start])
    at = start + header["model.embed_tokens.weight"]["data_offsets"][0]
    content[at : at + 2] = b"\xc0\x7f"
    with pytest.raises(InvalidArtefact, match="no number"):
        Embedding.read(TOKENIZER, bytes(content))


def test_a_file_of_any_size_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "LARGEST", len(NUMBERS) - 1)
    with pytest.raises(InvalidArtefact, match="more than"):
        Embedding.read(TOKENIZER, NUMBERS)
