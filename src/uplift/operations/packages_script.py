"""Send files to a host and publish them there, each by the client that its format has."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts.script import HiddenInput
from uplift.spec.packages import Artifact, Packages, Repository
from uplift.spec.packages.pages import words
from uplift.spec.packages.served import file_config, raw_path
from uplift.spec.secret import Secret

LIMIT = 900
"""Seconds for one file."""

# Standard input: the size of the archive, the archive with all files, a line for each file with
# its repository and its credentials, "end". Credentials live in this shell, in the environment of
# one uv, and in pipes: in no file and in no argument. What a client runs for itself (scripts of a
# package, a keyring, a proxy, a cache of another user) is switched off.
PUBLISH = r"""
export LC_ALL=C NO_PROXY='*' no_proxy='*'
umask 077
PATH=$PATH:/usr/local/bin
tmp=$(mktemp -d /var/tmp/uplift-publish.XXXXXXXXXX) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 129' HUP INT TERM PIPE
export HOME="$tmp" TMPDIR="$tmp" XDG_CONFIG_HOME="$tmp/config" XDG_CACHE_HOME="$tmp/cache"
bundle=/etc/ssl/certs/ca-certificates.crt
[ ! -f "$bundle" ] || export NODE_EXTRA_CA_CERTS="$bundle"
plain() { printf %s "$1" | base64 -d; }
by_uv() (
  UV_PUBLISH_USERNAME=$(plain "$3"); UV_PUBLISH_PASSWORD=$(plain "$4")
  export UV_PUBLISH_USERNAME UV_PUBLISH_PASSWORD UV_SYSTEM_CERTS=1 UV_NO_PROGRESS=1
  export UV_KEYRING_PROVIDER=disabled
  unset UV_PUBLISH_TOKEN UV_PUBLISH_INDEX UV_PUBLISH_CHECK_URL
  exec timeout "$limit" uv publish --no-cache --trusted-publishing never \
    --publish-url "$2" "./$1" </dev/null
)
by_npm() {
  plain "$4" | timeout "$limit" npm publish "./$1" --registry "$2" --userconfig /dev/stdin \
    --tag "$3" --ignore-scripts --cache "$tmp/npm" --logs-max 0 --no-update-notifier \
    --no-audit --no-fund --loglevel error --no-progress
}
by_curl() {
  { plain "$4"; printf 'upload-file = "./%s"\nfail-with-body\n' "$1"; } |
    timeout "$limit" curl -q --config -
}
limit=$1
IFS= read -r size || exit 1
head -c "$size" | base64 -d | tar -x -f - -C "$tmp" || { echo "the files did not arrive"; exit 1; }
cd "$tmp" || exit 1
whole=0
while IFS=' ' read -r client file url more secret; do
  if [ "$client" = end ]; then whole=1; break; fi
  said=$("by_$client" "$file" "$url" "$more" "$secret" 2>&1); code=$?
  printf 'done %s %s\n' "$code" "$(printf %s "$said" | tail -c 20000 | base64 -w 0)"
  [ "$code" = 0 ] || break
done
cat >/dev/null
echo "end $whole"
""".strip()
"""``PUBLISH LIMIT``"""

_CLIENTS = {"pypi": "uv", "npm": "npm", "raw": "curl"}
_PIECE = 60_000
"""Bytes in a line of base64; the remote end reads it while the next is made."""


@dataclass(frozen=True)
class Sending:
    """What a client said about one file.

    Args:
        code: its exit code.
        said: the end of its words, on one line.
    """

    code: int
    said: str


def client(repository: Repository) -> str:
    """Return which program publishes to a repository."""
    return _CLIENTS[repository.format]


def script_input(
    settings: Packages, artifacts: Sequence[Artifact], passwords: Mapping[str, Secret]
) -> HiddenInput:
    """Return what the script reads: files, then credentials.

    Args:
        settings: the block.
        artifacts: files to publish, in this order.
        passwords: of each repository.
    """
    archive = _archive(artifacts)
    pieces = [archive[at : at + _PIECE] for at in range(0, len(archive), _PIECE)]
    coded = [base64.b64encode(piece).decode() + "\n" for piece in pieces]
    lines = [
        _line(settings.repositories[one.repository], one, passwords[one.repository], number)
        for number, one in enumerate(artifacts)
    ]
    size = sum(len(piece) for piece in coded)
    return HiddenInput([f"{size}\n", *coded, *lines, "end\n"])


def _archive(artifacts: Iterable[Artifact]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number, one in enumerate(artifacts):
            # A folder for each: names are the same in two repositories, and uv reads them.
            member = tarfile.TarInfo(f"{number}/{one.file}")
            member.size = one.size
            with one.path.open("rb") as content:
                archive.addfile(member, content)
    return packed.getvalue()


def _line(repository: Repository, artifact: Artifact, password: Secret, number: int) -> str:
    login = f"{repository.username}:{password.reveal()}"
    if repository.format == "pypi":
        more, secret = _coded(repository.username), password.reveal()
    elif repository.format == "npm":
        scope = repository.url.partition(":")[2]
        more, secret = artifact.tag, f"{scope}:_auth={_coded(login)}\n"
    else:
        more, secret = "-", _put(repository, password, artifact)
    where = f"{number}/{artifact.file}"
    return f"{client(repository)} {where} {repository.url} {more} {_coded(secret)}\n"


def _put(repository: Repository, password: Secret, artifact: Artifact) -> str:
    path = raw_path(repository, artifact)
    return file_config(repository, password, path, method="PUT") + "\n"


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Publish(FactBase[tuple[Sending, ...] | None]):
    """Publish files and return what the clients said; it ends with the first that fails.

    No fact, but run as one: pyinfra gives an operation's command no way to return its output.
    The input holds credentials: run it by ``uplift.facts.script.read_quietly``.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self) -> StringCommand:
        """Return the one command."""
        return StringCommand("sh", "-c", QuoteString(PUBLISH), "uplift", str(LIMIT))

    def process(self, output: Iterable[str]) -> tuple[Sending, ...]:
        """Turn the lines of the script into a value."""
        return understood(output)


def understood(output: Iterable[str]) -> tuple[Sending, ...]:
    """Return what the lines of the script say, one for each file that was tried.

    Args:
        output: all of them.

    Raises:
        FactProcessError: they were cut off.
    """
    lines = [line.split(" ") for line in output]
    sendings = tuple(_sending(line) for line in lines if line[0] == "done")
    failed = any(one.code for one in sendings)
    if not lines or lines[-1][0] != "end" or (lines[-1] != ["end", "1"] and not failed):
        msg = "the files did not all arrive at the host: run again"
        raise FactProcessError(msg)
    return sendings


def _sending(line: Sequence[str]) -> Sending:
    said = base64.b64decode(line[2]).decode(errors="replace")
    return Sending(int(line[1]), words(said))
