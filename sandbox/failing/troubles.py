"""Troubles that an operator of the sandbox switches on and off while it runs, by a file.

While the file is there, each of its lines says what every call of matching models meets: a model's
name or pattern, a fault's kind, and its number where it takes one.

    open-* 503 after=25
    frontier-large unauthorized

The first line that matches a call is played, before the call's own markers. A line that cannot be
understood is answered with 400: a misspelt trouble must not look like a success.
"""

from fnmatch import fnmatchcase
from pathlib import Path

from sandbox.failing.faults import Fault, fault
from sandbox.wires.call import Refused


class Troubles:
    """What the file at ``path`` says now; nothing without one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def of(self, model: str) -> Fault | None:
        """The trouble that a call of this model meets. Raises ``Refused`` 400 for a bad line."""
        try:
            lines = [] if self._path is None else self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return None
        for line in lines:
            try:
                pattern, kind, *numbers = line.split()
                given = {name: float(value) for name, value in (n.split("=") for n in numbers)}
                found = fault(kind, given)
            except ValueError as error:
                raise Refused(400, f"sandbox trouble: {error}", fault="bad_trouble") from None
            if fnmatchcase(model, pattern):
                return found
        return None
