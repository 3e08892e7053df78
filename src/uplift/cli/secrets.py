"""``uplift secrets``: keep secrets in an age-encrypted file."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.table import Table

from uplift.cli.output import as_json, progress, results
from uplift.secrets import Secret, SecretRef, forget, resolve
from uplift.secrets.edit import edit as edit_store
from uplift.secrets.files import locked
from uplift.secrets.listing import entries, rekey, set_up
from uplift.secrets.providers import variable
from uplift.secrets.store import Store, check_name
from uplift.spec.errors import UsageError

_JSON = click.option("--json", "json_output", is_flag=True, help="Print JSON.")
_LAB = click.option("--lab", is_flag=True, help="The lab's secrets, which are made up.")


@click.group()
def secrets() -> None:
    """Keep secrets in secrets.age, encrypted for everyone in secrets.recipients.

    \b
    Group data refers to a secret by its name: secret("nexus/admin"). Its value comes from
      1. the environment variable UPLIFT_SECRET_NEXUS_ADMIN
      2. secrets.age in the project folder
      3. the command in uplift.toml (pass, op, vault, …)
    """


@secrets.command()
@_JSON
def init(json_output: bool) -> None:
    """Make a key, the list of who can read, and the file."""
    store = _store()
    with locked(store.folder, "secrets"):
        done = set_up(store)
    if json_output:
        as_json({"identity": str(done.identity), "readable": done.readable})
        return
    results.print(f"your key       {done.identity}{' (new)' if done.made_key else ''}")
    results.print(f"who can read   {store.recipients_path.name}")
    results.print(f"secrets        {store.path.name}{' (new)' if done.made_store else ''}")
    if done.made_key:
        results.print("Keep a copy of your key in a safe place: without it the secrets are lost.")
    if not done.readable:
        results.print(
            "You cannot read the secrets yet: commit secrets.recipients, and have someone who can "
            "run `uplift secrets rekey`."
        )


@secrets.command("set")
@click.argument("name")
def set_(name: str) -> None:
    """Store a secret; its value is asked for, or read from standard input."""
    check_name(name)
    store = _store()
    value = _read_value(name)
    with locked(store.folder, "secrets"):
        store.set(name, value)
    forget()
    progress.print(f"{name} is stored in {store.path.name}")


@secrets.command()
@click.argument("name")
@click.option("--show", is_flag=True, help="Print it even on a terminal.")
@_LAB
def get(name: str, show: bool, lab: bool) -> None:
    """Print a secret, wherever it comes from."""
    check_name(name)
    if sys.stdout.isatty() and not show:
        raise UsageError("this would show the secret on your screen: add --show if you want that")
    click.echo(resolve(SecretRef(secret=name, generate=lab)).reveal())


@secrets.command("list")
@_JSON
@_LAB
def list_(json_output: bool, lab: bool) -> None:
    """List names and where they come from; never values."""
    found = entries(Path.cwd(), lab=lab)
    if json_output:
        as_json([{"name": entry.name, "provider": entry.provider} for entry in found])
        return
    if not found:
        progress.print("no secrets yet: uplift secrets set NAME")
        return
    table = Table("name", "from", box=None)
    for entry in found:
        table.add_row(entry.name, entry.provider)
    results.print(table)


@secrets.command()
def edit() -> None:
    """Edit all secrets at once in $EDITOR."""

    def again(wrong: str) -> bool:
        if not sys.stdin.isatty():
            return False
        progress.print(wrong, markup=False)
        return click.confirm("Edit again?", default=True, err=True)

    changed = edit_store(_store(), again)
    progress.print("stored" if changed else "nothing was changed")


@secrets.command()
@click.argument("name")
def rm(name: str) -> None:
    """Remove a secret from secrets.age."""
    check_name(name)
    store = _store()
    with locked(store.folder, "secrets"):
        removed = store.remove(name)
    if not removed:
        raise UsageError(f"{store.path.name} has no secret {name!r}: see uplift secrets list")
    forget()
    progress.print(f"{name} is removed from {store.path.name}")


@secrets.command("rekey")
def rekey_() -> None:
    """Encrypt anew for everyone in secrets.recipients.

    Who was removed from the list can still read the versions in git: change those secrets.
    """
    store = _store()
    with locked(store.folder, "secrets"):
        count = rekey(store)
    progress.print(f"{store.path.name} can be read by {count} key{'' if count == 1 else 's'}")


def _store() -> Store:
    return Store(Path.cwd())


def _read_value(name: str) -> Secret:
    if sys.stdin.isatty():
        typed = click.prompt(name, hide_input=True, confirmation_prompt=True, err=True)
        return Secret(typed)
    value = sys.stdin.read().removesuffix("\n")
    if not value.strip():
        raise UsageError(
            f"standard input is empty: give the value of {name} there, or in {variable(name)}"
        )
    return Secret(value)
