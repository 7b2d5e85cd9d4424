"""``tierqueue flower``: Flower for this installation, on loopback unless there is a login."""

import ipaddress
import os
import sys
from pathlib import Path

import click

from tierqueue.operations.cli.input.ledger_access import settings
from tierqueue.router.errors import Misconfigured

_FILE = "FLOWER_BASIC_AUTH_FILE"


@click.command(epilog="Example: FLOWER_BASIC_AUTH=ops:secret tierqueue flower --address 0.0.0.0")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option(
    "--port",
    default=5555,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="And on which port.",
)
def flower(address: str, port: int) -> None:
    """Start Flower. Beyond loopback it needs a login, FLOWER_BASIC_AUTH=user:password.

    The variable FLOWER_BASIC_AUTH_FILE may name a file that holds the login instead; on the
    command line it would be read by everybody on the machine.
    """
    # Flower takes every FLOWER_ variable for an option of its own, and fails on one it lacks.
    environment = {name: setting for name, setting in os.environ.items() if name != _FILE}
    login = _login()
    if login is not None:
        environment["FLOWER_BASIC_AUTH"] = login
    elif not _loopback(address):
        raise Misconfigured(
            f"Flower shows and stops everything, so on {address} it needs a login: set"
            f" FLOWER_BASIC_AUTH=user:password, or {_FILE}"
        )
    settings()  # what is missing is said here, before the process is replaced
    words = [sys.executable, "-m", "celery", "-A", "tierqueue.operations.flower.app", "flower"]
    os.execve(  # noqa: S606  # no shell: the process becomes Flower
        sys.executable, [*words, f"--address={address}", f"--port={port}"], environment
    )


def _login() -> str | None:
    path = os.environ.get(_FILE)
    login = os.environ.get("FLOWER_BASIC_AUTH")
    if path:
        try:
            login = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Misconfigured(f"{_FILE} {path}: {error.strerror}") from None
    if login:
        user, _, password = login.partition(":")
        if not user or not password:
            raise Misconfigured("FLOWER_BASIC_AUTH is not user:password")
    return login or None


def _loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
