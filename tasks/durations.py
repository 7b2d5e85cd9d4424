"""Durations as people read them."""

from tierqueue.router.policy.duration import SECOND_US


def age(microseconds: int | None, now: int) -> str:
    """How long before ``now``, in its largest unit: ``42 s``, ``3 min``, ``2 h``, ``4 d``."""
    if microseconds is None:
        return ""
    seconds = max(0, now - microseconds) // SECOND_US
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def duration(seconds: float) -> str:
    """``0.25 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``: the two largest units."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.001 else "0 s"
    whole = round(seconds)
    for size, name, smaller, its_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {its_name}" if rest else "")
    return f"{whole} s"
