"""Check hosts of a pyinfra inventory with pytest and testinfra.

plugin      pytest's options and fixtures; loaded by every run of pytest, so it imports little
session     a run over an inventory: its hosts, their tests, their results
connection  one SSH connection a host, shared by all tests
backend     testinfra's way over that connection
results     counts and failures by host and subject
run         ``uplift verify``: pytest as a child process, and the verdict
files, users, clients, secrets
            how the tests in tests/verify look at a host, by plain commands
"""
