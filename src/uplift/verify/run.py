"""Run the tests of an inventory in a process of their own and judge what came out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.verify.connection import SHELL
from uplift.verify.results import OUTCOMES, running

SUBJECTS = (
    "certificates",
    "docker",
    "uv",
    "registry",
    "nexus",
    "clients",
    "packages",
    "images",
    "redis",
    "influxdb",
    "backup",
    "app",
    "rollback",
    "secrets",
)
CLEAN_UP_LIMIT = 3.0  # seconds for pytest to close its connections after Ctrl-C

# pytest's exit codes, here because importing pytest takes longer than all the rest.
_TESTS_FAILED, _USAGE_ERROR, _NOTHING_COLLECTED = 1, 4, 5


@dataclass(frozen=True)
class Request:
    """What to run.

    Args:
        inventory: a file, or what else pyinfra takes.
        limit: groups or patterns of host names.
        expression: pytest's ``-k``.
        tests: folders or files of tests.
        junit: file for pytest's JUnit results.
        workers: how many processes run tests; 0 means none beside pytest's own.
        verbose: show pytest's whole output.
        log: file that pytest's output goes to instead of stderr; Ctrl-C then goes to the caller
            alone, who decides whether the tests end.
        time_limit: seconds for all of it; None: as long as it takes.
        shell: program on the hosts that every command goes through; None: none.
    """

    inventory: str
    limit: Sequence[str] = ()
    expression: str | None = None
    tests: Sequence[str] = ("tests/verify",)
    junit: str | None = None
    workers: int = 0
    verbose: bool = False
    log: Path | None = None
    time_limit: float | None = None
    shell: str | None = None

    def command(self, results: Path) -> list[str]:
        """Return the words that run pytest.

        Args:
            results: file for the results of each host.
        """
        words = [sys.executable, "-m", "pytest", *self.tests, "--inventory", self.inventory]
        for name in self.limit:
            words += ["--limit", name]
        words += ["--verify-json", str(results)]
        words += ["-v", "-rA"] if self.verbose else ["-q", "--no-header", "--tb=line", "-r", ""]
        words += ["-k", self.expression] if self.expression else []
        words += ["--junitxml", self.junit] if self.junit else []
        return words + (["-n", str(self.workers), "--dist", "loadfile"] if self.workers else [])


@dataclass(frozen=True)
class Verdict:
    """What came out of a run.

    Args:
        document: the results of each host, as plain data.
        exit_code: for ``uplift``.
    """

    document: Mapping[str, Any]
    exit_code: Exit

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """Return the results of each host."""
        return list(self.document["hosts"])

    @property
    def subjects(self) -> list[str]:
        """Return the subjects that were tested, ours first."""
        found = {subject for host in self.hosts for subject in host["subjects"]}
        return [one for one in SUBJECTS if one in found] + sorted(found.difference(SUBJECTS))

    def total(self, outcome: str) -> int:
        """Return how many tests passed, failed or were skipped."""
        return sum(c[outcome] for host in self.hosts for c in host["subjects"].values())


def run(request: Request) -> Verdict:
    """Test the hosts; pytest's own output goes to stderr.

    Args:
        request: what to run.

    Raises:
        UsageError: wrong inventory, limit or settings, or nothing to test.
        UpliftError: the tests themselves could not be loaded or run.
    """
    _check(request)
    with tempfile.TemporaryDirectory(prefix="uplift-verify-") as folder:
        results, complaints = Path(folder, "results.json"), Path(folder, "stderr")
        code = _pytest(request, results, complaints)
        said = complaints.read_text(errors="replace").strip()
        if code not in (Exit.DONE, _TESTS_FAILED):
            raise _error(request, code, said)
        if said and request.log is None:
            print(said, file=sys.stderr)
        return judge(json.loads(results.read_text()), failed=code != Exit.DONE)


def judge(document: Mapping[str, Any], *, failed: bool) -> Verdict:
    """Find the exit code of a run.

    Args:
        document: the results of each host.
        failed: whether pytest failed, perhaps in a test of no host.
    """
    if not all(host["reachable"] for host in document["hosts"]):
        code = Exit.HELD
    else:
        code = Exit.FAILED if failed else Exit.DONE
    verdict = Verdict({**document, "exit_code": int(code)}, code)
    if code is Exit.DONE and not any(verdict.total(outcome) for outcome in OUTCOMES):
        raise UsageError("no test ran on any host: nothing was verified")
    return verdict


def _check(request: Request) -> None:
    for path in request.tests:
        if not Path(path.split("::", 1)[0]).exists():
            raise UsageError(
                f"there are no tests in {path} (seen from {Path.cwd()}): "
                "change to the project's folder, or name them with --tests"
            )


def _pytest(request: Request, results: Path, complaints: Path) -> int:
    log = request.log
    with (
        complaints.open("wb") as errors,
        log.open("ab") if log else nullcontext(sys.stderr.fileno()) as output,
        subprocess.Popen(
            request.command(results),
            env={**os.environ, **({SHELL: request.shell} if request.shell else {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=log is not None,
        ) as child,
    ):
        try:
            return child.wait(request.time_limit)
        except subprocess.TimeoutExpired:
            # Before pytest goes on, or takes it away.
            begun = running(results)
            where = f", in {begun.read_text()}" if begun.exists() else ""
            _end(child)
            limit = f"{request.time_limit:g} s"
            raise UpliftError(
                f"the tests were not done within {limit}{where}: {log or 'see above'}"
            ) from None
        except KeyboardInterrupt:
            _end(child)
            raise


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let pytest close its connections; on a terminal it got the same signal, else it gets it."""
    for further in (signal.SIGINT, signal.SIGKILL):
        try:
            child.wait(CLEAN_UP_LIMIT)
        except subprocess.TimeoutExpired:
            child.send_signal(further)


def _error(request: Request, code: int, said: str) -> UpliftError:
    if code == _USAGE_ERROR:
        lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.strip()]
        return UsageError("\n".join(lines) or "pytest did not accept its options")
    if code == _NOTHING_COLLECTED:
        chosen = f" matches -k {request.expression!r}" if request.expression else " was found"
        return UsageError(f"no test{chosen} in {', '.join(request.tests)}")
    return UpliftError(f"the tests could not be run, pytest ended with {code}\n{said}".strip())
