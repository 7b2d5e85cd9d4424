"""``tierqueue policy apply``, ``history`` and ``rollback``: which policy is in force."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.operator import by_option, operator, reason_option
from tierqueue.operations.cli.input.policies import policy_path, simulated_known
from tierqueue.operations.cli.output.escapes import visible
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    paragraph,
    table,
)
from tierqueue.operations.cli.system.policy import (
    be_usable,
    notes_of,
    policy,
    print_notes,
    relative_files,
)
from tierqueue.operations.cli.system.policy_trial import print_replayed, replayed_dict, through
from tierqueue.router.errors import InvalidPolicy

if TYPE_CHECKING:
    from tierqueue.ledger.in_force.policies import AppliedPolicy
    from tierqueue.ledger.session import Ledger, Transaction
    from tierqueue.router.policy.policy import Policy

_MOST = 1_000_000
"""Characters of a policy that the ledger takes."""

_RULE = (
    "what was applied last is in force, whatever file a process was started with; where nothing was"
    " ever applied, the file of the routing stage that started last"
)

_since = click.option(
    "--since", default="7d", show_default=True, help="Tried on items of the last 24h, 7d, …"
)
_dry_run = click.option("--dry-run", is_flag=True, help="Show it all, and put nothing in force.")


@policy.command(
    epilog="Example: tierqueue policy apply tierqueue.toml --reason 'a floor for refunds'"
)
@click.argument("file", type=click.Path(dir_okay=False))
@reason_option
@by_option
@_since
@_dry_run
@json_option
def apply(
    file: str, reason: str | None, by: str | None, since: str, dry_run: bool, as_json: bool
) -> None:
    """Put the policy FILE in force, for all processes and without a restart.

    It is checked as `policy check` does; what it changes is shown, and what it would have done
    with recorded items. From then on the ledger's policy is in force, and no file.
    """
    from tierqueue.tasks.settings import folder_of, read_policy_text

    path = policy_path(file)
    text = read_policy_text(Path(path))
    with open_ledger() as ledger:
        _put(
            ledger,
            text,
            path,
            folder_of(Path(path)),
            reason,
            by or operator(),
            since,
            dry_run=dry_run,
            as_json=as_json,
        )


@policy.command(epilog="Example: tierqueue policy rollback --reason 'too many refusals'")
@click.argument("version", required=False, type=click.IntRange(1, 10**9))
@reason_option
@by_option
@_since
@_dry_run
@json_option
def rollback(
    version: int | None,
    reason: str | None,
    by: str | None,
    since: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put back VERSION of `policy history`, else the last one that was another.

    The first version is the file that was in force before anything was applied, where it was at
    hand then.
    It becomes a version of its own: nothing is taken out of the history.
    """
    from tierqueue.ledger.in_force import policies, policy_versions
    from tierqueue.tasks.settings import read_settings

    with open_ledger() as ledger:
        with ledger.read() as connection:
            last = policies.applied(connection)
            if last is None:
                raise InvalidPolicy(f"no policy was ever applied: {_RULE}")
            back = (
                policy_versions.before(connection, last)
                if version is None
                else policy_versions.version(connection, version)
            )
        if back is None and version is None:
            raise InvalidPolicy("no other policy was applied before: apply the file that is meant")
        if back is None:
            raise InvalidPolicy(f"there is no version {version}: the last one is {last.id}")
        why = reason or f"back to version {back.id}"
        name = f"version {back.id} of the policy"
        _put(
            ledger,
            back.text,
            name,
            read_settings().policy_folder,
            why,
            by or operator(),
            since,
            dry_run=dry_run,
            as_json=as_json,
        )


