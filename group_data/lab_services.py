"""Values for the lab's host of services (inventories/lab.py), beside those of lab.py."""

# Only these names are data; the rest of the file is how they are made.
__all__: list[str] = []
