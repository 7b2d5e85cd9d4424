"""What a surrogate may answer: what it is certified for, and nothing that a wall keeps from it."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.routing import in_front
from tests.tasks.routing.tickets import FOREIGN, KNOWN, arguments, embedded, policy
from tests.tiny_embedding import NUMBERS, TOKENIZER
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.surrogates import Record
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidPolicy, Misconfigured
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.routing import surrogates
from tierqueue.tasks.routing.below import agrees, named
from tierqueue.tasks.routing.decide import Decisions
from tierqueue.tasks.routing.surrogates import Surrogates


def served(ledger: Ledger, policy: Policy, text: str = KNOWN, **stated: Any) -> Decisions:
    """What becomes of one submitted item."""
    return in_front.served(Surrogates(policy), ledger, policy, text, **stated)


def test_it_answers_with_a_receipt_that_says_who_did(ledger: Ledger, tmp_path: Path) -> None:
    chosen = served(ledger, policy(tmp_path))
    (answered,) = chosen.answered
    assert not chosen.routed
    assert answered.output == {"label": "login", "confidence": None}
    assert answered.receipt["tier"] == "surrogate"
    assert answered.receipt["deployment"] == next(iter(policy(tmp_path).audited))
    assert answered.receipt["cost_nanousd"] == 0
    assert answered.receipt["margin"] > 0
    assert answered.receipt["sensitivity"] == "internal"
    assert "certified to agree" in answered.receipt["why"][0]


@pytest.mark.parametrize(
    "kept",
    [
        {"text": FOREIGN},
        {"called": {"labels": ["card", "transfer"]}},
        {"called": {"instructions": "Be strict."}},
        {"floor": "frontier"},
        {"floor": "gpu"},
        {"pinned": "gpu"},
        {"min_confidence": 0.5},
        {"calls": 1},
        {"refused_by": ["gpu"]},
        {"task": "tierqueue.complete"},
        {"paused": (Pause("task", "tierqueue.classify", 0, "me"),)},
        {"paused": (Pause("budget", "default", 0, "me"),)},
        {"arguments": None},
    ],
    ids=str,
)
def test_it_leaves_to_the_model_what_it_may_not_answer(
    ledger: Ledger, tmp_path: Path, kept: dict[str, Any]
) -> None:
    chosen = served(ledger, policy(tmp_path), **kept)
    assert not chosen.answered
    assert not chosen.audits
    assert len(chosen.routed) + len(chosen.deaths) == 1


def test_a_floor_of_the_policy_forbids_it(ledger: Ledger, tmp_path: Path) -> None:
    floors = '[[floors]]\ntask = "tierqueue.classify"\nfloor = "open_weight"\n'
    assert not served(ledger, policy(tmp_path, more=floors)).answered


def test_what_has_no_route_is_not_answered_either(ledger: Ledger, tmp_path: Path) -> None:
    chosen = served(ledger, policy(tmp_path), prompt_bytes=10**6)
    assert [death.reason for death in chosen.deaths] == ["no_route"]
    assert not chosen.answered


def test_an_audited_item_goes_to_the_model_and_is_remembered(
    ledger: Ledger, tmp_path: Path
) -> None:
    chosen = served(ledger, policy(tmp_path, audit=1.0))
    assert len(chosen.routed) == 1
    assert [audit.answer for audit in chosen.audits] == [named({"label": "login"})]


def test_what_was_switched_off_answers_nothing(ledger: Ledger, tmp_path: Path) -> None:
    stated = policy(tmp_path)
    assert not served(ledger, stated, off=tuple(stated.audited)).answered


def test_a_label_is_compared_by_its_hash_and_nothing_else_is() -> None:
    login = named({"label": "login"})
    assert login == sha256(b"login").hexdigest()
    assert agrees(login, {"label": "login", "confidence": 0.9}) is True
    assert agrees(login, {"label": "card"}) is False
    assert agrees(login, {"label": 3}) is agrees(login, {"text": "login"}) is agrees(login, None)
    assert agrees(login, None) is None


def test_a_promise_is_broken_by_more_than_chance_allows(tmp_path: Path) -> None:
    (promise,) = Surrogates(policy(tmp_path)).promises.values()
    assert promise.alpha == 0.1
    assert not promise.broken(Record(0, 0))
    assert not promise.broken(Record(100, 14))
    assert promise.broken(Record(100, 25))
    assert promise.broken(Record(5, 5))


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("classify.safetensors", "gone.safetensors", "cannot be read: No such file"),
        ('sha256 = "', 'sha256 = "' + "0" * 64 + '"\n# "', "another file lies there"),
        ('[tasks."tierqueue.classify"', '[tasks."tierqueue.extract"', "not for tierqueue.extract"),
    ],
)
def test_a_file_that_is_not_what_the_policy_names_is_refused_at_the_start(
    tmp_path: Path, before: str, after: str, why: str
) -> None:
    from tests.tasks.routing import tickets

    stated = policy(tmp_path)
    digest = stated.tasks["tierqueue.classify"].surrogate
    assert digest is not None
    text = tickets.POLICY.format(
        file=tmp_path / "classify.safetensors", sha256=digest.sha256, audit=0.02
    )
    with pytest.raises(Misconfigured, match=why):
        Surrogates(parse_policy(text.replace(before, after), "test"))


@pytest.mark.parametrize("audit", ["0", "1.5"])
def test_a_surrogate_without_an_audit_is_refused(tmp_path: Path, audit: str) -> None:
    with pytest.raises(InvalidPolicy, match="audit"):
        policy(tmp_path, audit=float(audit))


def folder_with(place: Path, **files: bytes) -> Path:
    """A folder of these files, of which a name's first underscore is its dot."""
    place.mkdir()
    for name, content in files.items():
        (place / name.replace("_", ".", 1)).write_bytes(content)
    return place


