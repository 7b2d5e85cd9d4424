"""The last look before a call: may this item's payload go to this deployment's boundary, and what
of it under a pseudonym?

Routing has asked already; this is a second line that shares none of its code, so that a mistake
there sends nothing out.
"""

import json
import re
from dataclasses import replace
from hashlib import sha256

from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.router.redaction.pseudonyms import Leaking, Pseudonyms, put_back
from tierqueue.router.redaction.rules import Redaction
from tierqueue.workers.engines.engine import Call

HOUSE = "house"
VENDOR = "vendor:"
_OURS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAY_LEAVE = frozenset({Sensitivity.PUBLIC, Sensitivity.INTERNAL})


def check(sensitivity: Sensitivity, boundary: str, item: str) -> None:
    """Return when ``item`` may be sent to a deployment inside ``boundary``.

    Raises ``EgressRefused`` when confidential or regulated data would leave the house, and for a
    boundary that is neither ``house`` nor ``vendor:<name>``, whatever the sensitivity.
    """
    if boundary == HOUSE:
        return
    named = boundary.startswith(VENDOR) and boundary.removeprefix(VENDOR).strip() != ""
    if named and sensitivity in MAY_LEAVE:
        return
    raise EgressRefused(
        f"item {item} is {sensitivity} and must not be sent to boundary {boundary!r}; "
        "nothing was sent",
        {"item": item, "sensitivity": str(sensitivity), "boundary": boundary},
    )


def redacted(call: Call, rules: Redaction) -> Call:
    """The call with pseudonyms for what the rules find, in its texts, its schema and its item's id.

    Raises ``EgressRefused`` where that cannot be done, as with an image, and where the request
    would become so much longer that what is held for it would not do.
    """
    if call.images:
        raise _refused(call, "an image cannot be")
    pseudonyms = Pseudonyms(rules)
    try:
        # In the order in which they are sent: what items share is numbered first.
        system, prefix = pseudonyms.hide(call.system), pseudonyms.hide(call.prefix)
        question, schema = pseudonyms.hide(call.question), pseudonyms.hide_all(call.schema)
        # An id of ours may look like a telephone number; it is in no text, and counts as nothing.
        named = bool(_OURS.fullmatch(call.item)) or Pseudonyms(rules).hide(call.item) == call.item
    except Leaking as error:
        raise _refused(call, str(error)) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, nothing may be sent
        raise _refused(call, f"it failed: {type(error).__name__}") from None
    labels = call.labels if named else {**call.labels, "item": _hashed(call.item)}
    sent = replace(
        call,
        system=system,
        prefix=prefix,
        question=question,
        schema=schema,
        labels=labels,
        originals=pseudonyms.originals,
    )
    longer = max(0, _size(sent) - _size(call))
    if longer * 2 > call.output_limit:
        raise _refused(call, "its pseudonyms are longer than what is held for the item allows")
    # What is held covers so many tokens in all, of which those of output cost no less.
    return replace(sent, output_limit=call.output_limit - longer)


def restored(call: Call, text: str, rules: Redaction, *, as_json: bool) -> tuple[str, str | None]:
    """An answer with what its pseudonyms stand for, and what is wrong with them, if anything."""
    if not call.originals:
        return text, None
    return put_back(text, call.originals, rules.names, as_json=as_json)


def _size(call: Call) -> int:
    return len("".join([call.system, call.prefix, call.question, json.dumps(call.schema)]).encode())


def _hashed(item: str) -> str:
    return sha256(item.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _refused(call: Call, why: str) -> EgressRefused:
    return EgressRefused(
        f"item {call.item} could not be redacted: {why}; nothing was sent", {"item": call.item}
    )
