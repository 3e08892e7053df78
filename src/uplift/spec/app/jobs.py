"""Jobs of an application: what tells one run from another, and what a host says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uplift.spec.app.models import App, Job
from uplift.spec.app.release import APPS
from uplift.spec.container.arguments import spec_hash
from uplift.spec.container.image import Resolved
from uplift.spec.container.state import by_word


def folder(app: App) -> str:
    """Return where a host keeps what is known of the jobs of an application.

    Args:
        app: whose.
    """
    return f"{APPS}/{app.name}.jobs"


def run_of(app: App, job: Job, resolved: Resolved) -> str:
    """Return the name of a run: the same image, command and container have the same one.

    Args:
        app: whose.
        job: one of its jobs.
        resolved: the image.
    """
    return f"{job.name}-{spec_hash(app.job(job), resolved)}"


@dataclass(frozen=True)
class JobsState:
    """The jobs of applications on the host that runs them.

    Args:
        busy: unit of a job of systemd's that still runs one.
        done: runs that ended well, by application.
    """

    busy: str
    done: frozenset[tuple[str, str]]

    def open(self, app: App, resolved: Resolved) -> list[Job]:
        """Return the jobs that have not been done for an image.

        Args:
            app: whose.
            resolved: the image.
        """
        return [job for job in app.jobs if (app.name, run_of(app, job, resolved)) not in self.done]


def parse(lines: Iterable[str]) -> JobsState:
    """Read the lines of the fact's script.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "jobs of applications")
    done = frozenset((app, run) for app, run in found.get("done", ()))
    return JobsState(" ".join(found.get("busy", [[]])[0]), done)