def test_with_its_embedding_it_answers_and_leaves_the_same_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    stated = embedded(tmp_path)
    (answered,) = served(ledger, stated).answered
    assert answered.output == {"label": "login", "confidence": None}
    assert Surrogates(stated).deferring == {}
    who = Surrogates(stated)
    assert "is unlike what it learned" in who.why_none("tierqueue.classify", arguments(FOREIGN))


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (None, "the policy names no folder"),
        ({}, "has 0 files *.safetensors"),
        ({"model_safetensors": NUMBERS, "more_safetensors": NUMBERS}, "has 2 files *.safetensors"),
        ({"model_safetensors": NUMBERS}, "cannot be read: No such file"),
        ({"model_safetensors": NUMBERS, "tokenizer_json": b"{}"}, "tokenizer.json cannot be read"),
        (
            {"model_safetensors": NUMBERS, "tokenizer_json": TOKENIZER + b" "},
            "holds another embedding than the one that it was trained with",
        ),
    ],
    ids=lambda said: said if isinstance(said, str) else "",
)
def test_without_its_own_embedding_it_defers_all_and_says_why(
    ledger: Ledger, tmp_path: Path, files: dict[str, bytes] | None, why: str
) -> None:
    folder = None if files is None else folder_with(tmp_path / "vectors", **files)
    stated = embedded(tmp_path, folder)
    chosen = served(ledger, stated)
    assert not chosen.answered
    assert not chosen.audits
    assert len(chosen.routed) == 1
    who = Surrogates(stated)
    assert why in who.deferring["tierqueue.classify"].why
    assert why in who.why_none("tierqueue.classify", arguments(KNOWN))
    assert list(who.promises) == list(stated.audited)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    (one,) = Surrogates(embedded(tmp_path, gone)).deferring.values()
    assert str(gone) in one.why


def test_a_file_too_large_for_an_embedding_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"model_safetensors": NUMBERS, "tokenizer_json": TOKENIZER}
    stated = embedded(tmp_path, folder_with(tmp_path / "vectors", **files))
    assert not Surrogates(stated).deferring
    monkeypatch.setattr(surrogates, "LARGEST", len(NUMBERS) - 1)
    (one,) = Surrogates(stated).deferring.values()
    assert "more than" in one.why


def test_an_embedding_for_a_surrogate_of_n_grams_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="trained with no embedding, and the policy names one"):
        Surrogates(policy(tmp_path, more=f'embedding = "{tmp_path}"\n'))
