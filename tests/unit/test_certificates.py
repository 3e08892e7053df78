"""Extra CA certificates: what files may hold, and the difference between wanted and found."""

from __future__ import annotations

import subprocess
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ca_double import ca, make_ca
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from uplift import authority, trust
from uplift.facts.certificates import UNTRUSTED, SystemStore
from uplift.spec.certificates import (
    BUNDLE,
    FILE_RIGHTS,
    FOLDER,
    FOLDER_RIGHTS,
    Certificates,
    Store,
    expired,
    plan,
    refusal,
    split,
)
from uplift.spec.entry import ABSENT, Entry
from uplift.spec.errors import SettingsError

ONE, TWO = split(ca("One CA"))[0], split(ca("Two CA"))[0]
BARE = Store(uid=0, system="debian", tool=True)


def done(**changes: Any) -> Store:
    """What a host has when both are trusted."""
    files = {c.file: Entry("file", FILE_RIGHTS, c.file_sha256) for c in (ONE, TWO)}
    folder = Entry("folder", FOLDER_RIGHTS)
    return replace(BARE, folder=folder, files=files, trusted=frozenset(files), **changes)


def test_a_file_of_several_certificates_becomes_one_file_each() -> None:
    found = split(f"# our own\n{ca('One CA')}\nsubject=x\n{ca('Two CA')}{ca('One CA')}")
    assert [certificate.subject for certificate in found] == ["One CA", "Two CA"]
    assert found == (ONE, TWO)


def test_the_same_certificate_in_another_shape_is_the_same_file() -> None:
    body = "".join(ca("One CA").splitlines()[1:-1])
    folded = "\r\n".join(textwrap.wrap(body, 76))
    text = f"-----BEGIN CERTIFICATE-----\r\n{folded}\r\n-----END CERTIFICATE-----\r\n"
    assert split(text) == (ONE,)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no PEM certificate"),
        ("hello", "no PEM certificate"),
        ("".join(make_ca("One CA")), "private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (ca("One CA").replace("MII", "MIJ", 1).replace("MIB", "MIJ", 1), "damaged"),
        (ca("One CA")[:-30], "damaged"),
    ],
)
def test_a_file_that_hosts_must_not_get_is_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        split(text)


def test_every_bad_file_of_the_settings_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "good.crt").write_text(ca("One CA"))
    (tmp_path / "key.pem").write_text("".join(make_ca("One CA")))
    der = x509.load_pem_x509_certificate(ca("One CA").encode()).public_bytes(Encoding.DER)
    (tmp_path / "der.crt").write_bytes(der)
    settings = Certificates(files=("good.crt", "key.pem", "der.crt", "none.crt", "."))
    with pytest.raises(SettingsError) as error:
        trust.certificates(settings, project=tmp_path, source="group_data/all.py")
    lines = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        f"certificates.files[{number}]" for number in (1, 2, 3, 4)
    ]
    for line, part in zip(
        lines, ["private key", "-inform der", "No such file", "Is a directory"], strict=True
    ):
        assert part in line
    assert "BEGIN" not in str(error.value)


def test_files_are_relative_to_the_project_and_know_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, name in (("home", "One CA"), ("project/certs", "Two CA")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ca.crt").write_text(ca(name))
    settings = Certificates(files=("~/ca.crt", "certs/ca.crt"))
    assert trust.certificates(settings, project=tmp_path / "project") == (ONE, TWO)


def test_the_own_ca_comes_after_the_files_and_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(ca("One CA"))
    settings = Certificates(files=("ca.crt",), own_ca=True)
    one, own = trust.certificates(settings, project=tmp_path)
    assert one == ONE
    assert own.pem == authority.own(tmp_path).certificate
    assert trust.certificates(settings, project=tmp_path) == (one, own)


def test_a_certificate_that_has_expired_is_warned_of() -> None:
    old = split(ca("Old CA", days=-5))
    (warning,) = expired([*old, ONE], datetime.now(UTC))
    assert warning.startswith("the CA certificate Old CA has expired on ")


def test_trusted_certificates_need_nothing() -> None:
    assert plan((ONE, TWO), done()).words == ()


def test_a_bare_host_gets_all() -> None:
    todo = plan((ONE, TWO), BARE)
    assert todo.write == (ONE, TWO)
    assert todo.words == ("One CA written", "Two CA written")


def test_a_certificate_that_is_no_longer_listed_is_removed() -> None:
    todo = plan((ONE,), done())
    assert (todo.write, todo.remove) == ((), (TWO.file,))
    assert todo.words == (f"{TWO.file} removed",)


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (ABSENT, "written"),
        (Entry("file", "600 0:0", ONE.file_sha256), "written"),
        (Entry("file", "644 1000:0", ONE.file_sha256), "written"),
        (Entry("file", FILE_RIGHTS, "00" * 32), "written"),
        (Entry("link", detail="/etc/passwd"), "written"),
    ],
)
def test_a_file_that_differs_is_written_again(entry: Entry, word: str) -> None:
    files = {**done().files, ONE.file: entry}
    todo = plan((ONE, TWO), replace(done(), files=files))
    assert todo.write == (ONE,)
    assert todo.words == (f"One CA {word}",)


