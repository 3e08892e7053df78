"""Your production hosts: an example to change.

    pyinfra inventories/prod.py deploys/site.py --dry     what would change
    pyinfra inventories/prod.py deploys/site.py -y        do it
    uplift doctor inventories/prod.py                     what is missing before that

A list of hosts is a group, and its name the group's; names that begin with "_" are helpers.
A host is a name, or a pair of its name and data for it alone. Values for groups stand in
group_data/, values for all hosts of this file alone in group_data/prod.py (make it if you need it).
"""

# How to reach a host. Leave out what your ~/.ssh/config says already: pyinfra reads HostName, User,
# Port, IdentityFile, ProxyJump (bastions), ProxyCommand and ForwardAgent from there, for example
#     Host *.example.com
#         User deploy
#         ProxyJump bastion.example.com
_SSH = {
    # The user who logs in, and that commands run as root by sudo.
    "ssh_user": "deploy",
    "_sudo": True,
    # Where sudo asks for a password: docs/secrets.md, "sudo". Where the user is root: no _sudo.
    # Host keys that you have checked. Add one with `ssh-keyscan -t ed25519 HOST`, after comparing
    # its fingerprint with the one on the host's console. Without this line: ~/.ssh/known_hosts.
    "ssh_known_hosts_file": "inventories/known_hosts",
    # An SSH agent, else the keys in ~/.ssh, are used; to name one instead:
    # "ssh_key": "~/.ssh/id_ed25519",
    # Another file than ~/.ssh/config:
    # "ssh_config_file": "inventories/ssh_config",
}

# They run the registry, Nexus and InfluxDB.
services = [
    ("services-1.example.com", _SSH),
]

# They run applications.
apps = [
    ("app-1.example.com", _SSH),
    # A name that is no address: say where it is.
    ("app-2.example.com", {**_SSH, "ssh_hostname": "192.0.2.12", "ssh_port": 2222}),
]

# They build images; a host may be in several groups.
builders = [
    ("services-1.example.com", _SSH),
]
