"""What keeps a first run from working, and what to do about it.

report       findings, and the exit code that they make                            (pure)
reach        a host that could not be reached: the finding and remedy of each reason (pure)
probe        the one remote command, and what it saw
checks       what it saw on a host: sudo, system, Docker, disk, clock                (pure)
controller   this machine: packages, folder, group data, secrets
diagnosis    all of it, for one inventory
"""
