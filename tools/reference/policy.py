"""The page of every key of tierqueue.toml, from the policy's models."""

from pathlib import Path

from pydantic import BaseModel

from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import filled_in
from tools.reference import markdown
from tools.reference.reading import fields, sources

_EXAMPLES = Path(__file__).with_name("policy.toml")

_INTRODUCTION = """
One file says what may be done where, at what price, and for how much. Every process that routes or
spends reads it when it starts, from `TIERQUEUE_POLICY`. A key that is not known is refused with the
nearest one that is; `tierqueue policy check` says whether a file can be used. What has no default
holds only where it is stated.
"""


def tables() -> dict[str, type[BaseModel]]:
    """Every table by its heading in the file, the top of the file first."""
    found: dict[str, type[BaseModel]] = {"": Policy}
    _below(Policy, "", found)
    return found


def keys(model: type[BaseModel]) -> list[str]:
    """The keys that a table may state."""
    return [key for key in model.model_fields if key not in filled_in(model)]


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for heading, model in tables().items():
        parts += [f"## {f'`{heading}`' if heading else 'At the top'}"]
        parts += [markdown.prose(model.__doc__) if heading else "", _table(model)]
        parts += [markdown.fenced("toml", example) for example in examples().get(heading, ())]
    return markdown.page("The policy: every key of tierqueue.toml", *parts)


def examples() -> dict[str, list[str]]:
    """Examples for each heading: the parts of ``policy.toml`` beside this file that it begins."""
    parts: dict[str, list[str]] = {}
    for part in _EXAMPLES.read_text(encoding="utf-8").split("\n# ")[1:]:
        heading, _, text = part.partition("\n")
        parts.setdefault(heading.strip() if heading != "top" else "", []).append(text.strip())
    return parts


def _table(model: type[BaseModel]) -> str:
    texts = sources.fields(model)
    return markdown.table(
        ("key", "value", "default", "what it says"),
        (
            (
                f"`{key}`",
                fields.written(model.model_fields[key]),
                fields.default(model.model_fields[key]),
                markdown.prose(texts.get(key)),
            )
            for key in keys(model)
        ),
    )


def _below(model: type[BaseModel], path: str, found: dict[str, type[BaseModel]]) -> None:
    for key in keys(model):
        annotation = model.model_fields[key].annotation
        table = fields.table_in(annotation)
        if table is None:
            continue
        kind = fields.written(model.model_fields[key])
        heading = f"{path}{key}"
        match kind.split(" (")[0]:
            case "array of tables":
                found[f"[[{heading}]]"] = table
            case "table" if kind.endswith(")"):
                heading += ".NAME" if "by name" in kind else ".TIER"
                found[f"[{heading}]"] = table
            case _:
                found[f"[{heading}]"] = table
        _below(table, f"{heading}.", found)