def test_a_ca_that_the_store_forgot_is_trusted_again_without_a_new_file() -> None:
    todo = plan((ONE, TWO), replace(done(), trusted=frozenset({TWO.file})))
    assert todo.write == ()
    assert todo.words == ("One CA trusted again",)


def test_what_else_stands_in_our_folder_is_removed() -> None:
    files = {**done().files, ".new": Entry("file", FILE_RIGHTS, "00" * 32)}
    assert plan((ONE, TWO), replace(done(), files=files)).remove == (".new",)


def test_a_folder_that_others_can_write_is_put_right() -> None:
    todo = plan((ONE, TWO), replace(done(), folder=Entry("folder", "777 0:0")))
    assert todo.words == ("folder's mode and owner put right",)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"system": "alpine"}, "this host is 'alpine'"),
        ({"uid": 1000}, "_sudo = True"),
        ({"folder": Entry("file", FILE_RIGHTS)}, "is in the way"),
    ],
)
def test_a_host_that_cannot_have_certificates_is_told_why(
    changes: dict[str, Any], part: str
) -> None:
    assert part in str(refusal((ONE,), replace(BARE, **changes)))


def test_no_certificates_are_possible_on_every_system() -> None:
    assert refusal((), replace(BARE, system="alpine", uid=1000)) is None
    assert refusal((ONE,), replace(BARE, system="ubuntu debian")) is None


def test_the_fact_reads_what_the_script_prints() -> None:
    output = [
        "host\t0\tdebian \tyes",
        f"folder\tfolder\t{FOLDER_RIGHTS}\t",
        f"file {ONE.file}\tfile\t{FILE_RIGHTS}\t{ONE.file_sha256}",
        f"file {TWO.file}\tfile\t{FILE_RIGHTS}\t{TWO.file_sha256}",
        f"untrusted\t{TWO.file}",
        f"untrusted\t{TWO.file}",
    ]
    assert SystemStore().process(output) == replace(done(), trusted=frozenset({ONE.file}))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A system store of one's own: our folder, the bundle and OpenSSL's links."""
    for folder in ("ours", "certs"):
        (tmp_path / folder).mkdir()
    for certificate in (ONE, TWO):
        (tmp_path / "ours" / certificate.file).write_text(certificate.pem)
        (tmp_path / "certs" / f"{certificate.file}.pem").write_text(certificate.pem)
    (tmp_path / "certs/bundle").write_text(ca("Other CA") + ONE.pem + TWO.pem)
    subprocess.run(["openssl", "rehash", "certs"], cwd=tmp_path, check=True, timeout=30)
    return tmp_path


def untrusted(store: Path) -> set[str]:
    script = UNTRUSTED.replace(FOLDER, str(store / "ours")).replace(BUNDLE, f"{store}/certs/bundle")
    script = script.replace("/etc/ssl/certs", str(store / "certs"))
    ran = subprocess.run(
        ["sh", "-c", f"{script}\nuntrusted"], capture_output=True, text=True, timeout=30, check=True
    )
    return {Path(line).name for line in ran.stdout.splitlines()}


def test_a_store_that_has_everything_is_trusted(store: Path) -> None:
    assert untrusted(store) == set()


def test_a_bundle_without_a_ca_is_seen(store: Path) -> None:
    (store / "certs/bundle").write_text(ca("Other CA") + TWO.pem)
    assert untrusted(store) == {ONE.file}


def test_a_bundle_with_a_damaged_ca_is_seen(store: Path) -> None:
    lines = ONE.pem.splitlines()
    lines[3] = lines[3][::-1]
    (store / "certs/bundle").write_text("\n".join(lines) + "\n" + TWO.pem)
    assert untrusted(store) == {ONE.file}


def test_a_bundle_that_is_gone_is_seen(store: Path) -> None:
    (store / "certs/bundle").unlink()
    assert untrusted(store) == {ONE.file, TWO.file}


def test_a_missing_link_of_openssl_is_seen(store: Path) -> None:
    (store / "certs" / f"{ONE.file}.pem").unlink()
    assert untrusted(store) == {ONE.file}


def test_a_folder_without_certificates_is_no_error(store: Path) -> None:
    for file in (store / "ours").iterdir():
        file.unlink()
    assert untrusted(store) == set()
