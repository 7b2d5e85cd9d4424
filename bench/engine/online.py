"""Producers that each wait for their own item before they hand in the next: a process of its own.

Arguments: how many producers, items of each, output tokens, a salt. The line printed is
``{"seconds": s}``, from the first call to the last answer.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.engine.load import note, rows

PATIENCE_SECONDS = 600
"""Seconds an answer may take."""


def main() -> None:
    producers, each, tokens = (int(said) for said in sys.argv[1:4])
    work = rows(producers * each, tokens, sys.argv[4])

    def produce(at: int) -> None:
        for row in work[at::producers]:
            note.delay(**row).get(timeout=PATIENCE_SECONDS)

    note.delay(**rows(1, tokens, f"{sys.argv[4]}warm")[0]).get(timeout=PATIENCE_SECONDS)
    began = time.perf_counter()
    with ThreadPoolExecutor(producers) as pool:
        list(pool.map(produce, range(producers)))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
