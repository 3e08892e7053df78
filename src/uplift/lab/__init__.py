"""Hosts and services to try everything on, on this machine."""
