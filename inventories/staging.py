"""Your staging hosts: the same groups as production, fewer machines. See prod.py for every key."""

# How to reach a host.
_SSH = {
    # The user who logs in, and that commands run as root by sudo.
    "ssh_user": "deploy",
    "_sudo": True,
    # Host keys that you have checked.
    "ssh_known_hosts_file": "inventories/known_hosts",
}

# Registry, Nexus, InfluxDB, and the applications, all on one machine.
services = [("staging-1.example.com", _SSH)]
apps = [("staging-1.example.com", _SSH)]
builders = [("staging-1.example.com", _SSH)]
