"""The lab's hosts with the example application on them (examples/console).

    pyinfra inventories/lab.py deploys/site.py -y         # first: Nexus, registry, Redis
    pyinfra inventories/console.py deploys/images.py -y   # build and push
    pyinfra inventories/console.py deploys/app.py -y      # run the release that is named

An inventory of its own: a lab without the application is whole too.
"""

from uplift.lab import inventory as _inventory

_groups = _inventory.groups_or_exit()

services = _groups["services"]
builders = _groups["builders"]
apps = _groups["apps"]
# Hosts by name, each once: a lab of one host has it in every group.
lab = list(dict([*services, *builders, *apps]).items())
lab_services = services
# The values of the application: group_data/console_builders.py and console_apps.py.
console_builders = builders
console_apps = apps
