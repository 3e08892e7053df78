"""Check hosts of a pyinfra inventory with pytest and testinfra."""
