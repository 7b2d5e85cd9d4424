"""The demo's sample: tickets and documents of its own, and four items that end otherwise."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples import tiny_tickets
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import ItemTask, classify, extract, summarize

HERE = Path(__file__).parent
TICKETS = HERE / "tickets.csv"
LABELS = tiny_tickets.LABELS.read_text(encoding="utf-8").splitlines()
TRUE_LABELS = (HERE / "true_labels.txt").read_text(encoding="utf-8").split("\n")[:-1]
"""What each of ``TICKETS`` is about, in their order; empty where no label fits."""

SURE = 0.5
"""The margin below which an answer of the house's model is not taken."""

ESCALATED = "one that the house's model is not sure of"
OVER_CEILING = "one over its ceiling"
NO_ROUTE = "one whose data no deployment may see"
MALFORMED = "one malformed"


@dataclass(frozen=True, slots=True)
class Call:
    """One ``.delay()``; ``case`` names what it is there to show, where it shows something."""

    task: ItemTask
    arguments: Mapping[str, Any]
    case: str | None = None


def calls(*, public: bool) -> Iterator[Call]:
    """Documents to summarize and to extract from, tickets that somebody waits for, the cases.

    ``public``: state that everything may be seen by anybody, as it is invented.
    """
    for line in (HERE / "documents.jsonl").read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        demands = {"sensitivity": "public" if public else document["sensitivity"]}
        if "risk" in document and not public:
            demands["risk"] = document["risk"]
        yield Call(summarize, {"text": document["text"], "max_words": 80, **demands})
        yield Call(extract, {"text": document["text"], "fields": document["fields"], **demands})
    seen = {"labels": LABELS, "latency": "interactive", "priority": 9}
    for text in (
        "I was charged twice for one coffee.",
        "My card has been stolen, what shall I do?",
    ):
        yield Call(
            classify, {"text": text, **seen, **({"sensitivity": "public"} if public else {})}
        )


def cases() -> Iterator[Call]:
    """The items that show what happens when something goes wrong; for the sandbox alone."""
    yield Call(
        classify,
        {
            "text": "Hello! Which of the two colours would you have taken?",
            "labels": LABELS,
            "min_confidence": SURE,
            "sensitivity": "public",
        },
        ESCALATED,
    )
    yield Call(
        summarize,
        {
            "text": "A long report that somebody wants summarized for next to nothing.",
            "sensitivity": "public",
            "floor": "open_weight",
            "max_cost": "0.000001usd",
        },
        OVER_CEILING,
    )
    yield Call(
        classify,
        {
            "text": "A patient's letter that only the best model is good enough for.",
            "labels": LABELS,
            "sensitivity": "regulated",
            "floor": "frontier",
        },
        NO_ROUTE,
    )


def malformed_is_refused() -> bool:
    """Whether a malformed call is refused at the call, with nothing stored."""
    try:
        classify.delay(text="", labels=LABELS)
    except InvalidItem:
        return True
    return False
