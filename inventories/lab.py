"""The hosts of the lab that runs on this machine: `uplift lab up` makes them.

    pyinfra inventories/lab.py deploys/site.py -y

UPLIFT_LAB names another lab than that of this folder. What values its hosts have stands in
group_data/lab.py.
"""

from uplift.lab import inventory as _inventory

_groups = _inventory.groups_or_exit()

# The host that runs the registry, Nexus and InfluxDB, and builds images: lab-1.
services = _groups["services"]
# Its values stand in group_data/lab_services.py: those of group_data/lab.py hold for every host.
lab_services = services
builders = _groups["builders"]

# Hosts that run applications: lab-2, lab-3, …; lab-1 when it is the only one.
apps = _groups["apps"]
