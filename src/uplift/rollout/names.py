"""What a run and the process that watches it have agreed on."""

from pathlib import Path

HOSTS = "UPLIFT_HOSTS"
"""Environment variable with the hosts that may be touched, as a JSON list."""

OBSERVER = Path(__file__).with_name("observer.py")
"""The first and the last deploy file of a run that is watched."""

BACK = "UPLIFT_BACK"
"""Environment variable with what each host of a revert goes back to, as JSON."""
