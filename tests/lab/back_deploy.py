"""A container and client files, as a JSON file in the project folder says."""

import json
from pathlib import Path

from uplift.operations import clients, container
from uplift.spec.clients import Clients
from uplift.spec.container import Container

given = json.loads(Path("back.json").read_text())
box = Container.parse(given["container"], path="container")
container.converged(name="Container", containers=[box])
clients.present(name="Client files", settings=Clients.parse(given["clients"], path="clients"))
