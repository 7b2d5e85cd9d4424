"""`tierqueue router train`: from the ledger's accepted answers to a file the policy can name."""

from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import insert

from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tests.tasks.routing.tickets import KNOWN, LABELS, arguments
from tests.tiny_embedding import NUMBERS, TOKENIZER
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.learned.embedding import Embedding
from tierqueue.router.learned.surrogate import Surrogate

POLICY = 'default_sensitivity = "internal"\n'
SAID = {"card": "my card was {} at the till", "login": "the app says {} at login"}


def answered(ledger: Ledger, count: int, deployment: str | None = "house") -> None:
    """So many accepted answers of ``classify``."""
    random, rows = Random(1), []
    for number in range(count):
        label = random.choice(sorted(SAID))
        text = SAID[label].format(random.choice(("lost", "wrong", "blocked"))) + f" {number}"
        rows.append(
            {
                "id": new_id(),
                "task": "tierqueue.classify",
                "arguments": arguments(text),
                "output": {"label": label, "confidence": 0.9},
                "prefix": "p",
                "prompt_bytes": 5,
                "messages": 2,
                "output_limit": 16,
                "priority": 5,
                "fingerprint": "f",
                "state": "succeeded",
                "deployment": deployment,
                "ready_at": 1,
                "fence": 1,
                "calls": 1,
                "lost_claims": 0,
                "throttles": 0,
                "spent": 0,
                "held": 0,
                "cancel_requested": False,
                "submitted_at": 1,
                "ended_at": 2,
            }
        )
    with ledger.write() as connection:
        connection.execute(insert(items), rows)


def test_what_was_accepted_trains_a_surrogate_that_the_policy_can_name(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    answered(ledger, 400)
    out = tmp_path / "classify.safetensors"
    told = tierqueue.json("router", "train", "tierqueue.classify", "--out", str(out))
    assert told["certified"]
    assert told["answers"] == 400
    assert told["sha256"] == sha256(out.read_bytes()).hexdigest()
    guess = Surrogate.load(out.read_bytes(), told["sha256"]).answer(KNOWN)
    assert guess is not None
    assert guess.label == "login"
    assert set(LABELS) > {guess.label}


def test_with_an_embedding_the_policy_names_its_folder_and_is_checked_against_it(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    answered(ledger, 400)
    out, vectors = tmp_path / "classify.safetensors", tmp_path / "vectors"
    vectors.mkdir()
    words = ("router", "train", "tierqueue.classify", "--out", str(out), "--embedding")
    assert "0 files *.safetensors" in tierqueue.complaint(*words, str(vectors))
    assert not out.exists()
    (vectors / "model.safetensors").write_bytes(NUMBERS)
    (vectors / "tokenizer.json").write_bytes(TOKENIZER)
    lines = tierqueue(*words, str(vectors)).partition("[tasks.")
    assert f'embedding = "{vectors}"' in lines[2]
    held = Surrogate.load(out.read_bytes(), embedding=Embedding.read(TOKENIZER, NUMBERS))
    assert held.answer(KNOWN) is not None
    policy = tmp_path / "named.toml"
    policy.write_text(f"{POLICY}{ONE_DEPLOYMENT}[tasks.{lines[2]}", encoding="utf-8")
    tierqueue("policy", "check", str(policy))
    (vectors / "tokenizer.json").unlink()
    complaint = tierqueue.json("policy", "check", str(policy), status=1)["error"]
    assert "surrogate.embedding: the embedding in" in complaint
    assert "--embedding is for a surrogate" in tierqueue.complaint(
        *words, str(vectors), "--predictor"
    )


def test_what_a_surrogate_answered_itself_is_not_learned_from(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    answered(ledger, 400, deployment=None)
    out = tmp_path / "classify.safetensors"
    told = tierqueue.json("router", "train", "tierqueue.classify", "--out", str(out), status=1)
    assert not told["certified"]
    assert "0 accepted answers" in told["why"]
    assert told["takes"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tierqueue.clasify",), "tierqueue.classify"),
        (("tierqueue.classify", "--argument", "txt"), "text"),
    ],
)
def test_a_typo_is_told_the_nearest(
    tierqueue: Command, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    out = str(tmp_path / "x")
    assert complaint in tierqueue.complaint("router", "train", *words, "--out", out)
