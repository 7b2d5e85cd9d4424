"""``tierqueue policy``: is this file a policy?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.output.printing import Column, emit, json_option, say, table
from tierqueue.router.errors import InvalidPolicy, Unpriced

if TYPE_CHECKING:
    from tierqueue.router.policy.policy import Policy


def read_policy(path: str | None) -> tuple[Policy, str]:
    """The policy at ``path``, else of ``TIERQUEUE_POLICY``, and its path.

    Raises ``InvalidPolicy``.
    """
    from tierqueue.router.policy.policy import parse_policy
    from tierqueue.tasks.settings import PREFIX

    path = path or os.environ.get(f"{PREFIX}POLICY", "tierqueue.toml")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidPolicy(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidPolicy(
            f"cannot read the policy {path}: {error.strerror}. {PREFIX}POLICY says which file it is"
        ) from None
    return parse_policy(text, path), path


@click.group()
def policy() -> None:
    """Look at a policy file."""


@policy.command(epilog="Example: tierqueue policy check tierqueue.toml")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@json_option
def check(file: str | None, as_json: bool) -> None:
    """Check FILE (else TIERQUEUE_POLICY): exit 0 where it holds, 1 with what is wrong with it.

    A deployment whose model has no price is wrong too: nothing would ever be sent there.
    """
    from tierqueue.router.pricing import max_rate

    try:
        found, path = read_policy(file)
        today = datetime.now(UTC).date()
        for deployment in found.deployments.values():
            max_rate(deployment, today)
    except (InvalidPolicy, Unpriced) as error:
        if as_json:
            emit({"valid": False, "error": error.message, **error.fields})
        else:
            say(f"error: {error.message}", err=True)
        raise click.exceptions.Exit(1) from None
    deployments = found.deployments.values()
    if as_json:
        emit(
            {"valid": True, "policy": path, "digest": found.digest, "deployments": len(deployments)}
        )
        return
    say(f"{path} holds; its digest is {found.digest}")
    table(
        [
            *("deployment", "tier"),
            Column("engine", rank=2),
            "model",
            Column("boundary", rank=1),
            Column("key", rank=3),
        ],
        [
            (
                deployment.name + (" (simulated)" if deployment.simulated else ""),
                deployment.tier,
                deployment.engine,
                deployment.model,
                deployment.boundary,
                deployment.key_env,
            )
            for deployment in deployments
        ],
        empty="it has no deployment",
    )
