"""Values for hosts of the group `builders`: they build images and publish packages.

Replace nexus.example.com by the host of your Nexus, then take the comment signs away and store the
password: `uplift secrets set nexus/publisher`.
"""

# from uplift.secrets import secret

# clients = {
#     "uv": {"system_certs": True},
#     "users": [
#         {
#             "user": "deploy",
#             # ~/.pypirc: where twine publishes to.
#             "pypirc": {"servers": [
#                 {"name": "nexus",
#                  "repository": "https://nexus.example.com/repository/pypi-releases/",
#                  "username": "publisher", "password": secret("nexus/publisher")},
#             ]},
#             # ~/.npmrc: packages of the scope @corp come from your Nexus.
#             "npmrc": {
#                 "scopes": {"@corp": "https://nexus.example.com/repository/npm-releases/"},
#                 "auth": [
#                     {"url": "https://nexus.example.com/repository/npm-releases/",
#                      "username": "publisher", "password": secret("nexus/publisher")},
#                 ],
#             },
#             # ~/.docker/config.json: logins of `docker push`.
#             "docker": {"auths": [
#                 {"registry": "registry.example.com:5000", "username": "publisher",
#                  "password": secret("registry/publisher")},
#             ]},
#         },
#     ],
# }

# _LOGIN = {"username": "publisher", "password": secret("nexus/publisher")}
# packages = {
#     # Your own, published from a host of this group: docs/packages.md.
#     "repositories": {
#         "pypi-releases": {
#             "format": "pypi",
#             "url": "https://nexus.example.com/repository/pypi-releases/",
#             **_LOGIN,
#         },
#     },
#     "publish": [
#         # A folder with a pyproject.toml; relative to this project.
#         {"name": "your-package", "repository": "pypi-releases", "source": "../your-package"},
#     ],
# }

# images = {
#     # Built on the first host of this group and pushed by the login of its root: docs/images.md.
#     "build": [
#         {
#             "name": "registry.example.com:5000/your-app",
#             "version": "1.0.0",
#             # uv, poetry, pip, or dockerfile for one of your own.
#             "builder": "uv",
#             # A folder with pyproject.toml and uv.lock; relative to this project.
#             "source": "../your-app",
#             "python": "3.13",
#             "entry_point": ["your-app"],
#             # Where packages come from; left out: what the project itself says.
#             "index": {"url": "https://nexus.example.com/repository/pypi-all/simple", **_LOGIN},
#         },
#     ],
#     # What replaces a base, where the public registry is out of reach.
#     "contexts": {"python:3.13-slim": "registry.example.com:5000/python:3.13-slim"},
# }
