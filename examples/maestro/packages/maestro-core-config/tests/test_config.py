"""Settings from the environment and from files, and what is said when they are wrong."""

import secrets
from pathlib import Path

import pytest
from maestro_core_config import ConfigError, SecretStr, Settings, load


class OrderSettings(Settings):
    batch: int = 100
    api_key: SecretStr


def test_the_environment_goes_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_BATCH", "50")
    monkeypatch.setenv("MAESTRO_API_KEY", secrets.token_hex())
    settings = load(OrderSettings)
    assert (settings.batch, settings.environment) == (50, "development")


def test_a_secret_comes_from_a_file_and_never_prints_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = secrets.token_hex()
    (tmp_path / "maestro_api_key").write_text(key)
    monkeypatch.setenv("MAESTRO_SECRETS_DIR", str(tmp_path))
    settings = load(OrderSettings)
    assert settings.api_key.get_secret_value() == key
    assert key not in repr(settings)


def test_everything_that_is_wrong_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAESTRO_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MAESTRO_BATCH", "many-things")
    with pytest.raises(ConfigError) as error:
        load(OrderSettings)
    assert "MAESTRO_BATCH" in str(error.value)
    assert "MAESTRO_API_KEY" in str(error.value)
    assert "many-things" not in str(error.value)
