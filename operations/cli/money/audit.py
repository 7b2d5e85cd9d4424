"""``tierqueue audit``: the proof that the books balance."""

from dataclasses import asdict

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.policies import simulated_known
from tierqueue.operations.cli.output.printing import echo, emit, json_option, record, table
from tierqueue.operations.cli.output.simulated import say_among
from tierqueue.router.money import format_usd


@click.command(epilog="Example: tierqueue audit || page the person on call")
@json_option
def audit(as_json: bool) -> None:
    """Prove that the books balance: exit 0 where they do, 1 where a figure is not its sum."""
    from tierqueue.ledger.accounting import audit as books

    with open_ledger() as ledger, ledger.read() as connection:
        wrong = books.audit(connection)
        names = simulated_known(connection) if wrong else frozenset()
    if as_json:
        emit(
            {
                "balanced": not wrong,
                "simulated": bool(names),
                "discrepancies": [
                    record(asdict(discrepancy), money=("stands", "should_be"))
                    for discrepancy in wrong
                ],
            }
        )
    elif not wrong:
        echo("the books balance")
    else:
        rows = [
            (
                discrepancy.what,
                discrepancy.name,
                format_usd(discrepancy.stands),
                format_usd(discrepancy.should_be),
            )
            for discrepancy in wrong
        ]
        table(["figure", "of", "stands>", "should be>"], rows)
        say_among(names)
    if wrong:
        raise click.exceptions.Exit(1)
