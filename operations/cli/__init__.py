"""The command ``tierqueue``: each group of commands is a file here, loaded when it is called.

Exit codes: 0 yes, 1 no (a check that failed, a job that did not end well), 2 it could not be done.
"""

import importlib
import io
import sys
from typing import Any

import click

from tierqueue.operations.cli.output.printing import echo
from tierqueue.router.errors import TierqueueError
from tierqueue.tasks import collector

_COMMANDS = {
    "actions": ("system.actions", "What operators did to items, jobs and tiers, and when"),
    "audit": ("money.audit", "Prove that the books balance"),
    "audit-spend": (
        "evaluation.audit_spend",
        "Work that a cheaper tier passes, and what that saves",
    ),
    "batch": ("work.batch", "What is in batches at providers, and what came back: list, show"),
    "ceilings": ("money.ceilings", "What may be spent, and what is: list, set, raise, history"),
    "concurrency": ("system.concurrency", "A tier's calls in flight"),
    "dead-letters": ("work.dead_letters", "What ended without an answer, and the way back"),
    "doctor": ("system.health", "What is wrong, in plain words, and what to do"),
    "erase": ("work.erase", "Payloads and answers of items, gone everywhere"),
    "eval": (
        "evaluation.evaluate",
        "A labelled set on every tier and the ladder: how often right",
    ),
    "feedback": ("evaluation.feedback", "Whether an item's answer was right, and what would be"),
    "flower": ("system.flower", "Watch workers, queues and items in a browser"),
    "health": ("system.health", "Whether work gets on, for scripts and health checks"),
    "item": ("work.item", "One work item and its attempts"),
    "job": ("jobs.job", "Files of work: submit, watch, results, cancel"),
    "limits": ("system.limits", "What deployments may be asked for: show, set, unset"),
    "migrate": ("system.migrate", "Bring the ledger's tables up to date"),
    "pause": ("work.pause", "Hold back a tier, a task type, a budget or a job"),
    "policy": ("system.policy_versions", "What policy is in force: check, replay, apply, rollback"),
    "prompts": ("evaluation.prompts", "Two prompts of a task type, side by side on live traffic"),
    "quote": ("money.quote", "What a file of work would cost, before anything runs"),
    "raw-messages": ("work.raw_messages", "Messages nobody could read: list, show, discard"),
    "reconcile": ("money.reconcile", "The books against a provider's usage export"),
    "resume": ("work.pause", "Let what was paused go on"),
    "review": (
        "evaluation.review",
        "What no tier was sure of, for a person: list, accept, correct",
    ),
    "route": ("work.route", "Where an item would go, and why"),
    "router": ("evaluation.router", "Rules and surrogates: trained, certified, listed, taken out"),
    "schedule": ("system.schedule", "Work that comes again: add, list, show, pause, remove, run"),
    "status": ("system.status", "What is ready, runs and waits, and how fast it goes: one screen"),
    "spend": ("money.spend", "What was spent, by tier, deployment, task type, budget, job, day"),
    "top": ("system.status", "The screen of status, refreshed until you quit"),
    "why": ("work.why", "Why one item went where it went, in plain words"),
    "worker": ("system.worker", "Start a tier's worker, or the routing stage"),
}


class Commands(click.Group):
    """A group that imports a command's file when the command is called, and not before.

    The signatures are click's.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click looks for what is near among commands that are loaded.
            name = error.command_name
            raise click.NoSuchCommand(name, possibilities=_COMMANDS, ctx=ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name][0]}")
        # One that Python has a name for already ends in a line of its own.
        name = cmd_name.replace("-", "_")
        found: click.Command = getattr(module, name, None) or getattr(module, f"{name}_")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in sorted(_COMMANDS.items())])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: tierqueue job submit tickets.csv --task tierqueue.classify --column text"
    " --set labels=billing,login --max-cost 2usd --watch",
)
@click.version_option(package_name="tierqueue", prog_name="tierqueue")
def root() -> None:
    """Route AI work to the cheapest tier that is good enough, within its ceilings.

    Settings come from the environment: TIERQUEUE_LEDGER_URL, TIERQUEUE_BROKER_URL,
    TIERQUEUE_POLICY.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit; what goes wrong is one line on stderr, never a traceback."""
    collector.rarely()
    collector.not_at_the_end()
    log_to_stderr()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever the locale cannot write
    try:
        status: Any = root.main(arguments, prog_name="tierqueue", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        echo(*shown.getvalue().rstrip("\n").expandtabs(2).split("\n"), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        echo("interrupted", err=True)
        sys.exit(130)
    except TierqueueError as error:
        _complain(error.message)
    except BrokenPipeError:
        # Whoever read our lines has closed: nothing more can be said, and nothing went wrong.
        sys.stderr.close()
        sys.exit(0)
    except UnicodeEncodeError:
        # Only what was typed is said again: another text may be a prompt or an answer.
        typed = sys.argv[1:] if arguments is None else arguments
        odd = next((word for word in typed if not _is_utf8(word)), None)
        if odd is None:
            raise
        _complain(f"{odd!r} is not text: the ledger holds UTF-8 alone")
    except Exception as error:
        from tierqueue.operations.cli.input.ledger_access import ledger_complaint

        complaint = ledger_complaint(error) or _of_a_file(error)
        if complaint is None:
            raise
        _complain(complaint)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def log_to_stderr() -> None:
    """Log lines go to stderr: what scripts read stands alone on stdout."""
    import structlog

    structlog.reset_defaults()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _complain(message: str) -> None:
    echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _is_utf8(word: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _of_a_file(error: Exception) -> str | None:
    """One line for a file that cannot be read or written; ``None`` for other errors."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    return f"{error.filename}: {error.strerror}"
