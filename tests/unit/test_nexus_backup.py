"""Backups of a Nexus: what the program's own functions say of blobs, places and archives."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from uplift.operations import backup_script, nexus_backup
from uplift.operations.backup_stopped import STOPPED
from uplift.operations.nexus_backup import HOOKS
from uplift.settings import from_data
from uplift.spec.errors import SettingsError
from uplift.spec.nexus.backup import NexusBackup
from uplift.spec.nexus.server import FOLDER
from uplift.spec.secret import Secret

PASSWORD = {"secret": "nexus/admin"}


def parsed(**fields: Any) -> NexusBackup:
    block = {"target": "/srv/backup", "password": PASSWORD, **fields}
    found = from_data({"backups": {"nexus": block}}).backups
    assert found is not None
    assert found.nexus is not None
    return found.nexus


def sh(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run shell text after the program's own functions, with `$new` in a folder."""
    (folder / "new").mkdir(exist_ok=True)
    head = f"set -u; export LC_ALL=C; new={folder}/new data={FOLDER} src={folder}/data user=admin\n"
    number = 'number() { sed -n "s/^$1 //p" "$2"; }\n'
    return subprocess.run(
        ["sh", "-c", f"{head}{STOPPED}{number}{HOOKS}\n{text}"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_is_shell_that_every_sh_reads_and_holds_no_password() -> None:
    it = parsed()
    text = backup_script.render("nexus", it, it.method, FOLDER, nexus_backup.hooks(it))
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert '-e "INSTALL4J_ADD_VM_PARAMS=$java -Xms$heap' in text
    assert "heap=536870912" in text


def test_a_running_server_is_not_copied_and_slips_are_named() -> None:
    for fields, said in (
        ({"method": "online"}, "'stopped'"),
        ({"passwort": PASSWORD}, "did you mean 'password'?"),
        ({"password": "plain"}, "must be a reference"),
        ({"heap": "lots"}, "512m"),
    ):
        with pytest.raises(SettingsError, match=r"backups\.nexus") as caught:
            parsed(**fields)
        assert said in str(caught.value)


def test_the_login_is_read_by_curl_as_it_was_meant() -> None:
    text = nexus_backup.login_file("admin", Secret('a"b\\c:d'))
    assert text == 'user = "admin:a\\"b\\\\c:d"\n'


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("nexus-context-path=/\n", ""),
        ("# nexus-context-path=/no\n", ""),
        ("a=b\n nexus-context-path = /nexus/\n", "/nexus"),
        ("nexus-context-path=/old\nnexus-context-path=/new/er\r\n", "/new/er"),
    ],
)
def test_the_context_path_is_read_from_the_data(tmp_path: Path, text: str, context: str) -> None:
    (tmp_path / "data/etc").mkdir(parents=True)
    (tmp_path / "data/etc/nexus.properties").write_bytes(text.encode())
    done = sh('context_of "$src"; echo "$ready"', tmp_path)
    assert done.stdout == f"{context}/service/rest/v1/status/writable\n"


def stores(*them: dict[str, Any]) -> str:
    """What a server says of its blob stores, as 3.30.0 writes it."""
    plain = [{key: value for key, value in one.items() if key != "path"} for one in them]
    return json.dumps(plain, indent=2).replace('": ', '" : ')


def outside(folder: Path, *them: dict[str, Any], state: str = "") -> str:
    """Return why a server is refused, or nothing."""
    answers = [f"v1/blobstores) echo {shlex.quote(stores(*them))} ;;"]
    for one in them:
        body = json.dumps({"softQuota": None, "path": one.get("path")}, indent=2)
        answers.append(f"v1/blobstores/file/{one['name']}) echo {shlex.quote(body)} ;;")
    cases = "\n".join(answers)
    stubs = f'ask() {{ case $1 in {cases}\n esac >"$2"; }}\nstate_of() {{ {state or ":"}; }}\n'
    done = sh(f'{stubs} nothing_outside && echo fine || cat "$new/why"', folder)
    assert done.stderr == ""
    return "" if done.stdout == "fine\n" else done.stdout


FINE = {"softQuota": None, "name": "default", "type": "File", "blobCount": 3, "path": "default"}
QUOTA = {"type": "spaceRemainingQuota", "limit": 1000}


@pytest.mark.parametrize(
    "path",
    ["x", "packages/raw", f"{FOLDER}/blobs/x", "/opt/sonatype/sonatype-work/nexus3/blobs/x"],
)
def test_blob_stores_inside_the_data_are_taken(tmp_path: Path, path: str) -> None:
    more = {**FINE, "name": "more", "softQuota": QUOTA, "path": path}
    group = {"softQuota": None, "name": "all", "type": "Group"}
    assert outside(tmp_path, FINE, more, group) == ""


@pytest.mark.parametrize(
    "path", ["/blobs", "../elsewhere", f"{FOLDER}/../x", f"{FOLDER}-other/x", ""]
)
def test_a_blob_store_in_another_place_is_named(tmp_path: Path, path: str) -> None:
    more = {**FINE, "name": "more", "softQuota": QUOTA, "path": path}
    said = outside(tmp_path, FINE, more)
    assert said.startswith("blob store more is in ")
    assert (path or "an unknown place") in said


