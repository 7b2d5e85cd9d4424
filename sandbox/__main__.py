"""``python -m sandbox``: the simulated provider as a process."""

import argparse
import ipaddress
import socket
from pathlib import Path

from sandbox.app import Application
from sandbox.batch.terms import Terms, read_terms
from sandbox.batch.vendors import all_batches
from sandbox.failing.limits import Limit
from sandbox.failing.plan import Plan, read_plan
from sandbox.log import Log
from sandbox.server import BACKLOG, serve
from sandbox.serving import Desk

_EXAMPLE = """\
example:
  python -m sandbox --port 8089 --log /tmp/sandbox.jsonl --latency-ms 50 --rpm 600
  OPENAI_BASE_URL=http://127.0.0.1:8089/v1    ANTHROPIC_BASE_URL=http://127.0.0.1:8089
  http://127.0.0.1:8089/as/mistral/v1 plays Mistral: sandbox/wires/vendors.toml has them all

Prints {"port": N} on stdout once it listens; --port 0 takes a free port. GET /healthz and
GET /log/summary need no key. The markers are described in sandbox/failing/faults.py, the
faults file in sandbox/failing/plan.py, the troubles file in sandbox/failing/troubles.py, the
batches file in sandbox/batch/terms.py, the prices in sandbox/answering/prices.toml.
Everything it answers is simulated.
"""


def main() -> None:
    """Parse the command line and serve. Exit status 2 for what cannot be served as asked."""
    parser = _parser()
    asked = parser.parse_args()
    try:
        plan = read_plan(asked.faults) if asked.faults is not None else Plan()
        limit = Limit(asked.rpm, asked.tpm, asked.concurrent)
        listening = _listen(asked.host, asked.port)
        with listening, Log(asked.log) as log:
            desk = Desk(plan, limit, asked.troubles, asked.limits)
            terms = read_terms(asked.batches) if asked.batches is not None else Terms()
            batches = all_batches(desk, log, terms)
            application = Application(desk, log, asked.latency_ms / 1000, batches)
            serve(application, listening)
    except (ValueError, OSError) as error:
        parser.exit(2, f"sandbox: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A simulated OpenAI and Anthropic provider, on loopback only.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--log", type=Path, required=True, help="JSONL, appended to")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (127.0.0.1)")
    parser.add_argument("--latency-ms", type=_wait, default=0, help="of every served call (0)")
    parser.add_argument("--faults", type=Path, help="TOML: seeded faults, outputs, limits")
    parser.add_argument("--limits", type=Path, help="TOML: [[limit]]s, read again when it changes")
    parser.add_argument("--troubles", type=Path, help="file: what all calls meet while it is there")
    parser.add_argument("--batches", type=Path, help="TOML: how long batches take, their limits")
    parser.add_argument("--rpm", type=_count, help="requests a minute, each model")
    parser.add_argument("--tpm", type=_count, help="tokens a minute, each model")
    parser.add_argument("--concurrent", type=_count, help="calls at the same time, each model")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _wait(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3_600_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 3600000 milliseconds")
    return value


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``ValueError`` for anything but loopback."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address") from None
    if not address.is_loopback:
        raise ValueError(f"{host} is not a loopback address: simulated answers stay on the machine")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # The protocol is named because asyncio turns Nagle off only for sockets that name it.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((str(address), port))
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


if __name__ == "__main__":
    main()
