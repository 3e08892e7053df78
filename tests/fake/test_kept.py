"""The scripts that keep files and put them back, by the shell of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from uplift.facts.kept import READ
from uplift.operations import kept
from uplift.spec.kept import RUN, RUNS, Kept, parse


class Host:
    """This machine, with the folder of runs in a temporary place."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.home = folder / "runs", folder / "home"
        self.home.mkdir()
        self.file = self.home / ".npmrc"

    def sh(self, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        text = text.replace(RUNS, str(self.runs))
        return subprocess.run(
            ["sh", "-c", text, "uplift", *words],
            capture_output=True,
            text=True,
            check=False,
            input="data\n",
        )

    def write(self, text: str, *, then: str = "") -> subprocess.CompletedProcess[str]:
        """Change the file by a script, as an operation of a run would."""
        return self.sh(kept.keeping(text, [str(self.file)], then))

    def kept(self) -> Kept:
        done = self.sh(READ, "r1")
        assert done.returncode == 0, done.stderr
        return parse(done.stdout.splitlines())

    def restore(self) -> subprocess.CompletedProcess[str]:
        ids = [one.id for one in self.kept().files if not one.stays]
        return self.sh(kept._RESTORE, "r1", *ids)

    def state(self) -> tuple[bytes, str] | None:
        if not self.file.exists():
            return None
        return self.file.read_bytes(), oct(self.file.stat().st_mode)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv(RUN, "r1")
    return Host(tmp_path.resolve())


def test_a_file_comes_back_byte_for_byte_with_its_mode(host: Host) -> None:
    host.file.write_bytes(b"a\0b\nno newline")
    host.file.chmod(0o640)
    before = host.state()
    done = host.write(f"cat >{host.file}; chmod 600 {host.file}; exit 3")
    assert done.returncode == 3, "the exit code is the writer's"
    assert host.file.read_text() == "data\n", "standard input is the writer's"
    assert not host.kept().files[0].is_back
    assert host.restore().returncode == 0
    assert host.state() == before
    assert host.kept().lasting == ()


def test_a_file_that_was_not_there_goes_and_one_that_was_removed_comes(host: Host) -> None:
    host.write(f"echo new >{host.file}")
    host.restore()
    assert host.state() is None
    shutil.rmtree(host.runs)
    host.file.write_text("old")
    host.write(f"rm {host.file}")
    host.restore()
    assert host.file.read_text() == "old"


def test_what_is_kept_is_for_its_owner_alone(host: Host) -> None:
    host.file.write_text("secret")
    host.file.chmod(0o666)
    host.write(f"echo new >{host.file}")
    rights = [path.stat().st_mode & 0o077 for path in (host.runs, *host.runs.rglob("*"))]
    assert rights == [0] * len(rights)
    (copy,) = host.runs.rglob("bytes")
    assert copy.stat().st_mode & 0o777 == 0o400


def test_the_first_state_is_kept_whatever_the_run_writes_later(host: Host) -> None:
    host.file.write_text("one")
    host.write(f"echo two >{host.file}")
    host.write(f"echo three >{host.file}")
    host.restore()
    assert host.file.read_text() == "one"


@pytest.mark.parametrize("change", ["echo hand >{}", "chmod 604 {}", "rm {}", "ln -sf /etc {}"])
def test_what_somebody_changed_since_stays(host: Host, change: str) -> None:
    host.file.write_text("one")
    host.write(f"echo two >{host.file}")
    host.sh(change.format(host.file))
    (found,) = host.kept().files
    assert "somebody changed it" in found.stays
    # Also when it happens just now.
    assert host.sh(kept._RESTORE, "r1", found.id).returncode == 1
    assert not host.file.is_file() or host.file.read_text() != "one"


def test_a_change_between_two_of_the_run_is_not_overwritten(host: Host) -> None:
    host.file.write_text("one")
    host.write(f"echo two >{host.file}")
    host.file.write_text("by hand")
    host.write(f"echo three >>{host.file}")
    assert "somebody changed it" in host.kept().files[0].stays
    host.restore()
    assert host.file.read_text() == "by handthree\n"


def test_a_run_goes_on_after_what_it_did_was_put_back(host: Host) -> None:
    host.file.write_text("one")
    host.write(f"echo two >{host.file}")
    host.restore()
    host.write(f"echo three >{host.file}")
    assert host.kept().files[0].stays == ""
    host.restore()
    assert host.file.read_text() == "one"


def test_a_writer_that_was_cut_short_leaves_nothing_to_judge_by(host: Host) -> None:
    host.file.write_text("one")
    # As when the host goes down: the shell around the writer does not come to its end.
    host.write(f"echo two >{host.file}; kill -9 $$")
    assert "cut short" in host.kept().files[0].stays


def test_no_folder_of_somebody_else_leads_to_another_file(host: Host) -> None:
    real = host.home.parent / "elsewhere"
    real.mkdir()
    link = host.home / "link"
    link.symlink_to(real)
    host.file = link / "pip.conf"
    host.write(f"echo new >{host.file}")
    assert "no file of its own" in host.kept().files[0].stays
    # A folder that becomes a link after the run had written there.
    shutil.rmtree(host.runs)
    folder = host.home / "folder"
    folder.mkdir()
    host.file = folder / "pip.conf"
    host.write(f"echo new >{host.file}")
    folder.rename(host.home / "moved")
    folder.symlink_to(host.home / "moved")
    (found,) = host.kept().files
    assert found.stays
    assert host.sh(kept._RESTORE, "r1", found.id).returncode == 1
    assert (host.home / "moved/pip.conf").exists()


def test_what_has_to_follow_is_done_once_the_files_are_back(host: Host) -> None:
    host.file.write_text("one")
    log = host.home / "log"
    host.write(f"echo two >{host.file}", then=f"cat {host.file} >>{log}; echo >>{log}")
    assert not host.kept().followed
    host.restore()
    assert host.kept().followed
    assert log.read_text() == "one\n"
    shutil.rmtree(host.runs)
    host.write(f"echo two >{host.file}", then="false")
    assert host.restore().returncode == 1
    assert not host.kept().followed


def test_a_file_that_cannot_be_kept_is_not_written(host: Host) -> None:
    host.file.write_text("one")
    host.runs.write_text("in the way")
    done = host.write(f"echo two >{host.file}")
    assert done.returncode == 1
    assert "cannot be kept" in done.stderr
    assert host.file.read_text() == "one"


def test_outside_of_a_rollout_nothing_is_kept(host: Host) -> None:
    del os.environ[RUN]
    assert kept.keeping("true", ["/etc/pip.conf"]) == "true"