def test_a_blob_store_of_a_cloud_is_named(tmp_path: Path) -> None:
    cloud = {"softQuota": None, "name": "far", "type": "Azure Cloud Storage"}
    said = outside(tmp_path, FINE, cloud)
    assert "blob store far is in storage of type Azure Cloud Storage" in said


def test_a_second_volume_or_a_database_elsewhere_is_refused(tmp_path: Path) -> None:
    assert "writes to /blobs as well" in outside(
        tmp_path, FINE, state=f"case $1 in *Mounts*) printf '{FOLDER}\\n/blobs\\n\\n' ;; esac"
    )
    url = "NEXUS_DATASTORE_NEXUS_JDBCURL=jdbc:postgresql://db/nexus"
    assert "PostgreSQL" in outside(
        tmp_path, FINE, state=f"case $1 in *Env*) printf 'A=b\\n{url}\\n' ;; esac"
    )
    assert outside(tmp_path, FINE, state=f"printf '{FOLDER}\\n\\n'") == ""


def blob(root: Path, name: str, content: bytes, more: str = "") -> Path:
    folder = root / "blobs/default/content/vol-01/chap-02"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bytes").write_bytes(content)
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    text = f"#now\nsize={len(content)}\n{more}sha1={sha1}\n"
    (folder / f"{name}.properties").write_text(text)
    return folder / f"{name}.bytes"


def whole(folder: Path) -> str:
    """Compare the blobs of a copy with those of the server; return the bad ones or why not."""
    (folder / "new").mkdir(exist_ok=True)
    (folder / "new/listed").touch()
    return sh(
        f'blobs_whole {folder}/tree && cat "$new/bad" || cat "$new/why"', folder
    ).stdout.replace(f"{folder}/tree/", "")


def test_a_blob_that_is_not_what_its_properties_say_is_found(tmp_path: Path) -> None:
    for name in ("tree", "data"):
        blob(tmp_path / name, "a b", b"one")
        blob(tmp_path / name, "gone", b"two", more="deleted=true\n").unlink()
    assert whole(tmp_path) == ""
    # Damaged on the server as well: told, and no reason for no backup.
    for name in ("tree", "data"):
        blob(tmp_path / name, "bad", b"right").write_bytes(b"wrong")
        blob(tmp_path / name, "lost", b"right").unlink()
    assert sorted(line[-9:] for line in whole(tmp_path).splitlines()) == ["bad.bytes", "ost.bytes"]
    # In the backup alone.
    blob(tmp_path / "tree", "a b", b"one").write_bytes(b"onf")
    assert "a b.bytes is not what the server has" in whole(tmp_path)


def test_the_files_are_counted_by_all_that_tells_them_apart(tmp_path: Path) -> None:
    def odd() -> str:
        done = sh('listing "$src" >$new/listed; listing "${src%data}tree" | comm -3 $new/listed -',
                  tmp_path)  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    file = blob(tmp_path / "data", "one", b"content")
    (tmp_path / "data/link").symlink_to("blobs")
    pack = f"mkdir {tmp_path}/tree; tar -C {tmp_path}/data -cf - . | tar -C {tmp_path}/tree -xpf -"
    subprocess.run(["sh", "-c", pack], check=True)
    assert odd() == ""
    other = tmp_path / "tree" / file.relative_to(tmp_path / "data")
    kept = other.stat()
    other.chmod(0o600 if kept.st_mode & 0o777 != 0o600 else 0o640)
    assert "one.bytes" in odd()
    other.chmod(kept.st_mode)
    assert odd() == ""
    subprocess.run(["touch", "-d", "@1", other], check=True)
    assert "one.bytes" in odd()
    other.unlink()
    assert "one.bytes" in odd()


@pytest.mark.parametrize(
    ("backup", "holds"),
    [((2, 7), True), ((2, 8), True), ((2, 6), False), ((1, 7), False), ((3, 7), False)],
)
def test_a_backup_with_fewer_components_or_other_repositories_is_none(
    tmp_path: Path, backup: tuple[int, int], holds: bool
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/live").write_text("repositories 2\nlisted 7\n")
    (tmp_path / "new/facts").write_text(f"repositories {backup[0]}\nlisted {backup[1]}\n")
    done = sh("ask_live() { :; }; compare || cat $new/why", tmp_path)
    assert done.stdout.startswith("" if holds else "backup: repositories ")
    assert (done.stdout == "") is holds


@pytest.mark.parametrize(
    ("files", "empty"),
    [
        ({}, True),
        ({"admin.password": "x", "db/config/x": "x"}, True),
        ({"admin.password": "x", "blobs/d/content/vol-01/x.bytes": "x"}, False),
        ({"db/config/x": "x"}, False),
    ],
)
def test_a_server_is_empty_when_it_has_its_first_password_and_no_blob(
    tmp_path: Path, files: dict[str, str], empty: bool
) -> None:
    (tmp_path / "data").mkdir()
    for name, text in files.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(text)
    assert (sh("is_empty", tmp_path).returncode == 0) is empty
