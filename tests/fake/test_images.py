"""The scripts that ask, build, look through and push, run by this machine's shell.

Docker and the registry are played; what the gate looks through are real archives.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.command import StringCommand
from pyinfra.api.connect import connect_all
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.context import ctx_host, ctx_state

from uplift.facts.images import Images as Read
from uplift.operations import images
from uplift.operations.images_script import RECORD, script
from uplift.operations.images_work import collect
from uplift.secrets import forget
from uplift.spec.http import quote
from uplift.spec.images import File, Found, Image, Images, Inputs, Todo

NAME = "registry.example.com:5000/console"
DIGEST = "sha256:" + "a" * 64
FOLDERS = ("/var/tmp", "/dev/shm")  # of sources and of secrets while they are built
ID = "sha256:" + "1" * 64
PASSWORD = secrets.token_hex(8) + """ "'$(id)\\%s:`é"""
LOGIN = {
    "url": "https://nexus.example.com/simple",
    "username": "ci",
    "password": {"secret": "nexus/ci"},
}

# $BOX holds what Docker answers; it notes its arguments in calls and its environment in env.
DOCKER = r"""#!/bin/sh
printf '%s\n' "$*" >>"$BOX/calls"
case "$*" in
  "image rm "*@*) exit 1 ;;
  "buildx version"|*" version"|"tag "*|"image rm "*|"image tag "*|*" prune "*) ;;
  "buildx build "*)
    env >"$BOX/env"
    while [ "$1" != --iidfile ]; do shift; done
    cat "$BOX/log" >&2
    [ ! -e "$BOX/broken" ] || exit 1
    cp -R "$5" "$BOX/source"; cp "$4" "$BOX/Dockerfile"
    printf %s "$ID" >"$2" ;;
  "create "*) echo container ;;
  "export "*) cat "$BOX/exported.tar" ;;
  "rm "*) ;;
  "history "*) cat "$BOX/history" ;;
  "buildx inspect default") echo "Platforms: linux/amd64*, linux/386" ;;
  *Config.Env*) cat "$BOX/environment" ;;
  *Config.Labels*) cat "$BOX/labels" ;;
  *RootFS.Layers*) cat "$BOX/layers" ;;
  "save "*) cat "$BOX/saved.tar" ;;
  "push "*)
    [ ! -e "$BOX/denied" ] || { echo "denied: requested access to the resource is denied"; exit 1; }
    echo "$2" >>"$BOX/pushed" ;;
  "pull "*) ;;
  "ps "*) [ ! -e "$BOX/blind" ] || exit 1 ;;
  "image ls "*) echo sha256:old ;;
  *RepoTags*) echo "$OLD:1-uv $OLD:1-uv-0 elsewhere/kept:1 $OLD@$DIGEST" ;;
  "image inspect --format {{.Id}} "*) echo sha256:new ;;
  *) echo "unknown: $*" >&2; exit 64 ;;
esac
"""
# The registry has what was pushed to it.
CURL = r"""#!/bin/sh
config=$(cat)
case $config in *nexus.example.com/simple/*) printf %s "$config" >"$BOX/asked"
  printf %s "$(cat "$BOX/index" 2>/dev/null)"; exit ;; esac
reference=$(printf %s "$config" | sed -n 's|^url = "http://docker/distribution/\(.*\)/json"|\1|p')
if grep -qxF "$reference" "$BOX/pushed"; then
  printf '{"Descriptor":{"mediaType":"x","digest":"%s","size":1}}\n200' "$DIGEST"
else printf '{"message":"manifest unknown"}\n404'; fi
"""


