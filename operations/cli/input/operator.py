"""The operator who acts, by name, and the reason, for the record."""

import getpass

import click

by_option = click.option(
    "--by", help="Who does this, for the record; else the user of this process."
)
reason_option = click.option("--reason", help="Why, for the record.")


def operator() -> str:
    """Who does this, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody without a user name"
