"""Move Python stacks from pip and Poetry to uv on real hosts, and back.

Layers, from the inside out; each imports only from those above it:

spec        the wanted state and how it differs from what is there: pure, no I/O
secrets     where secret values come from
controller  what this machine's own pip and npm are set up with
trust       CA certificates that the settings list, from this machine's disk
settings    group data of a host, validated
facts       read a host: one fact a subject, one remote command a fact
index       which file a package index has for a version of uv, and its hashes
operations  change a host; file names mirror facts
guard       refuses a wrong call of pyinfra before anything connects
remote      how everything but pyinfra's own runs talks to hosts
verify      check a host: a pytest plugin over the pyinfra inventory
doctor      what a first-time user gets wrong, with remedies
lab         hosts and services to try it all on, on this machine
scaffold    what ``uplift init`` writes
cli         the ``uplift`` command
"""
