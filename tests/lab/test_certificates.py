"""Extra CA certificates on a real host: trusted by real clients, lost in each way, put back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ca_double import ca, make_ca
from tests.lab.conftest import cases

from uplift import controller
from uplift.spec.certificates import BUNDLE, FOLDER, split

OURS = split(ca("Uplift Test CA"))[0]
FILE, LINK = f"{FOLDER}/{OURS.file}", f"/etc/ssl/certs/{OURS.file.removesuffix('.crt')}.pem"

Run = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[[str], str]
Deploy = Callable[..., bool]


@pytest.fixture(scope="module")
def box(hosts: list[dict[str, Any]]) -> str:
    """The host of these tests."""
    return str(hosts[-1]["name"])


@pytest.fixture(scope="module", autouse=True)
def site_again(pyinfra: Run, box: str) -> Iterator[None]:
    """Leave the host as the lab wants it."""
    yield
    pyinfra("inventories/lab.py", "deploys/certificates.py", "-y", "--limit", box)


@pytest.fixture(scope="module")
def shell(ssh: Run, box: str) -> Shell:
    """Run a command on the host as root and return what it prints."""

    def run(command: str) -> str:
        quoted = "'" + command.replace("'", "'\"'\"'") + "'"
        return ssh(box, f"sudo sh -c {quoted}").stdout.strip()

    return run


@pytest.fixture(scope="module")
def deploy(pyinfra: Run, box: str, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Deploy the controller's own CAs and, if wanted, ours; return whether it changed."""
    folder = tmp_path_factory.mktemp("ca")
    (folder / "ca.pem").write_text(ca("Uplift Test CA"))

    def run(*, ours: bool = True) -> bool:
        files = [*controller.certificates(), *([str(folder / "ca.pem")] if ours else [])]
        done = pyinfra(
            *("inventories/lab.py", "deploys/certificates.py", "-y", "--json", "--limit", box),
            *("--data", f"certificates={json.dumps({'files': files})}"),
        )
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        return operation["no_change"] == []

    return run


@pytest.fixture(scope="module")
def server(shell: Shell) -> Iterator[None]:
    """A TLS server on the host whose certificate the test's CA has signed."""
    certificate, key = make_ca("Uplift Test CA")
    shell(f"mkdir -p /root/tls && cd /root/tls && umask 077 && printf %s '{certificate}' >ca.crt")
    shell(f"cd /root/tls && umask 077 && printf %s '{key}' >ca.key")
    shell(
        "cd /root/tls && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-keyout key -subj /CN=localhost -out csr 2>/dev/null && "
        "printf 'subjectAltName=DNS:localhost' >ext && openssl x509 -req -in csr -CA ca.crt "
        "-CAkey ca.key -days 2 -extfile ext -out crt 2>/dev/null"
    )
    shell(
        "systemd-run --quiet --unit uplift-tls openssl s_server -accept 127.0.0.1:4433 -www "
        "-cert /root/tls/crt -key /root/tls/key; "
        "for i in 1 2 3 4 5 6 7 8 9 10; do ss -ltn | grep -q :4433 && break; sleep 0.3; done; "
        # Who is told of the CA can use the server: only trust is what the tests find missing.
        "curl -sS -o /dev/null --cacert /root/tls/ca.crt https://localhost:4433/"
    )
    yield
    shell("systemctl stop uplift-tls; rm -rf /root/tls")


def clients(shell: Shell) -> dict[str, bool]:
    """Which clients trust the server: one reads the bundle, the other OpenSSL's links."""
    url = "https://localhost:4433/"
    verify = "openssl s_client -connect localhost:4433 -CApath /etc/ssl/certs -no-CAfile"
    return {
        "bundle": shell(f"curl -s -o /dev/null --cacert {BUNDLE} {url} && echo yes || echo no")
        == "yes",
        "default": shell(f"curl -s -o /dev/null {url} && echo yes || echo no") == "yes",
        "links": shell(f"{verify} -verify_return_error </dev/null >/dev/null 2>&1 && echo yes || :")
        == "yes",
    }


ALL = {"bundle": True, "default": True, "links": True}
NONE = dict.fromkeys(ALL, False)


