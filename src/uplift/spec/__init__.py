"""Wanted states and how they differ from what is there. Pure: no I/O, no pyinfra, no clock."""
