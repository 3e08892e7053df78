"""Where secrets come from: order, refusals, and files that stay closed."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uplift.secrets import (
    MissingSecretError,
    Secret,
    SecretRef,
    fact_salt,
    fingerprint_key,
    forget,
    missing,
    require,
    resolve,
)
from uplift.secrets.edit import edit
from uplift.secrets.errors import SecretsError
from uplift.secrets.files import LockedError, locked, read_private, write_once, write_private
from uplift.secrets.listing import entries, rekey, set_up
from uplift.secrets.providers import Lab, variable
from uplift.secrets.store import IDENTITY_VARIABLE, Store, new_identity, parse, public_key
from uplift.spec.errors import Exit
from uplift.spec.secret import lab_secret

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project folder, with a home of its own and none of this machine's secrets."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for key in [key for key in os.environ if key.startswith(("UPLIFT_SECRET_", IDENTITY_VARIABLE))]:
        monkeypatch.delenv(key)
    forget()
    yield folder
    forget()


@pytest.fixture
def store(project: Path) -> Store:
    """A file of secrets that can be read, with nothing in it."""
    made = Store(project)
    set_up(made)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def command(project: Path, code: str, *, timeout: float = 30) -> None:
    """Set up a Python program as the command that secrets come from."""
    argv = json.dumps([sys.executable, "-c", code, "{name}"])
    (project / "uplift.toml").write_text(f"[secrets]\ncommand = {argv}\ntimeout = {timeout}\n")


# Where a secret comes from, and in which order


def test_the_environment_comes_before_the_file_and_the_file_before_the_command(
    store: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(project, "print('of the command')")
    assert resolve("nexus/admin").reveal() == "of the command"
    store.set("nexus/admin", Secret("of the file"))
    forget()
    assert resolve("nexus/admin").reveal() == "of the file"
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_ADMIN", "of the environment")
    forget()
    assert resolve("nexus/admin").reveal() == "of the environment"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nexus/admin", "UPLIFT_SECRET_NEXUS_ADMIN"),
        ("prod/db-1.main_x", "UPLIFT_SECRET_PROD_DB_1_MAIN_X"),
    ],
)
def test_a_name_gives_its_environment_variable(name: str, expected: str) -> None:
    assert variable(name) == expected


@given(name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*"))
def test_every_variable_can_be_set_in_a_shell(name: str) -> None:
    assert re.fullmatch(r"UPLIFT_SECRET_[A-Z0-9_]+", variable(name.strip()))


def test_a_secret_is_looked_up_once_a_process(project: Path) -> None:
    command(project, "import pathlib; print(pathlib.Path('calls').open('a').write('x'))")
    assert resolve("a") == resolve(SecretRef(secret="a"))
    assert (project / "calls").read_text() == "x"


def test_a_missing_secret_names_every_place_and_the_remedy(store: Store, project: Path) -> None:
    store.set("nexus/admin", Secret("x"))
    command(project, "import sys; sys.exit('not in the store')")
    with pytest.raises(MissingSecretError) as caught:
        resolve("nexus/admim")
    text = str(caught.value)
    assert "environment variable UPLIFT_SECRET_NEXUS_ADMIM: not set" in text
    assert "secrets.age: no such name, did you mean 'nexus/admin'?" in text
    assert "exit code 1: not in the store" in text
    assert "uplift secrets set nexus/admim" in text
    assert caught.value.exit_code == Exit.USAGE


def test_without_any_setup_the_error_says_that_there_is_nothing() -> None:
    with pytest.raises(MissingSecretError, match=r"secrets.age: no such file(.|\n)*none is set up"):
        resolve("a")


def test_all_missing_secrets_of_settings_are_named_at_once(store: Store) -> None:
    store.set("there", Secret("x"))
    refs = [SecretRef(secret=name) for name in ("there", "one", "two")]
    with pytest.raises(MissingSecretError) as caught:
        require(refs)
    assert caught.value.names == ("one", "two")
    assert [error.names for error in missing(refs)] == [("one",), ("two",)]
    assert require(refs[:1]) == {refs[0]: Secret("x")}


def test_an_empty_environment_variable_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("a", Secret("x"))
    monkeypatch.setenv("UPLIFT_SECRET_A", " ")
    with pytest.raises(SecretsError, match="UPLIFT_SECRET_A is set but empty"):
        resolve("a")


# The command


def test_a_command_gets_the_name_and_loses_only_its_last_line_end(project: Path) -> None:
    command(project, "import sys; print('for ' + sys.argv[1] + '\\n')")
    assert resolve("nexus/admin").reveal() == "for nexus/admin\n"


def test_a_command_that_hangs_is_given_up(project: Path) -> None:
    command(project, "import time; time.sleep(60)", timeout=0.2)
    with pytest.raises(SecretsError, match=r"gave no answer within 0.2 s \(secret 'a'\)"):
        resolve("a")


def test_a_command_that_waits_for_input_gets_none(project: Path) -> None:
    command(project, "import sys; print(repr(sys.stdin.read()))")
    assert resolve("a").reveal() == "''"


def test_what_a_failing_command_printed_as_a_secret_is_masked(project: Path) -> None:
    (project / "value").write_text("planted-canary")
    command(
        project,
        "import pathlib, sys; value = pathlib.Path('value').read_text(); print(value);"
        "sys.exit(f'cannot store {value} today')",
    )
    with pytest.raises(MissingSecretError) as caught:
        resolve("a")
    assert "planted-canary" not in str(caught.value)
    assert "cannot store ******** today" in str(caught.value)


def test_a_command_that_prints_nothing_is_refused(project: Path) -> None:
    command(project, "pass")
    with pytest.raises(SecretsError, match="printed nothing for secret 'a'"):
        resolve("a")


def test_a_program_that_is_not_there_is_said_to_be_missing(project: Path) -> None:
    (project / "uplift.toml").write_text('[secrets]\ncommand = ["no-such-pass", "{name}"]\n')
    with pytest.raises(MissingSecretError, match="no-such-pass is not installed"):
        resolve("a")


def test_a_program_that_may_not_be_started_is_said_to_be_so(project: Path) -> None:
    (project / "pass").write_text("no program")
    (project / "uplift.toml").write_text('[secrets]\ncommand = ["./pass", "{name}"]\n')
    with pytest.raises(SecretsError, match="pass a` cannot be started: Permission denied"):
        resolve("a")


def test_a_command_that_prints_what_is_no_text_is_refused_and_not_quoted(project: Path) -> None:
    (project / "value").write_bytes(b"planted-canary\xff")
    read = "pathlib.Path('value').read_bytes()"
    command(project, f"import pathlib, sys; sys.stdout.buffer.write({read})")
    with pytest.raises(SecretsError, match="printed no UTF-8 text for secret 'a'") as caught:
        resolve("a")
    assert "planted-canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[secrets]\ncomand = ["pass"]\n', "secrets.comand: unknown key, did you mean 'command'"),
        ("[secrets\n", "is not valid TOML"),
        ("[secrets]\ncommand = []\n", "secrets.command: List should have at least 1 item"),
    ],
)
def test_a_wrong_project_file_is_refused(project: Path, text: str, complaint: str) -> None:
    (project / "uplift.toml").write_text(text)
    with pytest.raises(Exception, match=r"uplift\.toml") as caught:
        resolve("a")
    assert complaint in str(caught.value)


# The lab's secrets


def test_a_lab_secret_is_made_up_once_and_kept_closed(project: Path) -> None:
    ref = SecretRef.model_validate(lab_secret("nexus/admin"))
    value = resolve(ref).reveal()
    forget()
    assert resolve(ref).reveal() == value
    assert len(value) >= 32
    assert mode(Lab(project).path) == 0o600
    assert mode(project / ".uplift") == 0o700


def test_other_secrets_are_never_made_up_nor_taken_from_the_lab(project: Path) -> None:
    resolve(SecretRef(secret="a", generate=True))
    with pytest.raises(MissingSecretError):
        resolve("a")
    assert list(Lab(project).values()) == ["a"]


def test_the_lab_never_reads_the_file_or_the_command(store: Store, project: Path) -> None:
    store.set("a", Secret("of production"))
    command(project, "print('of production')")
    assert resolve(SecretRef(secret="a", generate=True)).reveal() != "of production"


def test_a_damaged_lab_file_is_named(project: Path) -> None:
    write_private(Lab(project).path, b"{")
    with pytest.raises(SecretsError, match=r"lab-secrets.json is damaged"):
        resolve(SecretRef(secret="a", generate=True))


def test_processes_that_make_up_secrets_at_the_same_time_agree(project: Path) -> None:
    code = (
        "import sys, pathlib; from uplift.secrets.providers import Lab; lab = Lab(pathlib.Path());"
        "print([lab.look(f'{sys.argv[1]}-{n}') and lab.look('shared').reveal() for n in range(20)])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], stdout=subprocess.PIPE)
        for number in range(3)
    ]
    printed = {process.communicate(timeout=60)[0] for process in running}
    kept = Lab(project).values()
    assert len(kept) == 61  # nobody's were lost
    assert printed == {f"{[kept['shared'].reveal()] * 20}\n".encode()}


# Files that others could read


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_an_open_key_is_refused_with_the_command_to_close_it(store: Store, bits: int) -> None:
    path = store.identity_path()
    assert path is not None
    path.chmod(bits)
    with pytest.raises(SecretsError) as caught:
        resolve("a")
    assert f"(mode {bits:04o})" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)


def test_an_open_lab_file_is_refused(project: Path) -> None:
    resolve(SecretRef(secret="a", generate=True))
    Lab(project).path.chmod(0o644)
    forget()
    with pytest.raises(SecretsError, match=r"chmod 600 .*lab-secrets.json"):
        resolve(SecretRef(secret="a", generate=True))


def test_a_private_file_is_never_open_and_never_half_written(project: Path) -> None:
    path = project / "new" / "file"
    before = os.umask(0)
    try:
        write_private(path, b"one")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path), mode(path.parent)) == (b"one", 0o600, 0o700)
    assert names_in(path.parent) == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "file"
    write_private(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert (path.read_bytes(), names_in(project)) == (b"old", ["file"])


def test_the_first_of_two_writers_wins(project: Path) -> None:
    assert write_once(project / "file", b"first") == b"first"
    assert write_once(project / "file", b"second") == b"first"
    assert names_in(project) == ["file"]


def test_a_folder_in_the_place_of_a_key_is_refused(project: Path) -> None:
    os.mkfifo(project / "fifo", 0o600)
    descriptor = os.open(project / "fifo", os.O_RDWR)
    try:
        with pytest.raises(SecretsError, match="not a regular file"):
            read_private(project / "fifo")
    finally:
        os.close(descriptor)


def test_the_fingerprint_key_is_made_once_and_closed(project: Path) -> None:
    key = fingerprint_key()
    assert key == fingerprint_key()
    assert len(key) == 32
    assert mode(project / ".uplift/fingerprint.key") == 0o600


# The encrypted file


def test_values_come_back_and_stand_nowhere_in_the_file(store: Store) -> None:
    store.set("nexus/admin", Secret("planted-canary"))
    assert store.values() == {"nexus/admin": Secret("planted-canary")}
    assert b"planted-canary" not in store.path.read_bytes()
    assert store.path.read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")


names = st.from_regex(r"[a-z][a-z0-9._-]{0,8}(/[a-z][a-z0-9]{0,8}){0,2}", fullmatch=True)
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(str.strip)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.dictionaries(names, texts, max_size=4))
def test_any_text_survives_being_stored(store: Store, wanted: dict[str, str]) -> None:
    store.write(Secret("# ours\n"))
    for name, value in wanted.items():
        store.set(name, Secret(value))
    assert {name: value.reveal() for name, value in store.values().items()} == wanted


def test_comments_and_other_lines_stay_when_one_is_changed(store: Store) -> None:
    store.write(Secret('# of the shop\n"shop/db" = "one" # since May\n\n"x" = "two"\n'))
    store.set("shop/db", Secret("three"))
    store.remove("x")
    assert store.read().reveal().startswith('# of the shop\n"shop/db" = "three" # since May\n')


def test_removing_what_is_not_there_says_so_and_writes_nothing(store: Store) -> None:
    before = store.path.read_bytes()
    assert store.remove("a") is False
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"a" = s3cr3t-x', "not valid TOML (at line 1, column 7)"),
        ('"a" = ""', "a is empty"),
        ('"a" = "  "', "a is empty"),
        ('"a" = 123456789', "a is a int, not text"),
        ('a.b = "s3cr3t-x"', "a is a dict, not text"),
        ('"s3cr3t-x y" = "v"', "10 characters of a name that is not allowed"),
    ],
)
def test_a_text_with_something_wrong_is_refused_without_showing_it(
    text: str, complaint: str
) -> None:
    with pytest.raises(SecretsError) as caught:
        parse(Secret(text), "here")
    assert complaint in str(caught.value)
    assert "s3cr3t-x" not in str(caught.value)
    assert "123456789" not in str(caught.value)


def test_an_empty_value_is_never_stored(store: Store) -> None:
    before = store.path.read_bytes()
    with pytest.raises(SecretsError, match="a is empty"):
        store.set("a", Secret(""))
    assert store.path.read_bytes() == before


def test_who_is_not_in_the_list_cannot_read_and_learns_what_to_do(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("a", Secret("x"))
    new_identity(tmp_path / "other.txt")
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "other.txt"))
    forget()
    with pytest.raises(SecretsError, match=r"cannot be decrypted with .*other\.txt") as caught:
        resolve("a")
    assert "uplift secrets rekey" in str(caught.value)


def test_a_new_member_reads_after_somebody_has_encrypted_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("a", Secret("x"))
    with monkeypatch.context() as newcomer:
        newcomer.setenv(IDENTITY_VARIABLE, str(tmp_path / "new.txt"))
        done = set_up(store)
        assert (done.made_key, done.listed, done.made_store, done.readable) == (
            *(True, True, False, False),
        )
    assert rekey(store) == 2
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "new.txt"))
    assert store.values() == {"a": Secret("x")}


def test_nobody_locks_himself_out(store: Store) -> None:
    other = pyrage.x25519.Identity.generate().to_public()
    store.recipients_path.write_text(f"# somebody else\n{other}\n")
    before = store.path.read_bytes()
    with pytest.raises(SecretsError, match="nothing was written"):
        store.set("a", Secret("x"))
    assert store.path.read_bytes() == before


def test_an_ssh_key_reads_what_was_encrypted_for_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    write_private(tmp_path / "id_ed25519", private)
    with store.recipients_path.open("ab") as file:
        file.write(public + b"\n")
    store.set("a", Secret("x"))
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "id_ed25519"))
    assert store.values() == {"a": Secret("x")}
    assert public_key(tmp_path / "id_ed25519") is None


@pytest.mark.parametrize("line", ["age1nothing", "nonsense", "ssh-ed25519 AAAA"])
def test_a_wrong_line_in_the_list_is_named(store: Store, line: str) -> None:
    store.recipients_path.write_text(f"{line}\n")
    with pytest.raises(SecretsError, match="is no public key"):
        store.set("a", Secret("x"))


def test_a_key_file_without_a_key_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "empty.txt", b"# nothing\n")
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "empty.txt"))
    with pytest.raises(SecretsError, match=r"empty.txt holds no age identity"):
        store.values()


def test_a_missing_key_is_a_place_where_nothing_was_found(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(MissingSecretError, match=r"no key to read it with \(looked at .*none\)"):
        resolve("a")


def test_setting_up_twice_changes_nothing(store: Store) -> None:
    before = store.recipients_path.read_bytes(), store.path.read_bytes()
    done = set_up(store)
    assert (done.made_key, done.listed, done.made_store, done.readable) == (
        *(False, False, False, True),
    )
    assert (store.recipients_path.read_bytes(), store.path.read_bytes()) == before


def test_the_list_shows_names_and_places_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("b", Secret("planted-canary"))
    store.set("a", Secret("planted-canary"))
    monkeypatch.setenv("UPLIFT_SECRET_A", "planted-canary")
    monkeypatch.setenv("UPLIFT_SECRET_C", "planted-canary")
    found = entries(store.folder)
    assert [(entry.name, entry.provider) for entry in found] == [
        ("UPLIFT_SECRET_C", "environment"),
        ("a", "environment"),
        ("b", "secrets.age"),
    ]
    assert "planted-canary" not in repr(found)


# Editing


Editor = Callable[[str], None]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """Set up a Python program as the editor; it finds the file as ``path``."""

    def use(code: str) -> None:
        script = tmp_path / "editor.py"
        head = "import os, sys, pathlib; path = pathlib.Path(sys.argv[1])\n"
        script.write_text(head + code)
        monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")

    return use


def never(wrong: str) -> bool:
    return False


def test_an_edited_text_is_stored_and_leaves_nothing_behind(
    store: Store, editor: Editor, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    editor(
        f"""pathlib.Path({str(seen)!r}).write_text(
    f"{{path.parent}} {{path.stat().st_mode & 0o777:o}} {{path.parent.stat().st_mode & 0o777:o}}")
