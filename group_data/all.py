"""Values for every host of every inventory.

pyinfra loads these files by the name of a group: all.py, then one file a group, in the order in
which the inventory defines its groups, and last the file named after the inventory itself
(prod.py for inventories/prod.py). A later file replaces a whole name of an earlier one; it does
not merge into it. A block that is None, or stands nowhere, is not managed.
What each block may hold: docs/settings.md.
"""

# Seconds after which one command on a host is given up and the host counts as failed.
_timeout = 900

# Seconds for a host that is connected to begin with a command. Without it a host whose sshd falls
# silent between two commands would hold up the run for an hour.
ssh_paramiko_connect_kwargs = {"channel_timeout": 30}

# A host whose key is not in known_hosts, or differs from it, is refused.
ssh_strict_host_key_checking = "yes"

# CA certificates that hosts trust beside their distribution's, as PEM files on this machine,
# for example a company's own: {"files": ["files/company-ca.crt"]}
certificates = {"files": []}

# The uv that each host has. "sha256" can pin the wheel for each architecture; when left out, what
# the index says at first is recorded and holds from then on.
uv = {"version": "0.13.8"}

# The distribution's Docker Engine; one that is already there is adopted, never replaced.
docker = {
    # Rotation of container logs; without it they grow until the disk is full.
    "log_driver": "json-file",
    "log_opts": {"max_size": "10m", "max_file": 3},
    # Containers live on while the daemon restarts. Docker refuses it together with Swarm.
    "live_restore": True,
    # A registry whose certificate this controller signs (the block `registry`) is trusted by
    # "registries": {"registry.example.com:5000": {"own_ca": True}},
}

# Client files of the host and its users. Passwords are references, never values:
# "password": secret("nexus/deployer"), with `from uplift.secrets import secret` at the top and the
# value stored by `uplift secrets set nexus/deployer`.
clients = {
    # /etc/uv/uv.toml: uv trusts what the system trusts, added certificates included.
    "uv": {"system_certs": True},
    # /etc/pip.conf, the same for pip.
    "pip": {"cert": "/etc/ssl/certs/ca-certificates.crt"},
}
