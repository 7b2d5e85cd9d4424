"""One thing, two things."""


def count(number: int, thing: str, does: str = "", do: str = "") -> str:
    """``1 item``, ``2,000 items``; with what it ``does`` and they ``do``: ``1 item waits``."""
    if number == 1:
        return f"1 {thing} {does}".rstrip()
    return f"{number:,} {thing}s {do}".rstrip()
