"""Change a file by an operation of ours, which keeps the file before."""

from pyinfra import host

from uplift.operations import clients
from uplift.spec.clients import Clients

index = f"https://{host.data.version}.example.com/simple"
users = [{"user": "deploy", "pip": {"index_url": index}}]
clients.present(name="Index", settings=Clients.parse({"users": users}, path="clients"))
