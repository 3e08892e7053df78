"""Values for hosts of the group `apps`: they run applications and install from your indexes.

Replace nexus.example.com by the host of your Nexus, then take the comment signs away and store the
password: `uplift secrets set nexus/deployer`.
"""

# from uplift.secrets import secret

# clients = {
#     # /etc/uv/uv.toml, read by every user of the host: addresses, never passwords.
#     "uv": {
#         "system_certs": True,
#         "index": [
#             {"name": "nexus", "url": "https://nexus.example.com/repository/pypi/simple",
#              "default": True},
#         ],
#     },
#     # /etc/pip.conf, the same for pip.
#     "pip": {
#         "index_url": "https://nexus.example.com/repository/pypi/simple",
#         # Every CA that the host trusts, in one file.
#         "cert": "/etc/ssl/certs/ca-certificates.crt",
#     },
#     # Files in the homes of users; 0600, as they hold passwords.
#     "users": [
#         {
#             "user": "deploy",
#             # uv, pip and curl take the login from here.
#             "netrc": [
#                 {"machine": "nexus.example.com", "login": "deployer",
#                  "password": secret("nexus/deployer")},
#             ],
#         },
#     ],
# }

# influxdb_client = {
#     # Tokens that the InfluxDB of another host made, in files for those who write to it.
#     "tokens": [
#         {"secret": secret("influxdb/telegraf"), "file": "/etc/telegraf/influxdb.token",
#          "owner": "telegraf"},
#     ],
# }

# haproxy = {
#     # Where applications are reached; the statistics are on 127.0.0.1:8404.
#     "binds": [{"address": "*", "port": 80}],
# }

# apps = [
#     {
#         "name": "console",
#         "image": "registry.example.com:5000/console:2.0.0-uv",
#         # That it listens on in its container; it answers GET /readyz when it may serve.
#         "port": 8000,
#         # Of the host's 127.0.0.1: the slots blue and green.
#         "slot_ports": [18001, 18002],
#         "routes": [{"host": "console.example.com"}],
#         "secrets": {"token": secret("console/token")},
#         # Run once for the whole inventory, before anything is switched.
#         "jobs": [{"name": "migrate", "command": ["python", "-m", "console.migrate"]}],
#         # How long open connections may stay on the release before.
#         "drain": {"seconds": 60},
#     },
# ]
