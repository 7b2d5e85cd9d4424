"""Messages of which something is not as Celery's protocols have it, as they lie on the broker."""

import base64
import json
import uuid
from typing import Any

from hypothesis import strategies as st

SECRET = "the patient's name is Quillfeather"

HALF_AN_EMOJI, NUL = "\ud83d", "a\0b"
DEEP: Any = json.loads("[" * 400 + "]" * 400)
ODD = [
    None,
    True,
    -1,
    0,
    5,
    2**31,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    SECRET,
    HALF_AN_EMOJI,
    NUL,
    "9" * 100_000,
    "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01T00:00:00",
    "2026-02-30",
    [],
    {},
    ["x"],
    [None, None],
    [[1, 2], {}],
    {"x": SECRET},
    {"__type__": "decimal", "__value__": "x"},
    {"__type__": "datetime", "__value__": 5},
    DEEP,
]
FOLLOWING = ["callbacks", "errbacks", "chain", "chord"]

odd = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def call(queue: str = "route", task: str = "tierqueue.complete", **kwargs: Any) -> dict[str, Any]:
    """A call as Celery's protocol 2 sends it, before anything of it is spoilt."""
    call_id = str(uuid.uuid4())
    following = dict.fromkeys(FOLLOWING)
    return {
        "body": [[], kwargs or {"prompt": "hello"}, following],
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": call_id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": call_id,
            "parent_id": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "gen1@stranger",
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": call_id,
            "reply_to": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


HEADERS = [*call()["headers"], "reply_to", "compression", "redelivered"]
PROPERTIES = [*call()["properties"]]


def entry(message: dict[str, Any]) -> bytes:
    """The message as it lies on the broker."""
    body = message["body"]
    if not isinstance(body, str):
        body = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps({**message, "body": body}).encode()


@st.composite
def spoilt(draw: st.DrawFn, queue: str, task: str) -> bytes:
    """One message of which one thing, or several, is not as it should be."""
    message = call(queue, task)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(["headers", "properties", "body", "following", "envelope"]))
        if place in ("headers", "properties"):
            names = HEADERS if place == "headers" else PROPERTIES
            if isinstance(message[place], dict):
                if draw(st.integers(0, 4)) == 0:
                    message[place].pop(draw(st.sampled_from(names)), None)
                else:
                    message[place][draw(st.sampled_from(names))] = draw(odd)
        elif place == "following" and isinstance(message["body"], list):
            following = {draw(st.sampled_from(FOLLOWING)): draw(odd)}
            message["body"] = [*message["body"][:2], following]
        elif place == "body":
            message["body"] = draw(
                odd
                | st.tuples(odd, odd, odd).map(list)
                | st.tuples(st.just([]), st.dictionaries(st.text(max_size=3), odd), st.none()).map(
                    list
                )
                | st.just(call()["headers"] | {"args": [], "kwargs": {"prompt": "first protocol"}})
            )
        else:
            name = draw(st.sampled_from([*message, "content-type", "content-encoding"]))
            message[name] = draw(
                odd | st.sampled_from(["application/octet-stream", "text/plain", "utf-16"])
            )
    raw = entry(message)
    cut = draw(st.integers(0, 30))
    return raw[: len(raw) // 2] if cut == 0 else raw


@st.composite
def spoilt_slice(draw: st.DrawFn, queue: str, deployment: str) -> bytes:
    """A slice whose items, or whose deployment, are not ours."""
    item = st.tuples(st.just(str(uuid.uuid4())) | odd, odd, odd).map(list)
    items = draw(odd | st.lists(item | odd, max_size=3))
    named = draw(st.just(deployment) | odd)
    return entry(call(queue, "tierqueue.slice", deployment=named, items=items))
