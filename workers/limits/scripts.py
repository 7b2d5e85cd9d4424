"""The limiter's scripts, each put together from the parts it needs."""

from pathlib import Path
from typing import NamedTuple


def _script(*parts: str) -> str:
    return "".join(
        Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8") for name in parts
    )


class Scripts(NamedTuple):
    """The scripts, each whole."""

    grant: str = _script("remembered", "windows", "learned", "limiter")
    renew: str = _script("remembered", "renew")
    settle: str = _script("remembered", "windows", "learned", "settle")
    restore: str = _script("remembered", "windows", "restore")
