"""Remove containers and images, and tell what nobody names any more."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Sequence
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.api.state import State as Run
from pyinfra.context import host

from uplift.controller import has_inventory, inventory
from uplift.facts.container import Releases
from uplift.facts.script import read, tell
from uplift.operations import job, script
from uplift.spec.app.owner import Owner
from uplift.spec.container.kept import Kept, surplus
from uplift.spec.container.models import SECRETS, Container
from uplift.spec.container.state import STATE
from uplift.spec.rollout.event import Kind

_NAMED: WeakKeyDictionary[Run, dict[str, set[str]]] = WeakKeyDictionary()
"""Containers that operations of a run of pyinfra have named, by host."""


def remember_names(containers: Iterable[Container]) -> None:
    """Note that the settings of this host name these containers.

    Args:
        containers: as they shall be.
    """
    names = _NAMED.setdefault(host.state, {}).setdefault(host.name, set())
    names.update(it.name for it in containers)
    tell(host, Kind.NAMED, names=sorted(names))


@operation()
def orphans_listed() -> Generator[StringCommand, None, None]:
    """Name the containers that this tool made and no operation of this run has named.

    To be the last of a run that has everything which the host shall have, as deploys/site.py. They
    are left as they are: their settings may only have been moved. An application that was deployed
    from another inventory of the project is told apart, and its containers are not nobody's.

    **Example:**

    .. code:: python

        container.orphans_listed(name="Containers that no settings name")
    """
    host.noop("they are listed, and left as they are")
    # While pyinfra only looks, an operation before may not have come to its containers yet.
    kept = read(host, Releases) if host.state.is_executing else None
    named = _NAMED.get(host.state, {}).get(host.name, set())
    others: dict[Owner, list[str]] = {}
    for name, own in sorted(kept.managed.items() if kept else ()):
        if kept is None or own in named:
            continue
        owner = kept.owners.get(kept.subjects.get(name, ""))
        if owner and owner.elsewhere(inventory(), has_inventory):
            others.setdefault(owner, []).append(name)
            continue
        host.log(
            f"{name}: made by uplift, and no settings of this host name it; left as it is: "
            f"{_remedy(name, owner)}",
            log_func=logger.warning,
        )
    for owner, names in others.items():
        host.log(f"{owner.app} ({', '.join(names)}): {owner.by} deployed it from {owner.inventory}")
    yield from ()


def _remedy(name: str, owner: Owner | None) -> str:
    if owner is None:
        return f"container.absent or docker rm -f {name}"
    whence = f" ({owner.by} deployed it from {owner.inventory})" if owner.inventory else ""
    return f"uplift remove {inventory() or 'INVENTORY'} {owner.app}{whence}"


@operation()
def absent(
    containers: Sequence[str], volumes: Sequence[str] = (), delete_data: bool = False
) -> Generator[StringCommand, None, None]:
    """Remove containers with their secret files, and volumes when that is confirmed.

    + containers: names
    + volumes: names of volumes that go with them
    + delete_data: must be True when volumes are named: nothing brings them back; then the copies
      go too that were made of the data before replacements

    **Example:**

    .. code:: python

        container.absent(name="No cache", containers=["cache"])
    """
    if volumes and not delete_data:
        yield script.refuse(
            f"containers: removing {', '.join(volumes)} deletes data: set delete_data to True",
            code=64,
        )
        return
    kept = read(host, Releases)
    if kept is None:
        return
    if reason := _unready(kept):
        yield script.refuse(reason)
        return
    gone = [name for name in containers if name in kept.containers | kept.folders]
    empty = [name for name in volumes if name in kept.volumes]
    if not gone and not empty:
        host.noop("these containers are absent")
        return
    told = f"removed: {', '.join([*gone, *empty])}"
    script.announce(told, removes=(*gone, *empty))
    text = _removal(gone, empty, delete_data=delete_data)
    yield job.start(job.identity("container", text, repr(kept)), text)
    script.changed(told)


@operation()
def pruned(containers: Sequence[Container]) -> Generator[StringCommand, None, None]:
    """Remove images of old releases of these containers.

    + containers: as they are; ``keep.images`` says how many good releases stay of each

    What a container has, running or stopped, stays whatever its age, and so do the images of the
    last good releases of every other container.

    **Example:**

    .. code:: python

        container.pruned(name="Old images", containers=[redis])
    """
    kept = read(host, Releases)
    if kept is None:
        return
    if reason := _unready(kept):
        yield script.refuse(reason)
        return
    images = surplus(containers, kept)
    if not images:
        host.noop("no image is left over")
        return
    told = f"removed {len(images)} images of old releases"
    script.announce(told, removes=images)
    yield script.run(_PRUNE, *images, timeout=600)
    script.changed(told)


def _unready(kept: Kept) -> str:
    if not kept.docker:
        return "containers: there is no Docker Engine that answers on this host"
    return f"containers: {kept.busy} is still at work: run again" if kept.busy else ""


# All names of an image in one command: the last one takes it away, and an image without a name
# goes by its id. Never with force: what a container has come to use in the meantime stays.
_PRUNE = r"""
for id do
  names=$(docker image inspect --format '{{join .RepoTags " "}} {{join .RepoDigests " "}}' "$id") ||
    exit 1
  docker rmi ${names:-"$id"} >/dev/null || exit 1
