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
