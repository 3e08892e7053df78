"""The work that is compared: twelve client files, as settings of ours and as plain files."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".uplift" / "bench"
PROJECT = PLACE / "project"
USERS = ("deploy", "app")
NEXUS = "https://nexus.example.com/repository"
PASSWORD = secrets.token_hex(16)  # made up for each run of the benchmark

# Folders that stand before, for everybody: only files are compared.
FOLDERS = [f"/home/{user}/{name}" for user in USERS for name in (".docker", ".config/pip")]


def clients() -> dict[str, Any]:
    """Return the work as the block `clients` of our settings."""
    password = {"secret": "bench/deployer"}
    login = {"username": "deployer", "password": password}
    user = {
        "netrc": [{"machine": "nexus.example.com", "login": "deployer", "password": password}],
        "npmrc": {
            "scopes": {"@corp": f"{NEXUS}/npm-private/"},
            "auth": [{"url": f"{NEXUS}/npm-private/", **login}],
        },
        "pip": {"index_url": f"{NEXUS}/pypi/simple"},
        "pypirc": {"servers": [{"name": "corp", "repository": f"{NEXUS}/pypi-private/", **login}]},
        "docker": {"auths": [{"registry": "registry.example.com:5000", **login}]},
    }
    return {
        "uv": {
            "system_certs": True,
            "index": [{"name": "corp", "url": f"{NEXUS}/pypi/simple", "default": True}],
        },
        "pip": {"index_url": f"{NEXUS}/pypi/simple"},
        "users": [{"user": name, **user} for name in USERS],
    }


def files() -> list[dict[str, str]]:
    """Return the same work as plain files: path, owner, mode, content."""
    token = base64.b64encode(f"deployer:{PASSWORD}".encode()).decode()
    pip = f"[global]\nindex-url = {NEXUS}/pypi/simple\n"
    uv = f'system-certs = true\n\n[[index]]\nname = "corp"\nurl = "{NEXUS}/pypi/simple"\n'
    found = [
        _file("/etc/uv/uv.toml", "root", "644", uv + "default = true\n"),
        _file("/etc/pip.conf", "root", "644", pip),
    ]
    for user in USERS:
        own = {
            ".netrc": f"machine nexus.example.com login deployer password {PASSWORD}\n",
            ".npmrc": f"@corp:registry={NEXUS}/npm-private/\n"
            f"//nexus.example.com/repository/npm-private/:_auth={token}\n",
            ".config/pip/pip.conf": pip,
            ".pypirc": "[distutils]\nindex-servers = corp\n\n[corp]\n"
            f"repository = {NEXUS}/pypi-private/\nusername = deployer\npassword = {PASSWORD}\n",
            ".docker/config.json": json.dumps(
                {"auths": {"registry.example.com:5000": {"auth": token}}}, indent=2
            )
            + "\n",
        }
        found += [_file(f"/home/{user}/{name}", user, "600", own[name]) for name in own]
    return found


def _file(path: str, owner: str, mode: str, content: str) -> dict[str, str]:
    return {"path": path, "owner": owner, "mode": mode, "content": content}


def write_project(hosts: list[dict[str, Any]]) -> None:
    """Write a project folder that pyinfra and Ansible are started in.

    Args:
        hosts: of the lab, as ``uplift lab status --json`` shows them.
    """
    shutil.rmtree(PLACE, ignore_errors=True)
    for name in ("inventories", "group_data", "deploys"):
        (PROJECT / name).mkdir(parents=True)
    shutil.copy(ROOT / "config.py", PROJECT)
    shutil.copy(ROOT / "deploys" / "clients.py", PROJECT / "deploys")
    for name in ("stock_operations.py", "playbook.yml", "ansible.cfg"):
        shutil.copy(ROOT / "bench" / name, PROJECT)
    _private(PROJECT / "files.json", json.dumps(files()))
    (PROJECT / "group_data/all.py").write_text(
        f'_sudo = True\nssh_strict_host_key_checking = "yes"\nclients = {clients()!r}\n'
    )
    for number in range(1, len(hosts) + 1):
        _inventories(hosts[:number])


def _inventories(hosts: list[dict[str, Any]]) -> None:
    pairs = [
        (
            host["name"],
            {
                "ssh_hostname": host["address"],
                "ssh_port": host["port"],
                "ssh_user": host["user"],
                "ssh_key": host["identity_file"],
                "ssh_known_hosts_file": host["known_hosts_file"],
            },
        )
        for host in hosts
    ]
    (PROJECT / f"inventories/hosts{len(hosts)}.py").write_text(f"bench = {pairs!r}\n")
    lines = [
        f"{name} ansible_host={data['ssh_hostname']} ansible_port={data['ssh_port']} "
        f"ansible_user={data['ssh_user']} ansible_ssh_private_key_file={data['ssh_key']} "
        f"ansible_ssh_common_args='-o UserKnownHostsFile={data['ssh_known_hosts_file']}'"
        for name, data in pairs
    ]
    (PROJECT / f"inventories/hosts{len(hosts)}.ini").write_text("\n".join(["[bench]", *lines, ""]))


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
