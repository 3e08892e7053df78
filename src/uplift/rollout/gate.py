"""The gate: the tests of some hosts, before a change and after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uplift.remote.inventory import exactly
from uplift.spec.errors import UsageError
from uplift.spec.rollout.gate import Comparison, Failure, compared, failures
from uplift.verify.run import Request, run


class Gate:
    """Tests over an inventory, whose results are kept with the run.

    Args:
        inventory: a file.
        tests: folders or files; none: the gate is always open.
        folder: for JUnit results and pytest's output.
        limit: seconds for one run of them.
        shell: of the run's commands, which the tests' own go through as well.
    """

    def __init__(
        self,
        inventory: str,
        tests: Sequence[str],
        folder: Path,
        limit: float | None = None,
        shell: str | None = None,
    ) -> None:
        self.inventory = inventory
        self.tests = tuple(tests)
        self.folder = folder
        self.limit = limit
        self.shell = shell

    def check(self) -> None:
        """Refuse tests that are not there, before anything is touched.

        Raises:
            UsageError: a folder or file does not exist.
        """
        for path in self.tests:
            if not Path(path.split("::", 1)[0]).exists():
                raise UsageError(f"--gate {path}: there are no such tests (seen from {Path.cwd()})")

    def failures(
        self, hosts: Sequence[str], name: str, expression: str | None = None
    ) -> tuple[Failure, ...]:
        """Run the tests of some hosts and return what fails.

        Args:
            hosts: names.
            name: of the files with the results, as ``wave-1-before``.
            expression: pytest's ``-k``.
        """
        if not self.tests or not hosts:
            return ()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        request = Request(
            self.inventory,
            limit=tuple(exactly(name) for name in hosts),
            expression=expression,
            tests=self.tests,
            junit=str(self.folder / f"{name}.xml"),
            log=self.folder / f"{name}.log",
            time_limit=self.limit,
            shell=self.shell,
        )
        return failures(run(request).hosts)

    def compared(self, hosts: Sequence[str], before: Sequence[Failure], name: str) -> Comparison:
        """Run the tests again after a change; what is newly bad is repeated once.

        Args:
            hosts: names.
            before: failures of the baseline.
            name: of the files with the results.
        """
        after = self.failures(hosts, name)
        new = compared(before, after).new
        if not new:
            return compared(before, after)
        # A lost host has no test of its own to repeat: the others on it are not run either.
        names = sorted({one.test.partition("[")[0].rpartition("::")[2] for one in new})
        named = [one for one in names if one.isidentifier() and one != "reachable"]
        again = self.failures(
            sorted({one.host for one in new}, key=list(hosts).index),
            f"{name}-again",
            " or ".join(named) or None,
        )
        return compared(before, after, again)
