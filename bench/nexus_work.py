"""The state that is compared: one Nexus, in the terms of each tool.

Seven repositories of three formats, a blob store, a realm beside the server's own, no anonymous
access, a role and a user. The proxies' remotes do not answer: they are configured, not used.
"""

from __future__ import annotations

from typing import Any

REMOTE = "http://127.0.0.1:9/"
STORE = "packages"
PROVIDER = "3.0.0"
REALMS = ["NexusAuthenticatingRealm", "NexusAuthorizingRealm", "NpmToken"]
READER = "reader"
PRIVILEGES = [f"nx-repository-view-{name}-read" for name in ("pypi-pypi", "npm-npm", "raw-files")]
GROUPED = ("pypi", "npm")

Object = dict[str, Any]


def members(format: str) -> list[str]:
    """Return the members of a format's group, in their order."""
    return [f"{format}-private", f"{format}-public"]


def uplift() -> Object:
    """Return it as the block `nexus`."""
    storage = {"blob_store_name": STORE}
    repositories: list[Object] = [{"format": "raw", "type": "hosted", "name": "files"}]
    for format in GROUPED:
        hosted, public = members(format)
        repositories += [
            {"format": format, "type": "hosted", "name": hosted},
            {"format": format, "type": "proxy", "name": public, "proxy": {"remote_url": REMOTE}},
            {
                "format": format,
                "type": "group",
                "name": format,
                "group": {"member_names": members(format)},
            },
        ]
    return {
        "admin": {"password": {"secret": "bench/admin"}},
        "realms": {"active": ["NpmToken"]},
        "blob_stores": [{"name": STORE}],
        "repositories": [{**it, "storage": storage} for it in repositories],
        "roles": [{"id": READER, "privileges": PRIVILEGES}],
        "users": [
            {"user_id": READER, "password": {"secret": "bench/reader"}, "roles": [READER]},
        ],
    }


def opentofu() -> Object:
    """Return it as a configuration in OpenTofu's JSON syntax; secrets are its variables."""
    storage = {"blob_store_name": STORE, "strict_content_type_validation": True}
    after = ["nexus_blobstore_file.all"]
    hosted = {"storage": {**storage, "write_policy": "ALLOW_ONCE"}, "depends_on": after}
    proxy = {
        "storage": storage,
        "proxy": {"remote_url": REMOTE, "content_max_age": 1440, "metadata_max_age": 1440},
        "negative_cache": {"enabled": True, "ttl": 1440},
        "http_client": {"blocked": False, "auto_block": True},
        "depends_on": after,
    }
    resources: Object = {
        "nexus_blobstore_file": {"all": {"name": STORE}},
        "nexus_security_anonymous": {"all": {"enabled": False, "user_id": "anonymous"}},
        "nexus_security_realms": {"all": {"active": REALMS}},
        "nexus_repository_raw_hosted": {"all": {"name": "files", **hosted}},
    }
    for format in GROUPED:
        ours, public = members(format)
        kind = f"nexus_repository_{format}"
        resources[f"{kind}_hosted"] = {"all": {"name": ours, **hosted}}
        resources[f"{kind}_proxy"] = {"all": {"name": public, **proxy}}
        resources[f"{kind}_group"] = {
            "all": {
                "name": format,
                "storage": storage,
                "group": {"member_names": members(format)},
                "depends_on": [f"{kind}_hosted.all", f"{kind}_proxy.all"],
            }
        }
    resources["nexus_security_role"] = {
        "all": {
            "roleid": READER,
            "name": READER,
            "privileges": PRIVILEGES,
            "depends_on": [name + ".all" for name in resources if "repository" in name],
        }
    }
    resources["nexus_security_user"] = {
        "all": {
            "userid": READER,
            "firstname": READER,
            "lastname": READER,
            "email": f"{READER}@example.com",
            "password": "${var.reader}",
            "roles": [READER],
            "status": "active",
            "depends_on": ["nexus_security_role.all"],
        }
    }
    secret = {"type": "string", "sensitive": True}
    source = {"source": "datadrivers/nexus", "version": PROVIDER}
    return {
        "terraform": {"required_providers": {"nexus": source}},
        "variable": {"url": {"type": "string"}, "password": secret, "reader": secret},
        "provider": {
            "nexus": {"url": "${var.url}", "username": "admin", "password": "${var.password}"}
        },
        "resource": resources,
    }


def collection(host: str, port: int, admin: str, reader: str) -> Object:
    """Return it as variables of the collection's role `config_api`.

    Args:
        host: and
        port: where the server is.
        admin: password of its administrator.
        reader: password of the user.
    """
    own = {"blob_store": STORE}
    known: Object = {"nexus_repos_raw_hosted": [{"name": "files", **own}]}
    for format in GROUPED:
        ours, public = members(format)
        kind = f"nexus_repos_{format}"
        known[f"{kind}_hosted"] = [{"name": ours, "write_policy": "allow_once", **own}]
        known[f"{kind}_proxy"] = [{"name": public, "remote_url": REMOTE, **own}]
        known[f"{kind}_group"] = [{"name": format, "member_repos": members(format), **own}]
    role = {"id": READER, "name": READER, "description": "", "privileges": PRIVILEGES, "roles": []}
    user = {
        "username": READER,
        "first_name": READER,
        "last_name": READER,
        "email": f"{READER}@example.com",
        "password": reader,
        "roles": [READER],
    }
    return {
        "nexus_api_hostname": host,
        "nexus_api_port": port,
        "nexus_admin_password": admin,
        "nexus_default_user_password": reader,
        "nexus_anonymous_access": {
            "enabled": False,
            "userId": "anonymous",
            "realmName": "NexusAuthorizingRealm",
        },
        "nexus_security_realms": REALMS,
        "nexus_blobstores": [{"name": STORE, "type": "File", "path": STORE}],
        "nexus_roles": [role],
        "nexus_local_users": [user],
        **known,
    }