def layer(files: Mapping[str, bytes]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            out.addfile(member, BytesIO(content))
    return packed.getvalue()


@dataclass
class Box:
    """A builder host that is played."""

    folder: Path

    def put(self, name: str, text: str | bytes = "") -> None:
        data = text.encode() if isinstance(text, str) else text
        (self.folder / name).write_bytes(data)

    def read(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def image(self, *layers: Mapping[str, bytes]) -> None:
        """Let Docker have an image of these layers."""
        blobs = {f"blobs/sha256/{number}": layer(one) for number, one in enumerate(layers)}
        self.put("saved.tar", layer({**blobs, "manifest.json": b"[]", "oci-layout": b"{}"}))
        self.put("layers", "".join(f"sha256:{number}\n" for number in range(len(layers))))

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        more = {"BOX": str(self.folder), "DIGEST": DIGEST, "ID": ID, "HOME": str(self.folder)}
        more["OLD"] = NAME
        return subprocess.run(
            words, env={"PATH": path, **more}, capture_output=True, text=True, check=False
        )


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    forget()
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_CI", PASSWORD)
    (tmp_path / "bin").mkdir()
    for name, text in (("docker", DOCKER), ("curl", CURL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    made = Box(tmp_path)
    made.put("history", "RUN useradd app # buildkit\n")
    made.put("environment", "PATH=/app/.venv/bin:/usr/bin\nPYTHONUNBUFFERED=1\n[console]\n")
    made.put("labels", "io.uplift.builder=uv\n")
    for name in ("pushed", "log"):
        made.put(name)
    made.image({"app/main.py": b"print('hello')\n"}, {"etc/passwd": b"app:x:10001\n"})
    return made


def inputs(**changed: object) -> Inputs:
    block = {"name": NAME, "version": "2.0.0", "builder": "uv", "source": "c", "index": LOGIN}
    block |= {"entry_point": ["console"], **changed}
    source = (File("pyproject.toml", b"[project]\n"), File("run", b"#!/bin/sh\n", executable=True))
    return Inputs(Image.parse(block, path="images.build[0]"), "FROM a\n", source, "uv==1\n")


def build(box: Box, todo: Todo | None = None) -> subprocess.CompletedProcess[str]:
    wanted = todo or Todo(inputs(), "build")
    text = script(Images(build=(wanted.inputs.image,)), wanted)
    text = text.replace(RECORD, str(box.folder / "state/images/pushed"))
    # Folders of its own: other tests build at the same time.
    for folder in FOLDERS:
        (box.folder / folder[1:]).mkdir(parents=True, exist_ok=True)
        assert f"{folder}/" in text
        text = text.replace(f"{folder}/", f"{box.folder}{folder}/")
    return box.run(["sh", "-c", text])


def left_behind(box: Box) -> list[Path]:
    return [path for folder in FOLDERS for path in (box.folder / folder[1:]).iterdir()]


def test_a_build_pushes_the_fixed_tag_first_and_leaves_nothing_behind(box: Box) -> None:
    done = build(box)
    made = inputs()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"images: {made.fixed} is looked through for secrets",
        f"images: {made.fixed} is pushed",
    ]
    assert box.read("pushed").split() == [made.fixed, made.moving]
    assert box.read("Dockerfile") == "FROM a\n"
    assert (box.folder / "source/pyproject.toml").read_text() == "[project]\n"
    assert os.access(box.folder / "source/run", os.X_OK)
    assert box.read("state/images/pushed") == f"{made.fixed} {DIGEST}\n"
    assert left_behind(box) == []


def test_of_images_of_earlier_builds_only_names_of_this_repository_go(box: Box) -> None:
    (box.folder / "state/images").mkdir(parents=True)
    others = f"x-{NAME}:1-uv-0 {DIGEST}\n" * 9
    old = "".join(f"{NAME}:1-uv-{number} {DIGEST}\n" for number in range(5))
    box.put("state/images/pushed", others + old)
    done = build(box)
    assert (done.returncode, done.stderr) == (0, "")
    calls = [line for line in box.read("calls").splitlines() if line.startswith("image ")]
    # Five stay, with the one that was built now.
    assert [line for line in calls if " ls " in line] == [
        f"image ls -q --no-trunc --filter reference={NAME}:1-uv-0*"
    ]
    gone = [f"image rm {NAME}:1-uv", f"image rm {NAME}:1-uv-0", f"image rm {NAME}@{DIGEST}"]
    assert [line for line in calls if " rm " in line] == gone


def test_images_of_earlier_builds_stay_where_containers_cannot_be_read(box: Box) -> None:
    (box.folder / "state/images").mkdir(parents=True)
    old = "".join(f"{inputs().image.name}:1-uv-{number} {DIGEST}\n" for number in range(9))
    box.put("state/images/pushed", old)
    box.put("blind")
    done = build(box)
    assert done.returncode == 0
    assert "images of earlier builds stay" in done.stdout
    assert "image ls" not in box.read("calls") and "image rm" not in box.read("calls")


def test_a_login_is_given_to_the_build_alone_and_stands_in_no_argument(box: Box) -> None:
    build(box)
    assert PASSWORD in box.read("env")
    assert "--secret id=netrc,env=UPLIFT_BUILD_SECRET_0" in box.read("calls")
    assert PASSWORD not in box.read("calls")
    assert base64.b64encode(PASSWORD.encode()).decode() not in box.read("calls")


def planted_layers() -> dict[str, dict[str, bytes]]:
    return {
        "holds a secret of this build": {"app/x.pyc": f"\0{PASSWORD}\0".encode()},
        "/root/.netrc: such a file": {"root/.netrc": b"machine a login b password c"},
        "/app/t.py: holds what looks like a token": {"app/t.py": b"KEY = 'ghp_" + b"a" * 36 + b"'"},
        "app/b: holds a secret of this build": {
            "app/b": base64.b64encode(f"ci:{PASSWORD}".encode())
        },
    }


@pytest.mark.parametrize("said", planted_layers())
def test_a_planted_secret_in_any_layer_stops_the_push(box: Box, said: str) -> None:
    planted = planted_layers()[said]
    # A later layer deletes it: it is in the earlier one still.
    gone = {f"{Path(name).parent}/.wh.{Path(name).name}": b"" for name in planted}
    box.image({"app/main.py": b""}, planted, gone)
    done = build(box)
    assert done.returncode == 1
    assert said in done.stdout and "holds secrets, and is not pushed" in done.stdout
    assert PASSWORD not in done.stdout
    assert box.read("pushed") == ""


@pytest.mark.parametrize("part", ["history", "environment", "labels"])
@pytest.mark.parametrize(
    "planted",
    [
        "x=glpat-" + "q" * 20,
        "DB_PASSWORD=qqqq22",
        "DB_TOKEN:qqqq22",
        "u=https://qq:" + "qqqq@nexus.example.com",
        "s://q:" + "qq@nexus.example.com",
        "",
    ],
)
def test_a_planted_secret_beside_the_layers_stops_the_push(
    box: Box, part: str, planted: str
) -> None:
    text = planted or PASSWORD
    box.put(part, f"{box.read(part)}{text}\n")
    done = build(box)
    assert (done.returncode, box.read("pushed")) == (1, "")
    assert f"the image's {part}" in done.stdout
    assert text not in done.stdout and "q" not in done.stdout


def test_a_file_that_the_settings_allow_may_look_like_a_token(box: Box) -> None:
    box.image({"app/tests/t.py": b"ghp_" + b"a" * 36, "app/doc": b"AKIAIOSFODNN7EXAMPLE"})
    assert build(box).returncode == 1
    allowed = Todo(inputs(gate_allows=["app/tests/*"]), "build")
    assert build(box, allowed).returncode == 0


def test_an_image_whose_layers_cannot_all_be_read_is_not_pushed(box: Box) -> None:
    box.put("layers", "sha256:0\nsha256:1\nsha256:2\n")
    done = build(box)
    assert (done.returncode, box.read("pushed")) == (1, "")
    assert "could not be looked through" in done.stdout


@pytest.mark.parametrize("broken", ["none", "-rlaF", "-rlaE", "-aoE"])
def test_nothing_is_pushed_when_the_search_itself_does_not_work(box: Box, broken: str) -> None:
    grep = box.folder / "bin/grep"
    grep.write_text(
        f'#!/bin/sh\n[ "$1" != {broken} ] || exit 2\nexec {shutil.which("grep")} "$@"\n'
    )
    grep.chmod(0o755)
    done = build(box)
    assert ("could not be looked through" in done.stdout) == (broken != "none")
    assert (done.returncode == 0) == (box.read("pushed") != "") == (broken == "none")


def test_a_failed_step_is_shown_by_its_own_lines_without_secrets(box: Box) -> None:
    noise = "".join(f"#5 {number} downloading\n" for number in range(3000))
    failing = f"#9 [builder 4/6] RUN uv sync\n#9 1.0 no version of x\n#9 1.1 {PASSWORD}\n"
    box.put(
        "log", f"{noise}{failing}#9 ERROR: process did not complete\nERROR: failed to solve: x\n"
    )
    box.put("broken")
    done = build(box)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "#9 [builder 4/6] RUN uv sync",  # as it began
        "#9 [builder 4/6] RUN uv sync",
        "#9 1.0 no version of x",
        "#9 ERROR: process did not complete",
        "ERROR: failed to solve: x",
        f"images: {inputs().fixed} was not built",
    ]


@pytest.mark.parametrize(
    ("step", "said", "told"),
    [
        ("RUN pip install", "WARNING: 401 Error, Credentials not correct for https://n/x", True),
        ("RUN uv sync", "HTTP status client error (401 Unauthorized) for url (https://n/x)", True),
        ("RUN poetry install", "401 Client Error: Unauthorized for url: https://n/x", True),
        ("RUN pip install", "ERROR: HTTP error 403 while getting https://n/x", True),
        ("RUN pip install", "Downloading x-1.403-py3-none-any.whl (401 kB)", False),
        # Another login: that of the base's registry.
        ("FROM r:5000/python", "unexpected status: 401 Unauthorized", False),
    ],
)
def test_a_login_that_the_index_refuses_is_told_with_its_user_and_a_remedy(
    box: Box, step: str, said: str, told: bool
) -> None:
    text = f"#9 [builder 4/6] {step}\n#9 1.0 {said}\n#9 ERROR: exit code: 2\nERROR: failed: x\n"
    box.put("log", text)
    box.put("broken")
    done = build(box)
    assert (done.returncode, box.read("pushed")) == (1, "")
    assert (f"{LOGIN['url']} refuses the user '{LOGIN['username']}'" in done.stdout) == told
    assert ("uplift secrets set nexus/ci" in done.stdout) == told


@pytest.mark.parametrize(("code", "told"), [("401", True), ("403", True), ("200", False)])
def test_an_index_is_asked_for_the_login_as_pip_does_not_say_that_it_was_refused(
    box: Box, code: str, told: bool
) -> None:
    said = "ERROR: No matching distribution found for uv==0.13.8"
    text = f"#9 [builder 1/7] RUN pip\n#9 1.0 {said}\n#9 ERROR: exit code: 1\nERROR: failed: x\n"
    box.put("log", text)
    box.put("broken")
    box.put("index", code)
    done = build(box)
    assert done.returncode == 1
    assert ("refuses the user 'ci'" in done.stdout) == told
    assert f"user = {quote(f'ci:{PASSWORD}')}" in box.read("asked")
    assert PASSWORD not in done.stdout + box.read("calls")


ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00"


@pytest.mark.parametrize(
    ("programs", "good"),
    [
        ({"bin/sh": ELF + b"\xb7\x00more"}, True),
        ({"usr/bin/sh": ELF + b"\x3e\x00more", "bin/tool": ELF + b"\xb7\x00"}, True),
        ({"app/run": b"#!/bin/sh\n"}, True),
        ({"usr/bin/sh": ELF + b"\x3e\x00more", "bin/run": b"#!/bin/sh\n"}, False),
    ],
)
def test_an_image_of_programs_for_another_machine_is_not_pushed(
    box: Box, programs: dict[str, bytes], good: bool
) -> None:
    box.put("exported.tar", layer(programs))
    done = build(box, Todo(inputs(platforms=["linux/arm64"]), "build"))
    assert "--platform linux/arm64" in box.read("calls")
    assert (done.returncode == 0) == good == ("for another machine" not in done.stdout)
    assert (box.read("pushed") != "") == good


def test_a_dockerfile_that_holds_tokens_tells_them_to_nobody_while_it_is_built(box: Box) -> None:
    token = "npm_" + "q" * 40
    step = f"RUN npm set {token} && DB_PASSWORD=qqqqqq x && curl https://q:" + "qqqq@npm.example/a"
    far = f"#8 [2/2] {'x' * 130} {PASSWORD}\n"
    failing = f"#9 [1/2] {step}\n#9 1.0 {token}: refused\n#9 ERROR: process\n"
    box.put("log", f"{far}{failing}ERROR: {'x' * 480} {PASSWORD}\n")
    box.put("broken")
    done = build(box)
    shown = "[1/2] RUN npm set … && DB_PASSWORD=… x && curl …@npm.example/a"
    assert done.stdout.splitlines()[:4] == [
        *(f"#9 {shown}", f"#9 {shown}", "#9 1.0 …: refused", "#9 ERROR: process")
    ]
    assert "q" not in done.stdout and PASSWORD[:8] not in done.stdout


def test_the_value_of_a_variable_with_a_telling_name_is_not_told_by_the_steps(box: Box) -> None:
    box.put("log", "#5 [2/2] RUN x hunter22\n#5 DONE 0.1s\n")
    made = replace(inputs(), dockerfile="FROM a\nARG DB_PASSWORD=hunter22\nRUN x $DB_PASSWORD\n")
    assert build(box, Todo(made, "build")).stdout.splitlines()[0] == "#5 [2/2] RUN x …"


def test_steps_are_told_as_they_begin_and_end_and_what_they_print_is_not(box: Box) -> None:
    box.put(
        "log",
        "#1 [internal] load build definition\n#1 DONE 0.0s\n#4 [builder 1/2] FROM a\n#4 CACHED\n"
        f"#5 [builder 2/2] RUN pip install\n#5 0.2 [notice] {PASSWORD}\n#5 DONE 7.1s\n"
        f"#6 [stage-1 1/1] RUN echo {PASSWORD}\n",
    )
    done = build(box)
    assert done.stdout.splitlines()[:-2] == [
        "#4 [builder 1/2] FROM a",
        "#4 CACHED",
        "#5 [builder 2/2] RUN pip install",
        "#5 DONE 7.1s",
    ]


def test_a_refused_push_says_what_to_look_at(box: Box) -> None:
    box.put("denied")
    done = build(box)
    assert done.returncode == 1
    assert "denied: requested access" in done.stdout
    assert "may root of this host log in to registry.example.com:5000" in done.stdout


def test_an_image_that_another_host_pushed_meanwhile_stays(box: Box) -> None:
    made = inputs()
    box.put("pushed", f"{made.fixed}\n")
    assert build(box).returncode == 0
    assert box.read("pushed").split() == [made.fixed, made.moving]
    assert f"tag {NAME}@{DIGEST} {made.moving}" in box.read("calls")


def test_a_tag_is_moved_without_a_build(box: Box) -> None:
    made = inputs()
    done = build(box, Todo(made, "tag", DIGEST))
    assert done.returncode == 0
    assert box.read("pushed").split() == [made.moving]
    assert "buildx" not in box.read("calls")


@pytest.fixture
def ask(box: Box) -> Callable[[], Found]:
    made = inputs()

    def call() -> Found:
        command = Read().command([made.fixed, made.moving], platforms=True)
        done = box.run(shlex.split(command.get_raw_value()))
        assert done.returncode == 0
        return Read().process(done.stdout.splitlines())

    return call


def test_one_command_asks_for_all_tags(box: Box, ask: Callable[[], Found]) -> None:
    made = inputs()
    platforms = ("linux/amd64", "linux/386")
    assert ask() == Found(platforms=platforms)
    box.put("pushed", f"{made.fixed}\n")
    assert ask() == Found(digests={made.fixed: DIGEST}, platforms=platforms)


def test_a_host_without_buildx_says_so(box: Box, ask: Callable[[], Found]) -> None:
    docker = box.folder / "bin/docker"
    docker.write_text(DOCKER.replace('"buildx version"|', '"buildx version") exit 1 ;;\n  '))
    assert "buildx is not installed" in ask().ready


def test_the_login_of_the_host_is_used(box: Box, ask: Callable[[], Found]) -> None:
    curl = box.folder / "bin/curl"
    curl.write_text(
        CURL.replace("config=$(cat)", 'config=$(cat); printf %s "$config" >"$BOX/asked"')
    )
    auth = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    config = {"auths": {"registry.example.com:5000": {"auth": auth}}}
    text = Read().command([inputs().fixed]).get_raw_value().replace("HOME=/root", "")
    (box.folder / ".docker").mkdir()
    (box.folder / ".docker/config.json").write_text(json.dumps(config))
    box.run(shlex.split(text))
    assert "X-Registry-Auth" in box.read("asked")


# The operation on a host whose answers are recorded.


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        (folder / name).write_text("")
    return str(folder)


def settings_of(source: str) -> Images:
    one = {"name": NAME, "version": "2.0.0", "builder": "uv", "source": source, "index": LOGIN}
    return Images.parse({"build": [{**one, "entry_point": ["console"]}]}, path="images")


def host_state(*said: str, hosts: tuple[str, ...] = ("@fake/box",), **data: Any) -> State:
    responses = {"/distribution/": "\n".join(said)}
    data |= {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((list(hosts), data)), Config())
    connect_all(state)
    return state


def tag(reference: str, digest: str = DIGEST) -> str:
    body = json.dumps({"Descriptor": {"digest": digest}}).encode()
    return f"tag {reference} 200 {base64.b64encode(body).decode()}"


def apply(source: str, *said: str) -> tuple[bool, list[str]]:
    """Run the operation once; return whether it changed, and all commands."""
    state = host_state(*said)
    (meta,) = add_op(state, images.built, name="Images", settings=settings_of(source)).values()
    run_ops(state)
    return meta.did_change(), state.inventory.get_host("@fake/box").connector.executed_commands


def yielded(source: str, *said: str, host: str = "@fake/box", **more: Any) -> list[StringCommand]:
    state = host_state(*said, **more)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host(host)):
        return list(images.built._inner(settings=settings_of(source)))


def test_images_that_are_there_cost_one_command_a_time(box: Box, source: str) -> None:
    (made,) = collect(settings_of(source))
    changed, commands = apply(source, "busy ", tag(made.fixed), tag(made.moving), "end")
    assert not changed
    # Once while preparing, once while running.
    assert len(commands) == 2


def test_a_build_is_one_job_and_a_look_at_the_result(box: Box, source: str) -> None:
    changed, commands = apply(source, "busy ", "end")
    assert changed
    jobs = [command for command in commands if "systemd-run" in command]
    assert len(jobs) == 1
    assert len(commands) == 4
    assert PASSWORD not in str(commands)


def test_the_source_and_the_login_travel_by_standard_input(box: Box, source: str) -> None:
    (command,) = yielded(source, "busy ", "end")
    text = "".join(command.connector_arguments["_stdin"])
    assert "docker buildx build" in text
    assert "buildx" not in command.get_raw_value()
    assert PASSWORD not in repr(command.connector_arguments)


def test_the_same_move_at_another_state_is_another_job(box: Box, source: str) -> None:
    (made,) = collect(settings_of(source))
    first, second = (
        yielded(source, "busy ", tag(made.fixed), *more, "end")[0].get_raw_value()
        for more in ((), (tag(made.moving, "sha256:" + "b" * 64),))
    )
    assert first != second


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("unable buildx is not installed", "end"), "cannot build: buildx is not installed"),
        (("busy uplift-images-1.service", "end"), "uplift-images-1.service still builds"),
        ((f"tag {NAME}:2 401 e30=", "end"), "the registry could not be asked"),
    ],
)
def test_a_host_that_cannot_build_is_refused(
    box: Box, source: str, lines: tuple[str, ...], said: str
) -> None:
    (command,) = yielded(source, *lines)
    assert said in command.get_raw_value() and "exit" in command.get_raw_value()


def test_a_source_that_is_not_there_is_refused_before_the_host_is_asked(box: Box) -> None:
    (command,) = yielded("nowhere", "busy ", "end")
    assert "there is no folder nowhere" in command.get_raw_value()
    assert "exit 64" in command.get_raw_value()


def test_a_secret_that_is_too_short_to_be_found_is_refused(
    box: Box, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget()
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_CI", secrets.token_hex(3))
    (command,) = yielded(source, "busy ", "end")
    assert "shorter than 8 characters" in command.get_raw_value()


def test_of_several_hosts_with_the_same_images_the_first_builds(box: Box, source: str) -> None:
    pair = {"hosts": ("@fake/box", "@fake/other"), "images": {"build": []}}
    assert yielded(source, "busy ", "end", host="@fake/other", **pair) == []
    assert len(yielded(source, "busy ", "end", host="@fake/box", **pair)) == 1