def test_a_ca_is_trusted_by_real_clients_while_it_is_listed(
    deploy: Deploy, shell: Shell, server: None
) -> None:
    deploy(ours=False)
    assert clients(shell) == NONE
    assert deploy()
    assert clients(shell) == ALL
    assert not deploy()
    assert deploy(ours=False)
    assert clients(shell) == NONE
    assert not deploy(ours=False)
    # Nothing points into the void.
    assert shell("find /etc/ssl/certs -type l ! -exec test -e {} ';' -print") == ""


def test_a_dry_run_writes_nothing(pyinfra: Run, deploy: Deploy, shell: Shell, box: str) -> None:
    deploy(ours=False)
    look = f"find {FOLDER} /etc/ssl/certs -printf '%p %m %T@\\n' | sort | sha256sum"
    before = shell(look)
    data = f"certificates={json.dumps({'files': []})}"
    words = ("inventories/lab.py", "deploys/certificates.py", "--dry", "--json", "--limit", box)
    (operation,) = json.loads(pyinfra(*words, "--data", data).stdout)["plan"]
    assert bool(operation["hosts_with_change"]) is bool(controller.certificates())
    assert shell(look) == before


DRIFTS = {
    "file removed": f"rm {FILE}",
    "file removed, store updated": f"rm {FILE}; update-ca-certificates --fresh",
    "file changed, mode and owner": f"echo >>{FILE}; chmod 0600 {FILE}; chown deploy {FOLDER}",
    "bundle from elsewhere": f"cat /usr/share/ca-certificates/mozilla/*.crt >{BUNDLE}",
    "bundle removed": f"rm {BUNDLE}",
    "bundle empty, killed update": f": >{BUNDLE}; echo junk >{BUNDLE}.new",
    "link removed": f"rm {LINK}",
    "hash removed": f"find /etc/ssl/certs -lname {Path(LINK).name} -delete",
    "others in our folder": f"cp {FILE} {FOLDER}/other.crt; mkdir {FOLDER}/.x; : >{FOLDER}/.new",
    "link in place of the file": f"mv {FILE} /root/x; ln -s /root/x {FILE}",
}


@pytest.mark.parametrize("drift", cases(DRIFTS, "file removed", "bundle from elsewhere"))
def test_a_ca_that_was_lost_is_put_back_by_one_run_and_the_next_changes_nothing(
    deploy: Deploy, shell: Shell, server: None, drift: str
) -> None:
    if clients(shell) != ALL:
        deploy()
    shell(drift)
    assert deploy()
    assert clients(shell) == ALL
    assert not deploy()
    rights = shell(f"stat -c '%a %U:%G' {FILE} {FOLDER}").split("\n")
    assert rights == ["644 root:root", "755 root:root"]
    assert shell(f"grep -c junk {BUNDLE} || true") == "0"


def test_foreign_local_certificates_stay_trusted(
    deploy: Deploy, shell: Shell, server: None
) -> None:
    foreign = "/usr/local/share/ca-certificates/foreign.crt"
    shell(f"cp /root/tls/ca.crt {foreign}; chmod 0644 {foreign}; update-ca-certificates")
    try:
        # The same certificate twice: OpenSSL gives its link to one of the files only.
        deploy()
        assert not deploy()
        assert deploy(ours=False)
        assert shell(f"test -e {foreign} && echo yes") == "yes"
        assert clients(shell) == ALL
        assert not deploy(ours=False)
    finally:
        shell(f"rm {foreign}; update-ca-certificates --fresh")


def test_the_package_is_installed_where_it_is_missing(deploy: Deploy, shell: Shell) -> None:
    shell("dpkg --purge --force-depends ca-certificates; rm -rf /etc/ssl/certs")
    assert deploy()
    assert int(shell(f"grep -c BEGIN {BUNDLE}")) > 50
    assert shell("dpkg-query -W -f '${Status}' ca-certificates") == "install ok installed"
    assert not deploy()


def test_a_private_key_among_the_files_ends_the_run_before_anything_is_touched(
    pyinfra: Run, shell: Shell, box: str, tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_text("".join(make_ca("Uplift Test CA")))
    look = f"find {FOLDER} /etc/ssl/certs -printf '%p %m %T@\\n' | sort | sha256sum"
    before = shell(look)
    data = f"certificates={json.dumps({'files': [str(tmp_path / 'key.pem')]})}"
    words = ("inventories/lab.py", "deploys/certificates.py", "-y", "--limit", box, "--data", data)
    done = pyinfra(*words, check=False)
    assert done.returncode == 64
    assert "certificates.files[0]: " in done.stderr
    assert "holds a private key" in done.stderr
    assert shell(look) == before