(path.parent / "secrets.toml~").write_text("backup of the editor")
path.write_text('"a" = "x"')"""
    )
    assert edit(store, never) is True
    assert store.values() == {"a": Secret("x")}
    folder, file_mode, folder_mode = seen.read_text().split()
    assert (file_mode, folder_mode) == ("600", "700")
    assert not Path(folder).exists()


def test_an_edit_that_changes_nothing_writes_nothing(store: Store, editor: Editor) -> None:
    before = store.path.read_bytes()
    editor("")
    assert edit(store, never) is False
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    "code",
    ["path.write_text('\"a\" = 1')", "sys.exit(3)", "path.write_text('\"a\" ='); sys.exit(1)"],
)
def test_a_failed_edit_leaves_the_file_as_it_was_and_no_plain_text(
    store: Store, editor: Editor, tmp_path: Path, code: str
) -> None:
    store.set("a", Secret("x"))
    before = store.path.read_bytes()
    seen = tmp_path / "seen"
    editor(f"pathlib.Path({str(seen)!r}).write_text(str(path.parent))\n{code}")
    with pytest.raises(SecretsError):
        edit(store, never)
    assert store.path.read_bytes() == before
    assert not Path(seen.read_text()).exists()


def test_a_wrong_text_can_be_edited_again(store: Store, editor: Editor) -> None:
    editor("path.write_text('\"a\" = \"x\"' if 'broken' in path.read_text() else 'broken')")
    asked: list[str] = []

    def again(wrong: str) -> bool:
        asked.append(wrong)
        return True

    assert edit(store, again) is True
    assert store.values() == {"a": Secret("x")}
    assert len(asked) == 1
    assert "the edited text is not valid TOML" in asked[0]


def test_a_name_that_an_edit_repeats_is_named_and_nothing_is_kept(
    store: Store, editor: Editor
) -> None:
    value = secrets.token_hex(8)
    before = store.path.read_bytes()
    editor(f'path.write_text(\'"a/b" = "{value}"\\n"a/b" = "y"\\n\')')
    with pytest.raises(SecretsError, match="a/b stands there twice") as caught:
        edit(store, never)
    assert "the edited text is not valid TOML (at line 2" in str(caught.value)
    assert "Nothing was stored" in str(caught.value)
    assert value not in str(caught.value)
    assert store.path.read_bytes() == before


def test_an_edit_before_init_opens_no_editor(project: Path, editor: Editor, tmp_path: Path) -> None:
    editor(f"pathlib.Path({str(tmp_path / 'opened')!r}).touch()")
    with pytest.raises(SecretsError, match="uplift secrets init"):
        edit(Store(project), never)
    new_identity(Store(project).identity_paths()[0])
    with pytest.raises(SecretsError, match="lists nobody to encrypt for"):
        edit(Store(project), never)
    assert not (tmp_path / "opened").exists()


def test_the_plain_text_is_gone_when_the_edit_is_killed(
    store: Store, editor: Editor, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    editor(
        f"""import signal
