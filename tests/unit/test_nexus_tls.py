"""TLS in the server of a Nexus: its keystore, its settings, and what is done about its files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from ca_double import make_ca
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from uplift import authority
from uplift.spec.errors import SettingsError
from uplift.spec.http import Request, Trouble, Way, judge, render
from uplift.spec.nexus import tls
from uplift.spec.nexus.data import Data, wanted_properties
from uplift.spec.nexus.record import path
from uplift.spec.nexus.server import Memory, Server, container
from uplift.spec.nexus.tls import (
    AUTHORITY,
    FOLDER_RIGHTS,
    KEYSTORE,
    RIGHTS,
    File,
    Files,
    Material,
    Todo,
    pack,
    parse,
    plan,
    unpack,
)
from uplift.spec.registry.tls import chain

NAMES = {"names": ["nexus.example.com", "10.0.0.5"]}


def server(**fields: Any) -> Server:
    return Server.parse({"tls": NAMES, **fields}, path="nexus.container")


@pytest.fixture
def signed(tmp_path: Path) -> Material:
    """A certificate of a controller's own CA."""
    text, key = authority.own(tmp_path).sign(["nexus.example.com"], datetime.now(UTC))
    return Material(text, key.reveal())


def test_a_keystore_holds_what_was_put_into_it_the_chain_included(signed: Material) -> None:
    above, _ = make_ca("above")
    whole = Material(signed.certificate + above, signed.key)
    for it in (signed, whole):
        assert unpack(pack(it)) == it
        assert unpack(pack(it)).same(it)
    assert not whole.same(signed)
    assert not signed.same(Material(*make_ca("other")))
    assert not signed.same(Material(signed.certificate, make_ca("other")[1]))
    assert not signed.same(Material())


