"""The weights that are shipped, behind llama.cpp and the product's own engine for such servers."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.tiny import Asking, Judged, Ticket, deployed
from examples.tiny_tickets import LABELS
from tierqueue.workers.engines import build

pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("ignore")]
TICKETS = [
    Ticket("I ordered a card two weeks ago and it is still not here.", "card_arrival"),
    Ticket("SOMEBODY STOLE MY CARD, BLOCK IT NOW", "lost_or_stolen_card"),
    Ticket("hello, how can i change my pin at a cash machine? thanks", "change_pin"),
    Ticket("Can my daughter have an account, she is fifteen?", "age_limit"),
    Ticket("I cannot remember the passcode of the app", "passcode_forgotten"),
    Ticket("The cash machine swallowed my card", "card_swallowed"),
]
OTHER_LABELS = ["a question on cooking", "a question on gardening", "a question on chess"]


def asked(tickets: Sequence[Ticket], labels: Sequence[str]) -> list[Judged]:
    """What became of the tickets, asked as ``classify`` asks."""

    async def asking() -> list[Judged]:
        with deployed("llama_cpp") as deployment:
            started = build(deployment, {})
            await started.start()
            try:
                return await Asking(started, deployment, labels, in_flight=4).judge(tickets)
            finally:
                await started.close()

    return asyncio.run(asking())


def test_plain_tickets_get_their_label_and_texts_from_elsewhere_get_no_margin() -> None:
    # In vLLM the demo's own test has them asked, and one that the model is not sure of.
    outside = Ticket("Which moss grows on a north wall?", "")
    judged = asked([*TICKETS, outside], LABELS.read_text().splitlines())
    assert all(one.valid for one in judged)
    assert sum(one.right for one in judged) >= len(TICKETS) - 1
    assert min(one.margin for one in judged if one.right) > judged[-1].margin


def test_asked_with_labels_it_was_not_trained_on_it_answers_with_one_of_them_unsure() -> None:
    judged = asked(TICKETS, OTHER_LABELS)
    assert all(one.valid for one in judged)
    assert max(one.margin for one in judged) < 0.2


@pytest.mark.parametrize("written", [None, b"no weights"], ids=["missing", "not GGUF"])
def test_weights_that_cannot_be_read_are_named_in_one_line(
    tmp_path: Path, written: bytes | None
) -> None:
    weights = tmp_path / "weights.gguf"
    if written is not None:
        weights.write_bytes(written)
    done = subprocess.run(
        [sys.executable, "-m", "examples.tiny_tickets.serve", "--weights", weights],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    # The server's own threads write lines of theirs before and after it.
    assert f"error: {weights} is no model in GGUF" in done.stderr
    assert "Traceback" not in done.stderr
