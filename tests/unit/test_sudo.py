"""What sudo is answered: pyinfra's own value, else the secret that group data refers to."""

from __future__ import annotations

import secrets as random

import pytest

from uplift.secrets import MissingSecretError, secret, sudo
from uplift.spec.errors import SettingsError


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    value = random.token_hex(12)
    monkeypatch.setenv("UPLIFT_SECRET_PROD_SUDO", value)
    return value


def test_the_secret_of_group_data_answers_sudo(password: str) -> None:
    assert sudo.password({"_sudo": True, "sudo_password": secret("prod/sudo")}) == password


def test_pyinfras_own_value_comes_first(password: str) -> None:
    own = random.token_hex(12)
    data = {"_sudo": True, "_sudo_password": own, "sudo_password": secret("prod/sudo")}
    assert sudo.password(data) == own


def test_what_a_terminal_repeats_of_the_input_is_no_output() -> None:
    word = random.token_hex(12)
    lines = [*sudo.answer(word), "it works", f"half of a line {word}"]
    assert word in lines
    assert sudo.unechoed(word, lines) == ["it works", "half of a line ********"]
    assert sudo.unechoed("", ["it works", ""]) == ["it works", ""]


def test_without_sudo_no_secret_is_asked_for() -> None:
    assert sudo.password({"sudo_password": secret("prod/nobody-has-it")}) == ""


def test_a_missing_secret_is_an_error() -> None:
    with pytest.raises(MissingSecretError, match="prod/nobody-has-it"):
        sudo.password({"_sudo": True, "sudo_password": secret("prod/nobody-has-it")})


def test_a_password_in_the_place_of_a_reference_is_refused_and_not_shown() -> None:
    value = random.token_hex(12)
    with pytest.raises(SettingsError) as error:
        sudo.password({"_sudo": True, "sudo_password": value})
    assert value not in str(error.value)
