"""Is what a provider allows used up and not passed, by eight workers together?

    python -m bench.limits            12 windows of a minute: a quarter of an hour
    python -m bench.limits --quick    12 windows of ten seconds, which stand for the minute
    python -m bench.limits --case tokens-stated --windows 4    one case alone, for direction

Only a minute says what a limit of a minute is worth. A call holds its place from its grant to its
end, half a second at best: of ten seconds that is a twentieth. And until a hundred calls have
ended in a worker, a grant is for the bound, here 470 tokens where 100 are used (a byte may be a
token, a template 256, and all of the output's limit): a fifth of 6,000. Quick says whether anything
is passed, not how much is used.

Eight worker processes of one tier, a deployment for each case, all at once, against the sandbox,
which counts by code of its own: limits of requests and tokens, stated in the policy, told in
headers alone, found by refusals alone, and lowered in the middle, where it is stated some seconds
after an operator has said so; with SIGKILLs, a restart of the
broker and a provider that is down for most of the run. Progress goes to stderr; the one JSON line
at the end has the worst share of all cases and the most refusals of those whose limit is stated or
told. Apart stand those of a limit found by refusals alone (`found_429s`), and of one that the
provider lowers without a word before (`unannounced_429s`): the next reply says so, and is refused.
Every case stands in `cases`.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.limits.cases import cases
from bench.limits.figures import worst
from bench.limits.scene import Shape, run
from bench.stage.system import DATABASES, ON_DISK, databases

FEWEST = 3
"""Windows that are measured at the least."""

FULL = Shape(window=60.0, windows=12, warm=2, requests=240, tokens=36_000, kills=10)
QUICK = Shape(window=10.0, windows=12, warm=2, requests=40, tokens=6_000, kills=4)


def main() -> None:
    """Print one JSON line: the worst of the cases, and each one's figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="windows of ten seconds")
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    names = [case.name for case in cases(1, 1)]
    parser.add_argument("--case", action="append", choices=names, help="this one, or some")
    parser.add_argument("--windows", type=int, help="how many are measured; kills in proportion")
    chosen = parser.parse_args()
    if chosen.windows is not None and chosen.windows < FEWEST:
        # Before and after a limit is lowered there have to be windows of one limit alone.
        parser.error(f"--windows: at least {FEWEST}")
    shape = QUICK if chosen.quick else FULL
    if chosen.windows is not None:
        kills = round(shape.kills * chosen.windows / shape.windows)
        shape = replace(shape, windows=chosen.windows, kills=kills)
    with tempfile.TemporaryDirectory(prefix="tierqueue-limits-", dir=ON_DISK) as made:
        folder = Path(made)
        with databases(folder) as fresh:
            told = run(folder / "run", fresh.url(chosen.database), shape, chosen.case or names)
    print(json.dumps({**worst(told), "window_s": shape.window, "cases": told}))


if __name__ == "__main__":
    main()