done
"""


# A volume that somebody else has is found before anything is removed. What an interrupted
# replacement left goes too. The container goes last: until then the next run finds it again.
_REMOVAL = r"""
set -eu
umask 077
mkdir -p "@state@"
# That the daemon does not answer is no proof.
there() {
  said=$(docker inspect --type container --format '{{.Id}}' "$1" 2>&1) && return
  case $said in *[Nn]"o such"*) return 1 ;; esac
  printf 'uplift: %s\n' "$said"; exit 1
}
for volume in $volumes; do
  users=$(docker ps -a --filter "volume=$volume" --format '{{.Names}}')
  for user in $users; do
    case " $names " in *" ${user%--*} "*|*" $user "*) continue ;; esac
    echo "uplift: volume $volume is used by $user: nothing was removed"; exit 1
  done
done
for name in $names; do
  dir=@state@/$name
  mkdir -p "$dir"
  exec 8>"$dir/lock"
  flock -w 300 8 || { echo "uplift: $name: another change of this container runs"; exit 1; }
  others=
  [ ! -s "$dir/journal" ] || others="$name--next $name--previous"
  for one in $others "$name"; do
    there "$one" || continue
    docker update --restart=no "$one" >/dev/null
    [ "$(docker inspect --format '{{.State.Status}}' "$one")" != paused ] ||
      docker unpause "$one" >/dev/null
    docker stop "$one" >/dev/null 8>&-
  done
  if [ -n "$delete_data" ] && [ -e "$dir/copies" ]; then
    cut -f 2 "$dir/copies" | while read -r copy; do
      folder=${copy%/*/*}
      case $folder in */uplift-copies/"$name"|*/.uplift-copies/"$name") rm -rf "$folder" ;; esac
    done
  fi
  rm -rf "@secrets@/$name" "@secrets@/$name--previous"
  for one in $others "$name"; do
    ! there "$one" || docker rm "$one"
  done
  rm -rf "$dir"
done
for volume in $volumes; do docker volume rm "$volume"; done
"""


def _removal(containers: Sequence[str], volumes: Sequence[str], *, delete_data: bool) -> str:
    text = _REMOVAL.replace("@state@", STATE).replace("@secrets@", SECRETS)
    return "".join(
        [
            f"names={shlex.quote(' '.join(containers))}\n",
            f"volumes={shlex.quote(' '.join(volumes))}\n",
            f"delete_data={'yes' if delete_data else ''}\n",
            text,
        ]
    )
