"""Client files on a real host: written once, repaired when they drift, left alone when broken."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.leaks import Watch, Words

from uplift.spec.secret import secret

SCRIPTS = Path(sys.executable).parent
DEPLOY = Path(__file__).parents[2] / "deploys/clients.py"
RUN_LIMIT = 120
USERS = ("anna", "ben")
RECORD = "/var/lib/uplift/clients.json"
TEMPORARY = "find /home /etc /var/lib/uplift -name '*.uplift-??????????'"
REGISTRY = "https://nexus.example.com/repository/npm-group/"
SIMPLE = "https://nexus.example.com/repository/pypi-group/simple"
LOGIN = {"username": "deployer", "password": secret("nexus/deployer")}

Ssh = Callable[..., subprocess.CompletedProcess[str]]


def files_of(user: str) -> dict[str, Any]:
    """Settings with every kind of file that a user can have."""
    return {
        "user": user,
        "netrc": [
            {"machine": "nexus.example.com", "login": "deployer", "password": LOGIN["password"]}
        ],
        "npmrc": {
            "registry": REGISTRY,
            "scopes": {"@corp": REGISTRY},
            "auth": [{"url": REGISTRY, **LOGIN}],
        },
        "pip": {"index_url": SIMPLE, "timeout": 7},
        "pypirc": {"servers": [{"name": "nexus", "repository": REGISTRY, **LOGIN}]},
        "docker": {"auths": [{"registry": "nexus.example.com:5000", **LOGIN}]},
    }


def settings(*users: str) -> dict[str, Any]:
    """The block ``clients`` with files of these users and of the host."""
    return {
        "users": [files_of(user) for user in users],
        "uv": {"index": [{"name": "corp", "url": SIMPLE, "default": True}], "system_certs": True},
        "pip": {"index_url": SIMPLE},
    }


PATHS = (".netrc", ".npmrc", ".config/pip/pip.conf", ".pypirc", ".docker/config.json")
ALL = tuple(f"/home/{user}/{path}" for user in USERS for path in PATHS)
HOST_FILES = ("/etc/pip.conf", "/etc/uv/uv.toml")


@dataclass
class Box:
    """One host of the lab, with a project folder that has only it."""

    name: str
    folder: Path
    connection: dict[str, Any]
    ssh: Ssh
    environment: dict[str, str]

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a command as root on the host."""
        code = base64.b64encode(command.encode()).decode()
        return self.ssh(self.name, f"echo {code} | base64 -d | sudo sh", check=check).stdout

    def add(self, users: Sequence[str]) -> None:
        """Make users with an empty home."""
        self.sh(f"for user in {' '.join(users)}; do useradd -m -k /var/empty $user; done")

    def inventory(self, block: dict[str, Any]) -> None:
        """Write the inventory: the host with these settings."""
        data = {**self.connection, "_sudo": True, "clients": block}
        (self.folder / "inventory.py").write_text(f"hosts = [({self.name!r}, {data!r})]\n")

    def words(self, *options: str) -> list[str]:
        """Return the command line of a run."""
        return [str(SCRIPTS / "pyinfra"), "inventory.py", str(DEPLOY), "-y", *options]

    def run(
        self, block: dict[str, Any], *options: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the deploy with these settings."""
        self.inventory(block)
        return subprocess.run(
            self.words(*options),
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT,
            check=False,
        )

    @contextlib.contextmanager
    def started(self, block: dict[str, Any], **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Start the deploy with these settings; it is killed when it still runs at the end."""
        self.inventory(block)
        process = subprocess.Popen(
            self.words(), cwd=self.folder, env={**self.environment, **variables}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                process.kill()

    def sees(self, condition: str) -> bool:
        """Wait for up to half a minute until a command on the host succeeds."""
        said = self.sh(
            f"i=0; until {condition} >/dev/null 2>&1; do i=$((i+1)); "
            "[ $i -lt 600 ] || exit 0; sleep 0.05; done; echo seen"
        )
        return said == "seen\n"

    def applied(self, block: dict[str, Any], *, changed: bool, **variables: str) -> str:
        """Run the deploy, check that it succeeds and whether it changed anything."""
        done = self.run(block, "--json", **variables)
        assert done.returncode == 0, done.stderr
        totals = json.loads(done.stdout)["results"]["totals"]
        assert (totals["success"] > 0) == changed, done.stderr
        return done.stderr

    def read(self, paths: Sequence[str]) -> dict[str, str]:
        """Return mode, owner and content of those files that are there."""
        lines = [
            f'[ ! -e {path} ] || echo "{path} $(stat -c "%a %U:%G" {path}) $(base64 -w0 {path})"'
            for path in paths
        ]
        found = {}
        for line in self.sh("\n".join(lines)).splitlines():
            path, mode, owner, *content = line.split(" ")
            text = base64.b64decode("".join(content)).decode()
            found[path] = f"{mode} {owner}\n{text}"
        return found


@pytest.fixture(scope="module")
def password() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def box(hosts: list[dict[str, Any]], ssh: Ssh, tmp_path: Path, password: str) -> Iterator[Box]:
    """A host with two new users and none of our files; put back afterwards."""
    host = hosts[-1]
    (tmp_path / "group_data").mkdir()
    connection = {
        "ssh_hostname": host["address"],
        "ssh_port": host["port"],
        "ssh_user": host["user"],
        "ssh_key": host["identity_file"],
        "ssh_known_hosts_file": host["known_hosts_file"],
        "ssh_strict_host_key_checking": "yes",
    }
    environment = {
        **os.environ,
        "UPLIFT_SECRET_NEXUS_DEPLOYER": password,
        "PYINFRA_PROGRESS": "off",
    }
    found = Box(host["name"], tmp_path, connection, ssh, environment)
    forget = (
        f"rm -f {RECORD} {' '.join(HOST_FILES)}; for home in /home/anna /home/ben "
        "/home/drift-* /home/way-*; do userdel -r ${home#/home/} 2>/dev/null; rm -rf $home; done"
    )
    kept = "/root/uplift-test-kept.tar"
    found.sh(f"tar -C / -cf {kept} --ignore-failed-read {RECORD[1:]} etc/pip.conf etc/uv || true")
    found.sh(forget)
    found.add(USERS)
    yield found
    found.sh(f"{forget}; tar -C / -xf {kept} && rm -f {kept}")


def test_a_second_run_changes_nothing(box: Box) -> None:
    told = box.applied(settings(*USERS), changed=True)
    assert "/home/anna/.npmrc: registry added" in told
    before = box.read((*ALL, *HOST_FILES, RECORD))
    assert {box_file.split(" ")[0] for path, box_file in before.items() if path in ALL} == {"600"}
    assert before["/home/anna/.netrc"].startswith("600 anna:anna\n")
    assert {before[path].split("\n")[0] for path in HOST_FILES} == {"644 root:root"}
    assert before[RECORD].startswith("600 root:root")
    box.applied(settings(*USERS), changed=False)
    assert box.read((*ALL, *HOST_FILES, RECORD)) == before
    folders = box.sh("stat -c '%a %U' /home/anna/.docker /home/anna/.config/pip /etc/uv")
    assert folders.split() == ["700", "anna", "700", "anna", "755", "root"]


def test_a_dry_run_tells_what_would_change_and_writes_nothing(box: Box) -> None:
    box.inventory(settings(*USERS))
    words = [word for word in box.words("--dry") if word != "-y"]
    done = subprocess.run(
        words, cwd=box.folder, env=box.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=RUN_LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "/home/anna/.npmrc: registry added" in done.stderr
    assert box.sh(f"ls -d {' '.join(ALL)} {RECORD} 2>/dev/null", check=False) == ""


# By hand in a user's home, and a line of that person's own which must stay.
DRIFT = {
    "mode": ("chmod 644 .npmrc .netrc .docker/config.json", None),
    "owner": ("chown root:root .npmrc .netrc .pypirc", None),
    "npmrc": (
        "sed -i /_auth/d .npmrc; echo 'registry=https://evil/' >>.npmrc; echo '; mine' >>.npmrc",
        (".npmrc", "; mine"),
    ),
    "login": ("echo '//nexus.example.com/repository/npm-group/:_authToken=x' >>.npmrc", None),
    "netrc": (
        "printf 'machine mine.example.com login a password b\\n"
        "machine nexus.example.com login a password b\\n' >>.netrc",
        (".netrc", "machine mine.example.com login a password b"),
    ),
    "word": ("sed -i 's/ login deployer//' .netrc", None),
    "pip": (
        "sed -i 's/^index-url.*/index_url = x/; $a no-color = 1' .config/pip/pip.conf",
        (".config/pip/pip.conf", "no-color = 1"),
    ),
    "pypirc": (
        "sed -i 's/^    nexus/    other/; s/^password.*/password = x/' .pypirc",
        (".pypirc", "    other"),
    ),
    "docker": ('sed -i \'s/"auth": ".*"/"auth": "eA=="/\' .docker/config.json', None),
    "gone": ("rm -r .npmrc .netrc .docker .config .pypirc", None),
}
HOST_DRIFT = (
    "chmod 600 /etc/uv/uv.toml /etc/pip.conf; sed -i 's/^index-url.*//' /etc/pip.conf; "
    "sed -i '/^url = /d; s/default = true/explicit = true/' /etc/uv/uv.toml; "
    'printf \'\\n[[index]]\\nname = "mine"\\nurl = "https://x"\\n\' >>/etc/uv/uv.toml'
)


def test_drift_is_repaired_by_one_run_and_lines_of_others_stay(box: Box) -> None:
    names = [f"drift-{name}" for name in DRIFT]
    box.add(names)
    paths = [f"/home/{name}/{path}" for name in names for path in PATHS]
    box.applied(settings(*names), changed=True)
    good = box.read(paths)
    homes = [f"cd /home/drift-{name} && {{ {command}; }}" for name, (command, _) in DRIFT.items()]
    box.sh("\n".join([*homes, HOST_DRIFT]))
    told = box.applied(settings(*names), changed=True)
    repaired = box.read(paths)
    for name, (_, line) in DRIFT.items():
        assert f"/home/drift-{name}/" in told, name
        for path in PATHS:
            full = f"/home/drift-{name}/{path}"
            text, kept = repaired[full], line[1] if line and line[0] == path else None
            assert kept is None or f"{kept}\n" in text, full
            assert text.replace(f"{kept}\n", "") == good[full], full
    host = box.read(HOST_FILES)
    assert all(text.startswith("644 root:root\n") for text in host.values())
    assert f"index-url = {SIMPLE}\n" in host["/etc/pip.conf"]
    assert "default = true" in host["/etc/uv/uv.toml"]
    assert 'name = "mine"' in host["/etc/uv/uv.toml"]
    box.applied(settings(*names), changed=False)


# By hand in a user's home, the file that cannot be merged then, and what is said of it.
IN_THE_WAY = {
    "link": ("ln -s /etc/passwd .npmrc", ".npmrc", "is a symbolic link"),
    "folder": ("mkdir .netrc", ".netrc", "is a folder"),
    "pipe": ("mkfifo .netrc", ".netrc", "is no regular file"),
    "bogus": ("printf 'machine a login b\\nbogus\\n' >.netrc", ".netrc", "line 2: a word that is"),
    "comment": (
        "mkdir .docker; printf '{\\n// x\\n}' >.docker/config.json",
        ".docker/config.json",
        "line 2: not JSON: comments",
    ),
    "ini": ("printf '[a]\\nb\\n' >.pypirc", ".pypirc", "line 2: is no 'key = value'"),
    "utf8": ("printf 'a\\n\\377' >.npmrc", ".npmrc", "line 2: is not UTF-8"),
    "large": ("yes '; x' | head -c 300000 >.npmrc", ".npmrc", "is larger than 256 kB"),
    "above": ("ln -s /tmp .config", ".config/pip/pip.conf", "a folder above it is a symbolic link"),
    "file": ("touch .docker", ".docker/config.json", "what should be the folder above it"),
    "root": (
        "mkdir -m 700 .docker; chown root: .docker",
        ".docker/config.json",
        "may not write in the folder",
    ),
}


def test_what_is_in_the_way_is_named_and_left_and_the_rest_is_done(box: Box) -> None:
    names = [f"way-{name}" for name in IN_THE_WAY]
    box.add(names)
    look = []
    for name, (command, path, _) in IN_THE_WAY.items():
        box.sh(f"cd /home/way-{name} && {{ {command}; }}")
        file = f"/home/way-{name}/{path}"
        look.append(f"stat -c '%N %F %a %U %Y' {file} {file.rpartition('/')[0]}; md5sum <{file}")
    looking = "exec 2>&1; " + "; ".join(line for line in look if "way-pipe" not in line)
    before = box.sh(looking, check=False)
    done = box.run(settings(*names))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    for name, (_, path, message) in IN_THE_WAY.items():
        lines = [line for line in said.splitlines() if f"way-{name}/{path}: " in line]
        assert [line for line in lines if message in line], lines
    others = [
        f"/home/way-{name}/{path}"
        for name, (_, bad, _) in IN_THE_WAY.items()
        for path in PATHS
        if path != bad
    ]
    assert len(box.read(others)) == len(others)
    # The homes themselves have new files in them, the files in the way are the same.
    same = [
        line for line in before.splitlines() if not line.startswith("'/home/way-") or "/." in line
    ]
    assert [line for line in same if line not in box.sh(looking, check=False).splitlines()] == []


def test_a_user_or_a_home_that_does_not_exist_is_named_and_the_rest_is_done(box: Box) -> None:
    box.sh("rm -r /home/ben")
    done = box.run(settings("anna", "ben", "nobody-of-this-name"))
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "/home/ben/.netrc: the user's home does not exist" in said
    assert "~nobody-of-this-name/.netrc: the user does not exist" in said
    assert len(box.read([path for path in ALL if "/anna/" in path])) == len(PATHS)


def test_what_is_no_longer_in_the_settings_is_removed_and_nothing_else(box: Box) -> None:
    box.sh("printf '; mine\\nsave-exact=true' >/home/anna/.npmrc; chown anna: /home/anna/.npmrc")
    box.applied(settings(*USERS), changed=True)
    box.sh("echo 'machine mine login a password b' >>/home/ben/.netrc")
    less = {"users": [], "uv": settings()["uv"]}
    told = box.applied(less, changed=True)
    assert "/home/anna/.npmrc: " in told and "registry removed" in told
    there = box.sh(f"ls {' '.join((*ALL, *HOST_FILES))} 2>/dev/null", check=False).split()
    assert there == ["/etc/uv/uv.toml", "/home/anna/.npmrc", "/home/ben/.netrc"]
    assert box.sh("cat /home/anna/.npmrc") == "; mine\nsave-exact=true"
    assert box.sh("cat /home/ben/.netrc") == "machine mine login a password b\n"
    box.applied(less, changed=False)


def test_no_secret_is_shown_at_any_verbosity(box: Box, password: str) -> None:
    codes = [base64.b64encode(f"deployer:{password}".encode()).decode(), password]
    canary = secrets.token_hex(16)
    box.sh(f"echo '//other/:_authToken={canary}' >/home/anna/.npmrc; chown anna: /home/anna/.npmrc")
    shown = []
    loud = ("-vvv", "--debug", "--debug-all", "--diff")
    for options in (loud, loud, (*loud, "--debug-operations"), (*loud, "--debug-facts")):
        new = secrets.token_hex(16)
        codes += [new, base64.b64encode(f"deployer:{new}".encode()).decode()]
        done = box.run(settings(*USERS), *options, UPLIFT_SECRET_NEXUS_DEPLOYER=new)
        shown += [done.stdout, done.stderr]
        if options == loud:
            written = codes[-2:]
    shown += [path.read_text() for path in box.folder.glob("*.log")]
    everything = "\n".join(shown)
    assert "machine nexus.example.com changed (" in everything
    there = box.sh(f"cat {' '.join(ALL)}")
    # The control: what must not be shown is found where it belongs.
    assert canary in there and all(code in there for code in written)
    for file in box.sh(f"for f in {' '.join(ALL)}; do base64 -w0 $f; echo; done").split():
        assert file not in everything
    for code in (canary, *codes):
        assert code not in everything


def test_a_secret_is_in_no_process_or_open_file_while_it_is_written(
    box: Box, hosts: list[dict[str, Any]], password: str
) -> None:
    with Watch(hosts[-1:], Words({"password": password})) as watch:
        box.applied(settings(*USERS), changed=True)
    assert watch.leaks() == []
    # The control: what writes the files was among what was seen.
    seen = watch.arguments(box.name)
    assert ".npmrc.uplift" in seen or "clients.json" in seen


def test_the_clients_themselves_read_what_was_meant(box: Box, password: str) -> None:
    box.applied(settings(*USERS), changed=True)
    run = "cd /home/anna && setpriv --reuid=anna --regid=anna --init-groups env HOME=/home/anna"
    script = "import netrc; print(*netrc.netrc().authenticators('nexus.example.com'))"
    assert box.sh(f'{run} python3 -c "{script}"').split() == ["deployer", password]
    script = (
        "import configparser; p = configparser.RawConfigParser(); p.read('/home/anna/.pypirc'); "
        "print(p.get('distutils', 'index-servers').split(), p.get('nexus', 'password'))"
    )
    assert box.sh(f'{run} python3 -c "{script}"').strip() == f"['nexus'] {password}"
    listed = box.sh(f"{run} pip3 config --user list").splitlines()
    assert f"global.index-url='{SIMPLE}'" in listed
    assert "global.timeout='7'" in listed
    assert box.sh(f"{run} npm config get registry").strip() == REGISTRY
    assert box.sh(f"{run} npm config get @corp:registry").strip() == REGISTRY


def test_a_file_that_changes_between_reading_and_writing_is_left(box: Box) -> None:
    from uplift.operations.clients import _SCRIPT, payload
    from uplift.spec.clients.plan import Change, Plan
    from uplift.spec.clients.state import Place

    box.sh("echo a=1 >/home/anna/.npmrc; chown anna: /home/anna/.npmrc")
    changes = [Change(Place(user, ".npmrc"), "put", "absent", b"b=2\n") for user in USERS]
    steps = payload(Plan(changes=tuple(changes), last="{}\n"))
    text = base64.b64encode(_SCRIPT.encode()).decode()
    box.sh(f"echo {text} | base64 -d >/tmp/write.sh")
    said = box.sh(f"sh /tmp/write.sh 2>&1 <<'EOT'\n{steps}EOT\necho code $?")
    assert "clients: ~anna/.npmrc: changed since it was read: run again" in said
    assert "code 1" in said
    assert box.sh("cat /home/anna/.npmrc /home/ben/.npmrc") == "a=1\nb=2\n"
    # What was not written is not forgotten either.
    assert box.sh(f"cat {RECORD} 2>/dev/null", check=False) != "{}\n"


def test_steps_that_are_cut_off_write_no_half_file(box: Box) -> None:
    from uplift.operations.clients import _SCRIPT, payload
    from uplift.spec.clients.plan import Change, Plan
    from uplift.spec.clients.state import Place

    content = b"; " + b"x" * 3000 + b"\n"
    steps = payload(Plan(changes=(Change(Place("anna", ".npmrc"), "put", "absent", content),)))
    text = base64.b64encode(_SCRIPT.encode()).decode()
    box.sh(f"echo {text} | base64 -d >/tmp/write.sh")
    said = box.sh(f"printf %s '{steps[:2000]}' | sh /tmp/write.sh 2>&1; echo code $?")
    assert "the list of steps was cut off" in said and "code 1" in said
    assert box.sh("ls -A /home/anna | grep npmrc || echo none").strip() == "none"


STOP = "/opt/uplift-stop"
# A `mv` that stops at the rename with a given number until it is let go: what the writing script
# renames, in order, is its record, each file, and its record again.
STOPPING = rf"""#!/bin/sh
case "$*" in *.uplift-*) ;; *) exec /usr/bin/mv "$@" ;; esac
echo >>{STOP}/count
here() {{
  [ "$(wc -l <{STOP}/count) $1" = "$(cat {STOP}/at)" ] || return
  : >{STOP}/reached
  i=0
  until [ -e {STOP}/go ] || [ $i -gt 600 ]; do i=$((i+1)); sleep 0.1; done
}}
here before
/usr/bin/mv "$@" || exit
here after
exit 0
"""
WITH_SECRETS = [path for path in ALL if not path.endswith("pip.conf")]


@dataclass
class Stop:
    """A rename in the writing script at which the host stands still."""

    box: Box

    def at(self, number: int, when: str) -> None:
        """Choose the rename, and whether before or after it."""
        code = base64.b64encode(STOPPING.encode()).decode()
        self.box.sh(
            f"rm -rf {STOP}; mkdir -m 777 {STOP}; echo '{number} {when}' >{STOP}/at; "
            f": >{STOP}/count; chmod 666 {STOP}/count; echo {code} | base64 -d "
            ">/usr/local/sbin/mv; chmod 755 /usr/local/sbin/mv"
        )

    def reached(self) -> bool:
        """Wait until the host stands there."""
        return self.box.sees(f"test -e {STOP}/reached")

    def go(self) -> None:
        """Let the script go on, and wait until it has ended."""
        self.box.sh(f"touch {STOP}/go; flock -w 60 /var/lib/uplift/clients.lock true")

    def kill(self) -> None:
        """Kill the writing script on the host, of which there must be one."""
        self.box.sh("pkill -9 -f '[g]ive it back with chown'; pkill -9 -f /usr/local/sbin/[m]v")
        self.go()

    def never(self) -> None:
        """Take it away."""
        self.box.sh(f"mkdir -p {STOP}; touch {STOP}/go; rm -f /usr/local/sbin/mv; rm -r {STOP}")


@pytest.fixture
def stop(box: Box) -> Iterator[Stop]:
    """Make the writing script stand still at a rename."""
    found = Stop(box)
    yield found
    found.never()


# Rename by number, whether it has happened, and how many files are new by then.
POINTS = {
    "the record is a temporary file": (1, "before", 0),
    "the record is written and no file": (1, "after", 0),
    "the first file is a temporary file": (2, "before", 0),
    "the first of several files is renamed": (2, "after", 1),
    "half of the files are renamed": (5, "after", 4),
    "the last file is a temporary file": (9, "before", 7),
    "all files are renamed": (9, "after", 8),
    "the last record is a temporary file": (10, "before", 8),
    "all is written": (10, "after", 8),
}
QUICK = [
    ("the record is written and no file", True),
    ("the first file is a temporary file", True),
    ("the first of several files is renamed", False),
]
KILLS = [
    *(pytest.param(POINTS[point], dies, id=f"quick-{point}-{dies}") for point, dies in QUICK),
    *(
        pytest.param(POINTS[point], dies, id=f"{point}-{dies}", marks=pytest.mark.crash)
        for point in POINTS
        for dies in (False, True)
    ),
]


@pytest.mark.parametrize(("point", "host_dies"), KILLS)
def test_a_run_that_is_killed_leaves_each_file_old_or_new_and_the_next_completes(
    box: Box, stop: Stop, point: tuple[int, str, int], host_dies: bool
) -> None:
    number, when, renamed = point
    box.applied(settings(*USERS), changed=True)
    paths = (*ALL, *HOST_FILES)
    old = box.read(paths)
    new_password = secrets.token_hex(16)
    variables = {"UPLIFT_SECRET_NEXUS_DEPLOYER": new_password}
    stop.at(number, when)
    with box.started(settings(*USERS), **variables) as process:
        assert stop.reached()
        assert process.poll() is None
        process.kill()
    half = box.read(paths)
    if host_dies:
        stop.kill()
        assert box.read(paths) == half
        assert bool(box.sh(TEMPORARY)) == (when == "before")
    else:
        stop.go()
    stop.never()
    left = box.read(paths)
    done = box.run(settings(*USERS), **variables)
    assert done.returncode == 0, done.stderr
    new = box.read(paths)
    assert [path for path in paths if new[path] != old[path]] == WITH_SECRETS
    assert sum(half[path] != old[path] for path in paths) == renamed
    for found in (half, left):
        assert all(found[path] in (old[path], new[path]) for path in paths)
    assert new_password in new["/home/anna/.netrc"]
    box.applied(settings(*USERS), changed=False, **variables)
    assert box.sh(TEMPORARY) == ""


def test_two_controllers_with_different_settings_forget_nothing(box: Box, stop: Stop) -> None:
    box.applied(settings(), changed=True)
    stop.at(1, "before")
    with box.started(settings("anna")) as one:
        assert stop.reached()
        with box.started(settings("ben")) as other:
            # It has read, and waits for the first one.
            assert box.sees("pgrep -x flock")
            stop.go()
            said = other.communicate(timeout=RUN_LIMIT)[0]
        assert one.wait(RUN_LIMIT) == 0
    stop.never()
    assert other.returncode != 0
    assert f"{RECORD}: changed since it was read: run again" in said
    assert len(box.read(ALL)) == len(PATHS)
    # What the first one wrote is known, so that settings without it remove it.
    box.applied(settings("ben"), changed=True)
    assert box.sh(f"ls {' '.join(ALL)} 2>/dev/null | grep -c /anna/", check=False) == "0\n"


@pytest.mark.parametrize("program", ["flock", "setpriv"])
def test_a_program_that_the_host_lacks_is_named_with_its_package(box: Box, program: str) -> None:
    box.sh(f"chmod -x /usr/bin/{program}")
    try:
        done = box.run(settings("anna"))
    finally:
        box.sh(f"chmod +x /usr/bin/{program}")
    assert done.returncode != 0
    assert f"{program} is missing on this host: install the package util-linux" in done.stderr
    assert box.sh(f"ls {' '.join(ALL)} 2>/dev/null", check=False) == ""


def test_the_folder_of_the_record_is_for_root_alone_again_after_one_run(box: Box) -> None:
    box.applied(settings("anna"), changed=True)
    box.sh("chmod 755 /var/lib/uplift; chown anna: /var/lib/uplift")
    told = box.applied(settings("anna"), changed=True)
    assert "clients: /var/lib/uplift: 755 " in told
    assert box.sh("stat -c '%a %U:%G' /var/lib/uplift") == "700 root:root\n"
    box.applied(settings("anna"), changed=False)


def test_leftovers_of_a_killed_write_go_with_the_next_run(box: Box) -> None:
    box.applied(settings(*USERS), changed=True)
    left = "..npmrc.uplift-abcdefghij .docker/.config.json.uplift-0123456789"
    box.sh(f"cd /home/anna && touch {left}")
    box.applied(settings(*USERS), changed=True)
    assert box.sh("find /home/anna -name '*.uplift-*'") == ""
    box.applied(settings(*USERS), changed=False)
