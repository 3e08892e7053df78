"""What the lab tests of Nexus want of a server: settings that use every kind of object."""

from __future__ import annotations

import secrets
from typing import Any

N, A = "NexusAuthenticatingRealm", "NexusAuthorizingRealm"
VIEW = "nx-repository-view-"

# All that a shell, JSON or curl's configuration could stumble over.
VALUES = {
    "ADMIN": f"""a:b "c" 'd' \\n\\ %7B$(id){{}} é {secrets.token_hex(8)}""",
    **{name: secrets.token_hex(12) for name in ("REMOTE", "AUDIT", "DEPLOYER", "READER", "OTHER")},
}


def secret(name: str) -> dict[str, str]:
    """A reference, as group data holds it."""
    return {"secret": f"n/{name}"}


def repository(format: str, type: str, name: str, **more: Any) -> dict[str, Any]:
    """A repository."""
    return {"format": format, "type": type, "name": name, **more}


# Nothing answers there: proxies are configured, not used.
REMOTE = "http://127.0.0.1:9/"
PROXY = {"remote_url": REMOTE, "content_max_age": 720}
BLOCK: dict[str, Any] = {
    "admin": {"password": secret("admin")},
    "realms": {"active": ["NpmToken"]},
    "blob_stores": [
        {"name": "default"},
        {"name": "packages", "soft_quota": {"type": "spaceUsedQuota", "limit": "10GB"}},
    ],
    "routing_rules": [{"name": "ours", "description": "not asked for", "matchers": ["^/ours/.*"]}],
    "content_selectors": [{"name": "public", "expression": 'format == "raw"'}],
    "cleanup_policies": [
        {"name": "old-pypi", "format": "pypi", "notes": "a", "criteria_last_downloaded": 90}
    ],
    "compactions": [{"name": "Compact packages", "blob_store_name": "packages"}],
    "repositories": [
        repository("pypi", "group", "pypi", group={"member_names": ["pypi-ours", "pypi-public"]}),
        repository(
            "pypi",
            "hosted",
            "pypi-ours",
            storage={"blob_store_name": "packages"},
            cleanup={"policy_names": ["old-pypi"]},
        ),
        repository(
            "pypi",
            "proxy",
            "pypi-public",
            proxy=PROXY,
            routing_rule="ours",
            http_client={
                "authentication": {"username": "us", "password": secret("remote")},
                "connection": {"timeout": 30, "retries": 2},
            },
        ),
        repository("npm", "hosted", "npm-ours"),
        repository("npm", "proxy", "npm-public", proxy=PROXY),
        repository("npm", "group", "npm", group={"member_names": ["npm-ours", "npm-public"]}),
        repository("raw", "hosted", "files", raw={"content_disposition": "ATTACHMENT"}),
        repository("raw", "proxy", "files-public", proxy=PROXY),
        repository("raw", "group", "file", group={"member_names": ["files", "files-public"]}),
        repository("maven2", "hosted", "jars"),
        repository("maven2", "proxy", "jars-public", proxy=PROXY),
        repository("maven2", "group", "jar", group={"member_names": ["jars", "jars-public"]}),
    ],
    "privileges": [
        {
            "type": "repository-content-selector",
            "name": "files-public",
            "format": "raw",
            "repository": "files",
            "content_selector": "public",
            "actions": ["READ", "BROWSE"],
        }
    ],
    "roles": [
        {"id": "auditor", "privileges": ["files-public", "nx-search-read"]},
        {"id": "watcher", "privileges": ["nx-metrics-all"]},
    ],
    "users": [{"user_id": "audit", "password": secret("audit"), "roles": ["auditor", "reader"]}],
    "deployers": {
        "repositories": ["pypi-ours", "npm-ours", "files", "jars"],
        "users": [{"user_id": "deployer", "password": secret("deployer")}],
    },
    "readers": {
        "repositories": ["pypi", "npm", "files"],
        "users": [{"user_id": "reader", "password": secret("reader")}],
    },
}
PROBES = 4  # of admin, audit, deployer and reader

NEWER: dict[str, Any] = {
    "admin": BLOCK["admin"],
    # The one that this version keeps to itself, and takes no list with.
    "realms": {"strict": True, "active": [N, A]},
    "blob_stores": BLOCK["blob_stores"],
    "routing_rules": BLOCK["routing_rules"],
    "content_selectors": BLOCK["content_selectors"],
    "cleanup_policies": [{"name": "old", "format": "maven2", "criteria_last_downloaded": 90}],
    "compactions": BLOCK["compactions"],
    "repositories": [
        repository(
            "raw",
            "hosted",
            "files",
            storage={"blob_store_name": "packages"},
            raw={"content_disposition": "ATTACHMENT"},
        ),
        repository(
            "maven2",
            "hosted",
            "jars",
            cleanup={"policy_names": ["old"]},
            maven={"content_disposition": "INLINE"},
        ),
        repository(
            "maven2",
            "proxy",
            "jars-public",
            proxy=PROXY,
            routing_rule="ours",
            http_client={"authentication": {"username": "us", "password": secret("remote")}},
        ),
        repository("maven2", "group", "jar", group={"member_names": ["jars", "jars-public"]}),
        repository(
            "raw",
            "proxy",
            "files-public",
            proxy=PROXY,
            raw={"content_disposition": "INLINE"},
            http_client={"connection": {"timeout": 30}},
        ),
    ],
    "privileges": BLOCK["privileges"],
    "roles": BLOCK["roles"],
    "users": [{"user_id": "audit", "password": secret("audit"), "roles": ["auditor"]}],
    "deployers": {**BLOCK["deployers"], "repositories": ["files", "jars"]},
    "readers": {**BLOCK["readers"], "repositories": ["jar", "files"]},
}
