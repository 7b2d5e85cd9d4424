"""The page of every variable of the environment, from the settings' fields."""

from tierqueue.tasks.settings import PREFIX, Settings
from tools.reference import markdown
from tools.reference.reading import fields, sources

_INTRODUCTION = f"""
A process finds its surroundings in variables that begin with `{PREFIX}`. One that is misspelt is
refused with the nearest that is known. Keys of providers stand in variables of your own naming,
which the policy names in `key_env`.
"""


def page() -> str:
    """The whole page."""
    texts = sources.fields(Settings)
    table = markdown.table(
        ("variable", "value", "default", "what it says"),
        (
            (
                f"`{PREFIX}{name.upper()}`",
                fields.written(field),
                fields.default(field).replace('"', ""),
                markdown.prose(texts.get(name)),
            )
            for name, field in Settings.model_fields.items()
        ),
    )
    return markdown.page("Settings: every variable of the environment", _INTRODUCTION, table)
