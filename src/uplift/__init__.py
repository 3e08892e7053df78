"""Move Python stacks from pip and Poetry to uv on real hosts, and back.

Layers, from the inside out; each imports only from those above it:

spec        the wanted state and how it differs from what is there: pure, no I/O
secrets     where secret values come from
settings    group data of a host, validated
guard       refuses a wrong call of pyinfra before anything connects
controller  what this machine's own pip and npm are set up with
facts       read a host: one fact a subject, one remote command a fact
operations  change a host; file names mirror facts
remote      how everything but pyinfra's own runs talks to hosts
verify      check a host: a pytest plugin over the pyinfra inventory
lab         hosts and services to try it all on, on this machine
cli         the ``uplift`` command
"""
