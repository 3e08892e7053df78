"""Extra CA certificates: the system's store and OpenSSL trust them, and no others of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

from uplift.settings import Settings
from uplift.verify import files

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
FOLDER = "/usr/local/share/ca-certificates/uplift"
VERIFY = "openssl verify -partial_chain -CApath /etc/ssl/certs"


@pytest.fixture(scope="module")
def listed(settings: Settings) -> dict[str, str]:
    """Return the certificates of the settings: file and number, and the certificate's text."""
    found = {}
    for name in settings.certificates.files:
        pem = Path(name).expanduser().read_text()
        for number, body in enumerate(sorted(files.certificates(pem)), 1):
            found[f"{name} ({number})"] = body
    return found


def require(listed: dict[str, str]) -> None:
    if not listed:
        pytest.skip("the settings list no extra certificates")


def test_the_bundle_holds_every_listed_certificate(host: Host, listed: dict[str, str]) -> None:
    require(listed)
    there = files.certificates(files.read(host, BUNDLE))
    assert [name for name, body in listed.items() if body not in there] == []


def test_openssl_trusts_every_listed_certificate(host: Host, listed: dict[str, str]) -> None:
    require(listed)
    refused = {}
    for name, body in listed.items():
        pem = f"-----BEGIN CERTIFICATE-----\n{wrapped(body)}-----END CERTIFICATE-----\n"
        said = host.run(VERIFY, stdin=pem)
        if said.rc != 0:
            refused[name] = said.stderr.strip()
    assert refused == {}


def test_openssl_trusts_no_certificate_that_nobody_listed(host: Host) -> None:
    made = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
        "-subj /CN=nobody-trusts-me -keyout /dev/null 2>/dev/null"
    )
    assert "BEGIN CERTIFICATE" in host.check_output(made)
    assert host.run(f"{made} | {VERIFY}").rc != 0


def test_our_folder_holds_nothing_that_was_taken_out(host: Host, listed: dict[str, str]) -> None:
    text = host.check_output("cat %s/*.crt 2>/dev/null || true", FOLDER)
    assert files.certificates(text) == set(listed.values())


def test_every_user_can_read_the_bundle_and_root_alone_can_write_it(host: Host) -> None:
    assert files.rights(host, BUNDLE) == "644 root:root"


def wrapped(body: str) -> str:
    return "".join(f"{body[start : start + 64]}\n" for start in range(0, len(body), 64))
