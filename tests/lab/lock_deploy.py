"""What a run does in these tests: it waits for a file, then tries every way to change a host.

Each operation goes on when the one before it was refused, as nothing may get through.
"""

from io import StringIO

from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.operations import files, server

from uplift.operations import job

# The next test's fixture removes the folder: nothing of a test that failed keeps it waiting.
WAIT = (
    "touch /run/user-test/begun; "
    "while [ -e /run/user-test/begun ] && [ ! -e /run/user-test/go ]; do sleep 0.1; done"
)


@operation(is_idempotent=False)
def upload(to: str):
    """Write a file by SFTP, without reading anything before."""
    yield FileUploadCommand(StringIO("uploaded\n"), to)


@operation(is_idempotent=False)
def job_of_ours():
    """Start a job."""
    script = "touch /run/user-test/by-job\n"
    yield job.start(job.identity("test", script), script, limit=60)


@operation(is_idempotent=False)
def in_bash():
    """Run a command in another shell than sh."""
    yield StringCommand("[[ 1 == 1 ]] && touch /run/user-test/by-bash")


server.shell(name="wait", commands=[WAIT], _ignore_errors=True)
server.shell(name="as root", commands=["touch /run/user-test/by-root"], _ignore_errors=True)
server.shell(
    name="as the SSH user",
    commands=["touch /run/user-test/by-user"],
    _sudo=False,
    _ignore_errors=True,
)
server.shell(
    name="as another user",
    commands=["touch /run/user-test/by-su"],
    _su_user="daemon",
    _su_shell="sh",
    _ignore_errors=True,
)
upload(name="by SFTP", to="/run/user-test/by-sftp", _sudo=False, _ignore_errors=True)
upload(name="by SFTP and sudo", to="/run/user-test/by-sudo", _ignore_errors=True)
job_of_ours(name="in a job", _ignore_errors=True)
in_bash(name="in bash", _shell_executable="bash", _ignore_errors=True)
files.put(
    name="as people do it",
    src=StringIO("put\n"),
    dest="/run/user-test/by-put",
    _sudo=False,
)
