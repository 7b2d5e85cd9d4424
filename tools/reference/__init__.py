"""The pages of docs/reference, made from the code: ``python -m tools.reference`` writes them."""

from collections.abc import Callable
from pathlib import Path

from tools.reference import (
    broker,
    commands,
    log_events,
    metrics,
    policy,
    providers,
    python,
    settings,
    tables,
)
from tools.reference.reading import modules

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "broker.md": broker.page,
    "commands.md": commands.page,
    "log-events.md": log_events.page,
    "metrics.md": metrics.page,
    "modules.md": modules.page,
    "policy.md": policy.page,
    "providers.md": providers.page,
    "python.md": python.page,
    "settings.md": settings.page,
    "tables.md": tables.page,
}
"""Each page's file under ``docs/reference``, and what makes its text."""
