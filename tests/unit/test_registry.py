"""The registry's settings, its users' hashes, its certificate, and what differs on a host."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ca_double import make_ca
from hypothesis import given
from hypothesis import strategies as st

from uplift import authority, trust
from uplift.operations.registry import _fits, _hashed
from uplift.secrets.errors import SecretsError
from uplift.spec.docker import Docker
from uplift.spec.errors import SettingsError, UsageError
from uplift.spec.registry import Registry, Tls
from uplift.spec.registry.state import FILE_RIGHTS, FOLDER_RIGHTS, File, State, parse, plan
from uplift.spec.registry.tls import LIFETIME, RENEWED, fault, key_fault, renewal, sans
from uplift.spec.registry.tls import chain as certificates
from uplift.spec.registry.users import faults, merge
from uplift.spec.secret import Secret, secret

USERS = [{"name": "ci", "password": secret("registry/ci")}]
NOW = datetime.now(UTC)
EVERY = "0.0.0.0"  # noqa: S104


def registry(**fields: Any) -> Registry:
    return Registry.parse({"users": USERS, **fields}, path="registry")


def wrong(**fields: Any) -> str:
    with pytest.raises(SettingsError) as found:
        registry(**fields)
    return str(found.value)


def test_the_default_listens_on_the_loopback_address_alone() -> None:
    (port,) = registry().container().ports
    assert (port.address, port.host) == ("127.0.0.1", 5000)


def test_every_address_must_be_said_and_needs_tls() -> None:
    assert "registry: without tls passwords would be readable" in wrong(address=EVERY)
    assert registry(address=EVERY, tls={"names": ["r.example"]}).names == ("r.example:5000",)
    assert registry(address="::1").names == ("[::1]:5000",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"users": [*USERS, *USERS]}, "registry: users: 'ci' is listed more than once"),
        ({"users": []}, "registry: users: name at least one"),
        ({"users": [{"name": "a:b", "password": secret("x")}]}, "registry.users[0].name"),
        ({"users": [{"name": "ci", "password": "hunter2"}]}, "registry.users[0].password"),
        ({"port": 70000}, "registry.port"),
        ({"address": "lab-1"}, "registry.address: an IP address"),
        ({"tls": {"names": ["r:5000"]}}, "registry.tls.names[0]: the host alone"),
        ({"tls": {"names": []}}, "registry.tls: names: at least one"),
        ({"tls": {"names": ["r"], "key_file": "k"}}, "registry.tls: a key without its"),
        ({"tls": {"names": ["r"], "certificate": "c"}}, "registry.tls: certificate needs its"),
        ({"imge": "registry:2"}, "registry.imge: unknown key, did you mean 'image'?"),
    ],
)
def test_wrong_settings_name_their_key_and_never_a_password(
    fields: dict[str, Any], said: str
) -> None:
    text = wrong(**fields)
    assert said in text
    assert "hunter2" not in text


def test_the_container_shows_no_secret_and_has_no_right_that_it_does_not_need() -> None:
    it = registry(tls={"names": ["r.example"]}).container()
    assert not it.secrets and not it.expose_in_environment
    assert (it.cap_drop, it.read_only, it.no_new_privileges) == (("ALL",), True, True)


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(st.dictionaries(WORDS, WORDS, max_size=4), st.dictionaries(WORDS, WORDS, max_size=4))
def test_what_was_merged_has_the_wanted_users_alone_and_merges_into_itself(
    before: dict[str, str], wanted: dict[str, str]
) -> None:
    def fits(password: str, hashed: str) -> bool:
        return hashed == password[::-1]

    text = "".join(f"{name}:{password[::-1]}\n" for name, password in before.items())
    users = {name: Secret(password) for name, password in wanted.items()}
    new, words = merge(text, users, fits, lambda password: password[::-1])
    read = dict(line.split(":") for line in new.splitlines())
    assert read == {name: password[::-1] for name, password in wanted.items()}
    assert merge(new, users, fits, lambda password: password[::-1]) == (new, ())
    assert bool(words) == (new != text)


def test_a_hash_that_fits_is_kept_and_another_is_made_anew() -> None:
    password = secrets.token_hex(8)
    text = f"ci:{_hashed(password)}\n"
    assert merge(text, {"ci": Secret(password)}, _fits, _hashed) == (text, ())
    # As Apache's htpasswd writes it.
    apache = text.replace("$2b$", "$2y$")
    assert merge(apache, {"ci": Secret(password)}, _fits, _hashed) == (apache, ())
    new, words = merge(text, {"ci": Secret(password + "x")}, _fits, _hashed)
    assert words == ("user ci: password changed",)
    assert _fits(password + "x", new.strip().partition(":")[2])
    assert not _fits(password, "no hash")


def test_a_user_that_somebody_added_goes_and_is_named() -> None:
    _, words = merge("eve:x\n", {}, _fits, _hashed)
    assert words == ("user eve removed",)


@pytest.mark.parametrize("password", ["", "a\nb", "x" * 73, "é" * 37])
def test_a_password_that_would_not_work_is_refused_without_being_shown(password: str) -> None:
    it = registry()
    (line,) = faults(it, {it.users[0].password: Secret(password)})
    assert line.startswith("registry.users: ci: secret('registry/ci') ")
    assert not password or password not in line


@pytest.fixture
def ca(tmp_path: Path) -> authority.Authority:
    return authority.own(tmp_path)


def test_the_controllers_ca_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    first, second = authority.own(tmp_path), authority.own(tmp_path)
    assert first == second
    file = tmp_path / authority.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.key.reveal() not in repr(first)
    file.chmod(0o644)
    with pytest.raises(SecretsError, match="open to other users"):
        authority.own(tmp_path)


def test_a_damaged_ca_is_named_with_its_remedy(tmp_path: Path, ca: authority.Authority) -> None:
    file = tmp_path / authority.FILE
    file.write_text(ca.certificate + make_ca("Another")[1])
    with pytest.raises(UsageError, match="does not fit the certificate"):
        authority.own(tmp_path)
    file.write_text("".join(make_ca("Short", days=30)))
    with pytest.raises(UsageError, match=r"ends on .* put back a copy"):
        authority.own(tmp_path)


def test_a_signed_certificate_is_kept_until_it_nears_its_end(ca: authority.Authority) -> None:
    names = ("r.example", "10.0.0.5")
    text, key = ca.sign(names, NOW)
    assert sans(certificates(text)[0]) == set(names)
    assert renewal(text, key.reveal(), names, ca.certificate, NOW) is None
    late = NOW + LIFETIME - RENEWED + timedelta(hours=1)
    assert "ends on" in str(renewal(text, key.reveal(), names, ca.certificate, late))
    assert renewal("", "", names, ca.certificate, NOW) == "made"


def test_a_certificate_is_signed_anew_when_it_is_not_what_the_settings_say(
    tmp_path: Path, ca: authority.Authority
) -> None:
    text, key = ca.sign(["r.example"], NOW)
    other, other_key = ca.sign(["r.example"], NOW)
    stranger = authority.own(tmp_path / "elsewhere").certificate
    for has, has_key, names, signer, said in [
        (text, key.reveal(), ["r.example", "s.example"], ca, "is not for s.example"),
        (text, other_key.reveal(), ["r.example"], ca, "does not fit"),
        ("junk", key.reveal(), ["r.example"], ca, "is no PEM certificate"),
        (other, "junk", ["r.example"], ca, "is no private key"),
    ]:
        assert said in str(renewal(has, has_key, names, signer.certificate, NOW))
    assert "not signed by" in str(renewal(text, key.reveal(), ["r.example"], stranger, NOW))
    two, two_key = ca.sign(["r.example", "old.example"], NOW)
    assert "other names" in str(renewal(two, two_key.reveal(), ["r.example"], ca.certificate, NOW))


def test_why_a_certificate_of_the_settings_is_of_no_use(ca: authority.Authority) -> None:
    text, key = ca.sign(["*.example", "10.0.0.5"], NOW)
    assert fault(text, ["r.example", "10.0.0.5"], NOW) is None
    assert "is not for a.r.example" in str(fault(text, ["a.r.example"], NOW))
    assert "is not for 10.0.0.6" in str(fault(text, ["10.0.0.6"], NOW))
    assert "expired on" in str(fault(text, [], NOW + timedelta(days=500)))
    assert "not valid before" in str(fault(text, [], NOW - timedelta(days=1)))
    assert "holds a private key" in str(fault(text + key.reveal(), [], NOW))
    assert key_fault(text, key.reveal()) is None
    assert "another one" in str(key_fault(text, make_ca("Another")[1]))


def test_every_problem_of_certificate_and_key_files_is_named(
    tmp_path: Path, ca: authority.Authority
) -> None:
    text, key = ca.sign(["r.example"], NOW)
    (tmp_path / "c.pem").write_text(text)
    (tmp_path / "k.pem").write_text(make_ca("Another")[1])

    def problems(**fields: Any) -> list[str]:
        tls = Tls.model_validate({"names": ["r.example"], "certificate": "c.pem", **fields})
        with pytest.raises(SettingsError) as error:
            trust.server(tls, lambda _: key, project=tmp_path)
        return str(error.value).splitlines()

    assert problems(certificate="nowhere", key_file="nor.here") == [
        "registry.tls.certificate: nowhere: No such file or directory",
        "registry.tls.key_file: nor.here: No such file or directory",
    ]
    (line,) = problems(key_file="k.pem")
    assert line.startswith("registry.tls.key_file: k.pem does not fit the certificate")
    (line,) = problems(names=["s.example"], key=secret("registry/key"))
    assert "is not for s.example" in line
    good = Tls.model_validate(
        {"names": ["r.example"], "certificate": "c.pem", "key": secret("registry/key")}
    )
    assert trust.server(good, lambda _: key, project=tmp_path) == (text, key)


def test_hosts_trust_the_controllers_own_ca_where_the_settings_say_so(
    tmp_path: Path, ca: authority.Authority
) -> None:
    settings = Docker.parse({"registries": {"r.example:5000": {"own_ca": True}}}, path="docker")
    assert trust.authorities(settings, project=tmp_path) == {"r.example:5000": ca.certificate}
    for both in ({"own_ca": True, "ca_file": "x"}, {}):
        with pytest.raises(SettingsError, match="either ca_file"):
            Docker.parse({"registries": {"r:1": both}}, path="docker")


def test_files_as_wanted_are_left_and_others_written_with_their_rights() -> None:
    good = File(FILE_RIGHTS, 1, "a")
    state = State(docker=True, folder=FOLDER_RIGHTS, files={"htpasswd": good, "tls.key": good})
    todo = plan({"htpasswd": "a"}, [], state)
    assert (todo.write, todo.remove, todo.words) == ({}, ("tls.key",), ("tls.key removed",))
    open_ = State(docker=True, folder="755 0:0", files={"htpasswd": File("644 0:0", 1, "a")})
    todo = plan({"htpasswd": "a"}, [], open_)
    assert todo.write == {"htpasswd": "a"}
    assert todo.words == ("htpasswd: 644 0:0 -> 600 0:0", "folder: 755 0:0 -> 700 0:0")


def test_a_certificate_newer_than_the_server_makes_it_stale() -> None:
    files = {"tls.crt": File(FILE_RIGHTS, 20), "htpasswd": File(FILE_RIGHTS, 99)}
    assert State(docker=True, files=files, started=10).stale
    assert not State(docker=True, files=files, started=30).stale
    assert not State(docker=True, files=files, started=0).stale


def test_what_a_script_prints_is_read_and_half_of_it_is_not() -> None:
    lines = ["docker yes", "started 30", "folder 700 0:0", "file htpasswd file 600 0:0 7 -YQ==",
             "file tls.key link", "end"]  # fmt: skip
    state = parse(lines)
    assert (state.text("htpasswd"), state.files["tls.key"].rights, state.started) == (
        "a",
        "link",
        30,
    )
    with pytest.raises(ValueError, match="did not reach its end"):
        parse(lines[:-1])