pathlib.Path({str(seen)!r}).write_text(str(path.parent))
os.kill(os.getppid(), signal.SIGTERM)"""
    )
    with pytest.raises(SystemExit):
        edit(store, never)
    assert not Path(seen.read_text()).exists()


def test_two_people_cannot_edit_at_the_same_time(store: Store, editor: Editor) -> None:
    editor("")
    with locked(store.folder, "secrets"), pytest.raises(LockedError) as caught:
        edit(store, never)
    assert caught.value.exit_code == Exit.LOCKED


def test_an_editor_that_is_not_there_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor")
    with pytest.raises(SecretsError, match="no editor 'no-such-editor'"):
        edit(store, never)


def test_machines_with_the_same_key_make_the_same_fingerprints(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, salt = fingerprint_key(), fact_salt()
    monkeypatch.setenv("UPLIFT_FINGERPRINT_KEY", own.hex())
    assert (fingerprint_key(), fact_salt()) == (own, salt)
    monkeypatch.setenv("UPLIFT_FINGERPRINT_KEY", own[::-1].hex())
    assert fingerprint_key() != own
    assert fact_salt() != salt


@pytest.mark.parametrize("given", ["", "no hex", "abcd"])
def test_a_key_that_is_none_is_refused_with_the_way_to_make_one(
    given: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_FINGERPRINT_KEY", given)
    with pytest.raises(SecretsError, match="openssl rand"):
        fingerprint_key()
