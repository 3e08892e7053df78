"""The ``uplift`` command: its subcommands are loaded only when they are called."""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import click

from uplift.cli.output import close, error
from uplift.spec.base import near_miss
from uplift.spec.errors import Exit, UpliftError

# name: (module:attribute, one line of help). Help stands here so that `uplift --help`
# does not import every subject.
COMMANDS = {
    "abort": ("uplift.cli.abort:abort", "End a run that was held or killed."),
    "approve": ("uplift.cli.approve:approve", "Let a run go on that waits for a person."),
    "doctor": ("uplift.cli.doctor:doctor", "Check what hosts and controller need, say what to do."),
    "exec": ("uplift.cli.apps:execute", "Run a command in an application's container."),
    "history": ("uplift.cli.history:history", "List the runs of this project."),
    "images": ("uplift.cli.images:images", "List what was built, and which hosts run it."),
    "drift": ("uplift.cli.status:drift", "Say where hosts are not as their settings say."),
    "init": ("uplift.cli.init:init", "Write a commented project of your own."),
    "lab": ("uplift.cli.lab:lab", "Real hosts on this machine to try everything on."),
    "lock": (
        "uplift.cli.lock:lock",
        "See who has the hosts, hold or free them.",
    ),
    "logs": ("uplift.cli.apps:logs", "Print what an application has printed."),
    "plan": ("uplift.cli.plan:plan", "Say what a run would change, before it does."),
    "publish": ("uplift.cli.publish:publish", "Publish packages to the repositories of an index."),
    "remove": ("uplift.cli.apps:remove", "Take an application off its hosts."),
    "resume": ("uplift.cli.resume:resume", "Go on with a run that was held or killed."),
    "rollback": (
        "uplift.cli.rollback:rollback",
        "Take an application back to a release.",
    ),
    "rollout": ("uplift.cli.rollout:rollout", "Change hosts wave by wave, with tests in between."),
    "secrets": ("uplift.cli.secrets:secrets", "Keep secrets in an age-encrypted file."),
    "show": ("uplift.cli.history:show", "Show what a run did."),
    "status": ("uplift.cli.status:status", "Say what runs where."),
    "verify": ("uplift.cli.verify:verify", "Check the hosts of an inventory from the outside."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            guess = near_miss(args[0], COMMANDS)
            ctx.fail(
                f"no such command {args[0]!r}." + (f" Did you mean {guess!r}?" if guess else "")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pyinfra-uplift", prog_name="uplift")
def cli() -> None:
    """Move Python stacks from pip and Poetry to uv on real hosts, and back.

    Deploys stay pyinfra's: pyinfra inventories/prod.py deploys/site.py

    \b
    Exit codes: 0 done · 1 failed · 2 changes are pending · 3 hosts differ or one could
    not be reached · 4 another run holds the lock · 5 stale plan or run
    64 wrong usage or settings · 130 interrupted
    """


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        args: words after ``uplift``; those of the process when left out.
    """
    try:
        result: Any = cli.main(args=args, prog_name="uplift", standalone_mode=False)
    except click.UsageError as wrong:
        wrong.show()
        return Exit.USAGE
    except click.ClickException as failed:
        failed.show()
        return Exit.FAILED
    except (click.Abort, KeyboardInterrupt):
        error("interrupted")
        return Exit.INTERRUPTED
    except UpliftError as failed:
        error(str(failed))
        return failed.exit_code
    return int(result) if isinstance(result, int) else Exit.DONE


def main() -> NoReturn:
    """Run ``uplift`` as a console script."""
    code = run()
    close()
    sys.exit(code)
