"""Labels of answers, from a labelled set."""

import json
from typing import Any

from tierqueue.ledger import audit_log
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label, LabelledItem
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.evaluation.feedback import checked
from tierqueue.tasks.evaluation.labelled_set import LabelledSet
from tierqueue.tasks.evaluation.ways import Way

_BATCH = 200
"""Answers in one transaction: others write in between."""


def label(ledger: Ledger, labelled: LabelledSet, way: Way, by: str) -> int:
    """Keep of each answered item of ``way`` whether it is right, and what would have been; returns
    of how many. What somebody has said of an item before stays.
    """
    answered = {row.item: number for number, row in way.rows.items() if row.failed is None}
    items, said = sorted(answered), 0
    for start in range(0, len(items), _BATCH):
        with ledger.write() as connection:
            kept = []
            for item_id in items[start : start + _BATCH]:
                number = answered[item_id]
                item = labels.judgeable(connection, item_id)
                if item is None or item.erased or item.decided_by is not None:
                    continue
                if labels.of_item(connection, item_id) is not None:
                    continue
                right = way.rows[number].right
                truth = None if right else _truth(item, labelled.truths[number])
                labels.put(
                    connection, item, Label(correct=right, by=by, corrected=truth), noted=False
                )
                kept.append(item_id)
            if kept:
                detail = {"items": kept, "job": way.job}
                audit_log.note(connection, by=by, what="feedback", detail=detail)
            said += len(kept)
    return said


def _truth(item: LabelledItem, truth: Any) -> Any:
    """What would have been right, where the set says the whole output."""
    try:
        return checked(item, _read(truth))
    except InvalidItem:
        return None


def _read(truth: Any) -> Any:
    """A cell as the JSON object that it may hold."""
    if not isinstance(truth, str) or not truth.lstrip().startswith("{"):
        return truth
    try:
        return json.loads(truth)
    except ValueError:
        return truth
