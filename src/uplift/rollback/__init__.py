"""Releases of an application over the hosts of an inventory, and the way back to one."""