@policy.command(epilog="Example: tierqueue policy history --limit 5")
@click.argument("version", required=False, type=click.IntRange(1, 10**9))
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def history(version: int | None, limit: int, as_json: bool) -> None:
    """What was applied, the newest first; with VERSION, the text of that one."""
    from tierqueue.ledger.in_force import policies, policy_versions

    with open_ledger() as ledger, ledger.read() as connection:
        in_force = policies.in_force(connection)
        found = policy_versions.history(connection, limit)
        one = None if version is None else policy_versions.version(connection, version)
    if version is not None:
        if one is None:
            raise InvalidPolicy(f"there is no version {version}: see `tierqueue policy history`")
        if as_json:
            emit({**_record(one), "text": one.text})
        else:
            echo(*(visible(line) for line in one.text.splitlines()))
        return
    if as_json:
        emit({"in_force": in_force, "versions": [_record(applied) for applied in found]})
        return
    table(
        ["version", "at", "by", "digest", Column("why", rank=1, long=True)],
        [(str(one.id), moment(one.at), one.by, one.digest, one.reason or "") for one in found],
        empty="no policy was ever applied",
    )
    paragraph(
        "", f"in force: {in_force or 'none, no routing stage has started yet'}. The rule: {_RULE}"
    )


def _record(applied: AppliedPolicy) -> dict[str, Any]:
    return {
        "version": applied.id,
        "at_epoch_us": applied.at,
        "by": applied.by,
        "digest": applied.digest,
        "reason": applied.reason,
    }


def _put(
    ledger: Ledger,
    text: str,
    name: str,
    folder: str,
    reason: str | None,
    by: str,
    since: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from tierqueue.ledger.ceilings import books
    from tierqueue.ledger.in_force import policy_versions
    from tierqueue.ledger.session import now as database_now
    from tierqueue.router.policy.policy import parse_policy

    if len(text) > _MOST:
        raise InvalidPolicy(f"{name} has more than {_MOST:,} characters")
    found = parse_policy(text, name, folder)
    be_usable(found, name)
    notes = [*notes_of(found), *_relative(found, name)]
    with ledger.read() as connection:
        before = _in_force(connection)
        outcome = through(connection, found, since)
        names = simulated_known(connection) | found.simulated
    changes = (
        None if before is None else list(unified_diff(*_lines(before, text), n=1, lineterm=""))
    )
    applied = None
    if not dry_run:
        with ledger.write() as connection:
            if before is not None and before != text:
                policy_versions.record_file(connection, before, by=by)
            books.seed(connection, found.ceilings, database_now(connection))
            applied = policy_versions.apply(connection, found, text, by=by, reason=reason)
    if as_json:
        said = {"digest": found.digest, "version": applied.id if applied else None}
        emit(
            {**said, "difference": changes, "replay": replayed_dict(outcome, names), "notes": notes}
        )
        return
    if changes is None:
        echo(
            "what it changes cannot be shown, nor be rolled back: the text of the policy in force"
            " is not here"
        )
    else:
        echo(*(visible(line) for line in changes[2:] or ["it says what the policy in force says"]))
    print_replayed(outcome, 0, names)
    print_notes(notes)
    if applied is None:
        echo(f"{name} was not put in force: this was a dry run")
    else:
        echo(f"version {applied.id} is in force; its digest is {applied.digest}")


def _relative(found: Policy, name: str) -> Iterator[str]:
    """What is to be known of files that a policy names by a relative path, which every process
    looks for beside its own policy file. Raises ``InvalidPolicy`` where even here that is another
    folder than the one they were found in.
    """
    if not (files := relative_files(found)):
        return
    listed = ", ".join(f"{key} = {file!r}" for key, file in files.items())
    places = ", ".join(map(found.place_of, files.values()))
    from tierqueue.tasks.settings import read_settings

    if found.folder != (own := read_settings().policy_folder):
        raise InvalidPolicy(
            f"{name}: {listed}: once it is applied every process looks for such files beside its"
            f" own policy file (here {own}), and they are in {found.folder}: name {places}"
        )
    yield f"{listed}: every process looks beside its own policy file, here for {places}"


def _in_force(connection: Transaction) -> str | None:
    """The text of the policy in force; ``None`` where that is a file which is not here."""
    from tierqueue.ledger.in_force import policies
    from tierqueue.router.policy.policy import digest_of
    from tierqueue.tasks.settings import read_policy_text

    if (applied := policies.applied(connection)) is not None:
        return applied.text
    try:
        text = read_policy_text(Path(policy_path(None)))
    except InvalidPolicy:
        return None
    return text if policies.in_force(connection) in (None, digest_of(text)) else None


def _lines(before: str, after: str) -> tuple[list[str], list[str]]:
    return before.splitlines(), after.splitlines()
