"""Negative controls: what has one guard taken out must fail on the invariant it guards.

Bare Celery, and tierqueue without its fence, its tick, its hold or the conditions of deployments.
Passes when each one fails.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.chaos import bare
from bench.chaos.hook import note
from bench.chaos.plant import Nursery, base_environ
from bench.chaos.storm import FEW
from bench.checker.invariants import one_result, report
from bench.checker.run import Violations, open_run
from bench.faults.run import LEASE_SECONDS, run
from tools.system import broker

GUARDS = {"bare": "I2", "fence": "I2", "tick": "I1", "hold": "I4", "conditions": "I10"}
"""The invariant that each control must break."""

_ROUTING = ("routing",)
_TIERS = ("gpu", "open_weight", "frontier")


def bare_celery(folder: Path) -> Violations:
    """Late acks and a task longer than the visibility timeout: it runs more than once."""
    folder.mkdir(parents=True)
    server = broker(folder / "broker")
    try:
        environ = base_environ(f"redis://127.0.0.1:{server.port}/0", folder)
        nursery = Nursery(environ, folder / "nursery.out")
        try:
            for name in ("bare-1", "bare-2"):
                nursery.fork("bare", name)
            app = bare.make(environ["TIERQUEUE_BROKER_URL"])
            for _ in range(4):
                key = str(uuid.uuid4())
                app.send_task("bare.slow", (key,), task_id=key)
                line = {"key": key, "how": "delay", "at": time.time(), "status": "ok"}
                note(folder / "keys-bare.jsonl", line)
            _wait_for_two(folder)
        finally:
            nursery.close()
    finally:
        server.stop()
    found = Violations(read := open_run(folder, None))
    one_result(read, found)
    return found


def _wait_for_two(folder: Path) -> None:
    """Until some key was accepted twice, or too long."""
    until = time.monotonic() + 6 * bare.TASK_SECONDS
    pause = threading.Event()
    while time.monotonic() < until:
        accepted = [line["item"] for line in open_run(folder, None).bare]
        if len(accepted) > len(set(accepted)):
            return
        pause.wait(0.5)


def without(guard: str, folder: Path, seed: int) -> Violations:
    """A short run with one guard taken out of the workers it lives in."""
    kinds = _ROUTING if guard == "tick" else (*_TIERS, *_ROUTING)
    found, _ = run(
        folder,
        "sqlite",
        seed=seed,
        # The providers' troubles are among the other faults from so many kills on.
        kills=FEW if guard == "conditions" else 6,
        tight="0.004",
        twins=dict.fromkeys(kinds, guard),
        quiet_seconds=60 if guard == "conditions" else 15,
    )
    return found


def main() -> None:
    """Run the controls; exit status 1 if one of them passes what it must fail."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.controls")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(GUARDS))
    asked = parser.parse_args()
    # Whoever ends us early must find nothing of ours running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    top = Path(tempfile.mkdtemp(prefix="tierqueue-controls-"))
    controls: dict[str, Callable[[], Violations]] = {
        "bare": lambda: bare_celery(top / "bare"),
        **{
            guard: lambda guard=guard: without(guard, top / guard, asked.seed)  # type: ignore[misc]
            for guard in ("fence", "tick", "hold", "conditions")
        },
    }
    told: dict[str, Any] = {}
    for name, control in controls.items():
        if asked.only in (None, name):
            found = control()
            report(found, [f"== without {name}, which must break {GUARDS[name]}:"])
            told[name] = {key: len(all_of) for key, all_of in sorted(found.by_invariant.items())}
    passed = [name for name, broken in told.items() if GUARDS[name] not in broken]
    print(
        json.dumps(
            {"bench": "controls", "lease_s": LEASE_SECONDS, "broken": told, "not_seen": passed}
        )
    )
    sys.exit(1 if passed else 0)


if __name__ == "__main__":
    main()
