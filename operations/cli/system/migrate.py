"""``tierqueue migrate``."""

import click

from tierqueue.operations.cli.input.ledger_access import settings
from tierqueue.operations.cli.output.printing import echo, emit, json_option


@click.command(epilog="Example: TIERQUEUE_LEDGER_URL=sqlite:///ledger.db tierqueue migrate")
@json_option
def migrate(as_json: bool) -> None:
    """Bring the ledger's tables up to date; a ledger that is up to date is left alone."""
    from tierqueue.migrations import upgrade
    from tierqueue.router.errors import Misconfigured

    url = settings().ledger_url
    if url is None:
        raise Misconfigured("TIERQUEUE_LEDGER_URL is not set")
    revision = upgrade(url)
    if as_json:
        emit({"revision": revision})
    else:
        echo(f"the ledger is at revision {revision}")
