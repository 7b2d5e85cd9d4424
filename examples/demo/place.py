"""The place of a demo's run: its folder, its policy, its processes, its keys."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from tierqueue.router.errors import Misconfigured
from tierqueue.router.money import format_usd
from tierqueue.router.policy.policy import Policy, parse_policy
from tools.system import ROOT, System, free_port

HERE = Path(__file__).parent
TINY_TICKETS = "tiny_tickets"
"""The process that serves the gpu tier's model where no vLLM is installed."""

_SANDBOX, _TINY_TICKETS = "127.0.0.1:8089", "127.0.0.1:8088"
"""Where the policy says the servers are; a run has ports of its own."""

SERVE = "python -m examples.tiny_tickets.serve --port $TINY_TICKETS_PORT"


_KEYS = re.compile(
    r"_(API_KEYS?|API_TOKEN|AUTH_TOKEN)$|^(OPENAI|ANTHROPIC|OPENROUTER|AWS|AZURE|GOOGLE)_"
)


@dataclass(frozen=True, slots=True)
class Place:
    """``keys`` are the only provider keys that the system's processes get to see."""

    folder: Path
    templates: Sequence[Path]
    processes: Sequence[str]
    keys: Mapping[str, str]
    live: bool

    @property
    def policy_file(self) -> Path:
        """The policy of this run."""
        return self.folder / "tierqueue.toml"

    @property
    def policy(self) -> Policy:
        """The policy of this run, read; raises ``InvalidPolicy``."""
        return parse_policy(self._text(), str(self.templates[0]))

    def _text(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.templates)

    def system(self, processes: Sequence[str]) -> System:
        """The system, not yet started, its policy written for the ports it will have."""
        port = free_port()
        system = System(
            self.folder,
            policy=self.policy_file,
            processes=processes,
            lines={TINY_TICKETS: SERVE},
            environ={**self.keys, "TINY_TICKETS_PORT": str(port)},
        )
        text = self._text().replace(_SANDBOX, f"127.0.0.1:{system.sandbox_port}")
        self.policy_file.write_text(text.replace(_TINY_TICKETS, f"127.0.0.1:{port}"))
        return system

    def clear(self) -> None:
        """Forget what earlier runs left here."""
        for name in ("broker", "ledger.db", "ledger.db-wal", "ledger.db-shm", "sandbox.jsonl"):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def claim_folder() -> Iterator[Path]:
    """``.demo``, or the next one that no other run is using."""
    number = 1
    while True:
        folder = ROOT / ".demo" / ("" if number == 1 else str(number))
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                number += 1
                continue
            yield folder
            return


def forget_keys() -> None:
    """Take provider keys out of this process's environment: what it starts inherits none."""
    for name in [name for name in os.environ if _KEYS.search(name)]:
        del os.environ[name]


def local_place(folder: Path) -> Place:
    """Everything on this machine: the gpu tier's real model, and the sandbox for the tiers above.

    vLLM serves the model in the worker where it is installed, else llama.cpp beside it. No key of
    the shell around it is passed on.
    """
    engine = "vllm" if find_spec("vllm") else "llama"
    return Place(
        folder=folder,
        templates=(HERE / "tierqueue.toml", HERE / f"house_{engine}.toml"),
        processes=(
            *((TINY_TICKETS,) if engine == "llama" else ()),
            "sandbox",
            "routing",
            "gpu",
            "open_weight",
            "frontier",
        ),
        keys={"SANDBOX_KEY": "sandbox"},
        live=False,
    )


def live_place(folder: Path, console: Console) -> Place:
    """Real providers; says first what is at stake. Raises ``Misconfigured`` for a missing key."""
    template = HERE / "live.toml"
    policy = parse_policy(template.read_text(encoding="utf-8"), str(template))
    wanted = {
        deployment.key_env for deployment in policy.deployments.values() if deployment.key_env
    }
    for name in sorted(wanted):
        if not os.environ.get(name, "").strip():
            raise Misconfigured(f"LIVE=1 calls real providers: set {name}, or leave LIVE out")
    for rule in policy.ceilings:
        console.print(
            f"LIVE: real keys, real money. No more than {format_usd(rule.limit)} a {rule.window}"
            f" will be spent on {rule.scope}.",
            style="bold yellow",
        )
    tiers = dict.fromkeys(deployment.tier.value for deployment in policy.deployments.values())
    return Place(
        folder=folder,
        templates=(template,),
        processes=("routing", *tiers),
        keys={name: os.environ[name] for name in wanted},
        live=True,
    )
