"""W&B is online with a key and offline without one. A CSV file is always written."""

import csv
import os
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from zoo.training.tracking import describe_wandb, has_key, make_loggers, wandb_mode

KEYED = "machine api.wandb.ai login user password 0123456789"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remove W&B's variables from the environment, and return the path of a netrc file that does not exist yet."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


def test_offline_without_a_key(netrc: Path) -> None:
    assert not has_key()
    assert wandb_mode() == "offline"


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_online_with_a_key_in_the_environment(netrc: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0123456789")
    assert wandb_mode() == "online"


def test_online_with_a_key_in_the_netrc_file(netrc: Path) -> None:
    netrc.write_text(KEYED)
    assert wandb_mode() == "online"


@pytest.mark.parametrize("text", ["machine example.org login user password x", "", "no netrc file at all"])
def test_offline_with_a_netrc_file_without_a_key_for_the_server(netrc: Path, text: str) -> None:
    netrc.write_text(text)
    assert wandb_mode() == "offline"


def test_a_custom_server_needs_its_own_key(netrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    netrc.write_text(KEYED)
    assert wandb_mode() == "offline"
    netrc.write_text("machine wandb.example.org login user password x")
    assert wandb_mode() == "online"


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("offline", "offline"),
        ("online", "online"),
        ("disabled", "disabled"),
        ("shared", "shared"),
        ("dryrun", "offline"),
        ("run", "online"),
    ],
)
@pytest.mark.parametrize("key", ["", KEYED])
def test_wandb_mode_takes_precedence_over_a_key(
    netrc: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, mode: str
) -> None:
    netrc.write_text(key)
    monkeypatch.setenv("WANDB_MODE", value)
    assert wandb_mode() == mode


def test_an_unknown_mode_is_refused(netrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "off")
    with pytest.raises(ValueError, match="WANDB_MODE is 'off': expected online, offline, shared or disabled"):
        wandb_mode()


def test_a_csv_file_is_written_even_if_wandb_is_disabled(netrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb, table = make_loggers(tmp_path / "run", "recipe", "resume-1")
    assert isinstance(wandb, WandbLogger)
    assert isinstance(table, CSVLogger)
    table.log_metrics({"train/loss": 0.5}, step=3)
    table.save()
    rows = (tmp_path / "run" / "logs" / "resume-1" / "metrics.csv").read_text().splitlines()
    assert list(csv.DictReader(rows)) == [{"step": "3", "train/loss": "0.5"}]
    assert describe_wandb(wandb) == []
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.parametrize(
    ("mode", "session", "identity", "name"),
    [
        ("online", "resume", "abc", "recipe run"),  # continues the W&B run of the first session
        ("offline", "fit", None, "recipe run"),
        ("offline", "resume", None, "recipe run resume"),  # would replace the first session's steps when synced
        ("offline", "test", None, "recipe run test"),
    ],
)
def test_only_an_online_session_continues_a_wandb_run(
    netrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, session: str, identity: str | None, name: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    logger, _ = make_loggers(tmp_path / "run", "recipe", session, resume_id="abc")
    assert isinstance(logger, WandbLogger)
    assert (logger.version, logger._wandb_init["name"]) == (identity, name)
