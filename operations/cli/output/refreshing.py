"""A screen that is drawn again and again until somebody presses q."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text


def refresh(lines: Callable[[], Sequence[str]], interval: float) -> None:
    """Draw ``lines`` every ``interval`` seconds, on a screen of its own, until q or Ctrl-C.

    ``lines`` hold nothing that steers a terminal. What does not fit it is cut off. Needs a terminal
    on stdin and stdout; both are left as they were, whatever happens.
    """
    console = Console(file=sys.stdout, highlight=False)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            drawn = Text("\n".join(lines()), no_wrap=True)
            live.update(drawn, refresh=True)
            until = time.monotonic() + interval
            while (left := until - time.monotonic()) > 0:
                if pressed(left):
                    return


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Whether q is pressed within so many seconds; keys are read one by one and not shown."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([keyboard], [], [], seconds)
        if not ready:
            return False
        # A terminal that is gone reads as nothing.
        return (os.read(keyboard, 64) or b"q")[:1] in (b"q", b"Q")

    try:
        tty.setcbreak(keyboard)
        yield pressed
    except KeyboardInterrupt:
        return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