def test_a_keystore_of_somebody_else_or_a_damaged_one_is_no_keystore(signed: Material) -> None:
    key = load_pem_private_key(signed.key.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    word = BestAvailableEncryption(token_hex(8).encode())
    other = pkcs12.serialize_key_and_certificates(b"x", key, chain(signed.certificate)[0], [], word)
    for content in (b"", b"x", pack(signed)[:-1], other):
        assert unpack(content) == Material()


def test_a_key_that_java_8_cannot_use_is_named_and_not_shown(signed: Material) -> None:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(*form).decode()
    with pytest.raises(ValueError, match="neither RSA nor") as caught:
        pack(Material(signed.certificate, key))
    assert key.splitlines()[1] not in str(caught.value)


def test_what_holds_a_key_does_not_show_it(signed: Material) -> None:
    content = pack(signed)
    shown = repr((signed, File("x", 1, content), Todo({KEYSTORE: content})))
    assert signed.key.splitlines()[1] not in shown
    assert repr(content)[2:30] not in shown


def test_nothing_is_written_when_all_is_as_it_shall_be(signed: Material) -> None:
    found = {
        KEYSTORE: File(RIGHTS[KEYSTORE], 5, pack(signed)),
        AUTHORITY: File(RIGHTS[AUTHORITY], 5, b"ca"),
    }
    files = Files(FOLDER_RIGHTS, found, started=6)
    assert plan(files, signed, "ca", "") == Todo()
    assert not files.stale
    assert Files(FOLDER_RIGHTS, found, started=4).stale
    assert not Files(FOLDER_RIGHTS, found).stale


def test_what_differs_is_written_and_said(signed: Material) -> None:
    made = plan(Files(), signed, "ca", "made")
    assert made.words == ("certificate: made",)
    assert unpack(made.write[KEYSTORE]) == signed
    assert made.write[AUTHORITY] == b"ca"
    found = {
        KEYSTORE: File("644 0:200", 5, pack(signed)),
        AUTHORITY: File(RIGHTS[AUTHORITY], 5, b"old"),
    }
    drifted = plan(Files("755 0:0", found), signed, "ca", "")
    assert drifted.write == {KEYSTORE: found[KEYSTORE].content, AUTHORITY: b"ca"}
    assert drifted.words == (
        f"{AUTHORITY}: written",
        f"{KEYSTORE}: 644 0:200 -> {RIGHTS[KEYSTORE]}",
        f"folder: 755 0:0 -> {FOLDER_RIGHTS}",
    )


def test_without_tls_the_files_go_and_nothing_is_said_when_there_are_none() -> None:
    assert plan(Files(), None, "", "") == Todo()
    gone = plan(Files(FOLDER_RIGHTS), None, "", "")
    assert (gone.remove, gone.words) == (True, ("files of TLS removed",))


def test_the_lines_of_the_host_are_read() -> None:
    files = parse(
        ["nexus-used yes", "tls-started 7", "tls-folder 750 0:200",
         "tls-file keystore.jks 640 0:200 5 -eA==", "tls-file ca.crt 640 0:200 9 -"]
    )  # fmt: skip
    assert files == Files(
        FOLDER_RIGHTS,
        {KEYSTORE: File("640 0:200", 5, b"x"), AUTHORITY: File("640 0:200", 9, b"")},
        7,
    )
    assert parse(["nexus-used yes"]) == Files()


def test_a_server_with_tls_listens_with_it_and_is_asked_by_the_name_of_its_certificate() -> None:
    it = server(address="10.0.0.5", context_path="/nexus")
    found = container(it, Memory(2**29, 2**29))
    assert [(one.container, one.host) for one in found.ports] == [(tls.PORT, 28081)]
    assert found.health.http is not None
    assert (found.health.http.scheme, found.health.http.port) == ("https", tls.PORT)
    mount = found.mounts[1]
    assert (mount.source, mount.target, mount.read_only) == ("/etc/uplift/nexus", tls.INSIDE, True)
    assert it.url == "https://nexus.example.com:28081/nexus"
    assert it.way == Way("10.0.0.5:28081", "/etc/uplift/nexus/ca.crt")
    # A certificate of yours is checked by the host's own store.
    own = {"names": ["nexus.example.com"], "certificate": "c.pem", "key_file": "k.pem"}
    assert server(tls=own).way == Way("127.0.0.1:28081")


def test_a_server_without_tls_is_as_it_was() -> None:
    it = Server.parse({}, path="nexus.container")
    found = container(it, Memory(2**29, 2**29))
    assert (len(found.mounts), it.way, it.url) == (1, None, "http://127.0.0.1:28081")


def test_the_properties_of_tls_are_ours_while_there_is_tls() -> None:
    has = Data(used=True)
    assert wanted_properties(server(), has) == tls.PROPERTIES
    plain = Server.parse({}, path="nexus.container")
    assert wanted_properties(plain, has) == {}
    ours = Data(used=True, properties="".join(f"{k}={v}\n" for k, v in tls.PROPERTIES.items()))
    assert wanted_properties(plain, ours) == dict.fromkeys(tls.PROPERTIES)
    # What somebody set up by hand is theirs.
    theirs = Data(used=True, properties="ssl.etc=/other\nnexus-args=x\n")
    assert wanted_properties(plain, theirs) == {}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"properties": {"ssl.etc": "/x"}}, "properties: ssl.etc is not set here: that is 'tls'"),
        ({"tls": {"names": []}}, "nexus.container.tls: names: at least one"),
        ({"tls": {"names": ["n:1"]}}, "nexus.container.tls.names[0]: the host alone"),
        ({"tls": {"names": ["n"], "certificate": "c"}}, "tls: certificate needs its private key"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        server(**fields)
    assert text in str(caught.value)


def test_what_a_host_remembers_stays_when_a_server_gets_tls() -> None:
    it = server(context_path="/nexus")
    plain = Server.parse({"context_path": "/nexus"}, path="nexus.container")
    assert it.way is not None
    assert path(it.url, it.way.connect) == path(plain.url)


def test_each_request_goes_by_the_way_and_checks_the_certificate() -> None:
    asked = [Request("GET", "/a"), Request("GET", "/b")]
    config = render(asked, "https://n:1", way=Way("127.0.0.1:1", "/ca.crt"))
    assert config.count('connect-to = "::127.0.0.1:1"') == 2
    assert config.count('cacert = "/ca.crt"') == 2
    assert "insecure" not in config
    assert "cacert" not in render(asked, "https://n:1", way=Way("127.0.0.1:1"))


def test_a_certificate_that_is_not_trusted_is_said() -> None:
    said = judge(b"\n000 60 0 \n", 60, [Request("GET", "/a")])
    assert said.trouble is Trouble.UNTRUSTED
