"""The first and the last deploy file of a run that is watched: its operations are in between.

pyinfra's command line runs it like any other deploy file, once for each host.
"""

from uplift.rollout.callbacks import loaded

loaded()
