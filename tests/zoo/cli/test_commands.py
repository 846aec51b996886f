"""The table of commands, and the checks before a model is loaded."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from zoo.cli.commands import COMMANDS
from zoo.cli.main import build_parser, main
from zoo.cli.names import ROOT, find_config
from zoo.cli.settings import check_names, read_settings


def test_every_command_is_there_once_and_documents_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names)) == 16
    for name in names:
        with pytest.raises(SystemExit):
            build_parser().parse_args([name, "--help"])
        assert "--traceback" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["sample", "interpolate"])
@pytest.mark.parametrize("output", ["name", "x.txt", "."])
def test_a_file_that_is_no_picture_is_refused_first(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "no_such_checkpoint", "-o", output]) == 2
    assert capsys.readouterr().err == f"zoo: --output {output} is not the name of an image file: end it in .png\n"


@pytest.mark.parametrize(
    "command",
    [
        ["show", "mlp_digits", "--batch", "-o", "file/x.png"],
        ["sample", "simple_cnn_mnist", "-o", "file/x.png"],
        ["export", "simple_cnn_mnist", "--format", "pt2", "-o", "file/deep/x.pt2"],
    ],
    ids=lambda command: command[0],
)
def test_an_output_inside_a_file_is_refused(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(command) == 2
    assert capsys.readouterr().err == f"zoo: cannot write {command[-1]}: file is a file, not a folder\n"


@pytest.mark.parametrize("command", [["show", "mlp_digits", "--batch"], ["export", "simple_cnn_mnist", "--format", "pt2"]])
def test_an_output_that_is_a_folder_is_refused(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"zoo: --output {tmp_path} is a folder: give the name of a file\n"


def test_a_copy_into_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "mlp_wine", str(tmp_path / "none" / "mine.yaml")]) == 2
    assert capsys.readouterr().err == f"zoo: cannot write {tmp_path}/none/mine.yaml: there is no folder {tmp_path}/none\n"


def test_an_interrupted_command_that_trains_nothing_does_not_offer_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.cli.catalog.entries", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "\nzoo: stopped\n"


def test_published_weights_are_exported_by_name(
    small_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are written to the working directory, because the installed package may be read-only."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["export", "tiny_digits", "--format", "pt2"]) == 0
    assert capsys.readouterr().out.startswith("wrote tiny_digits.pt2 (")
    assert (tmp_path / "tiny_digits.pt2").is_file()


def test_a_file_is_shown_like_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("# größer\nmodel: {}\n", encoding="utf-8")
    assert main(["show", str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out == "# größer\nmodel: {}\n"


DOCUMENTS = [
    path for pattern in ("*.md", "docs/*.md", "zoo/*/*.md", "zoo/pretrained/weights/*.md") for path in ROOT.parent.glob(pattern)
]


@pytest.mark.parametrize("path", sorted(DOCUMENTS), ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_every_command_in_a_document_names_recipes_and_settings_that_exist(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        for command in re.findall(r"\bzoo (?:fit|test|validate|predict|show|copy|reproduce)(?: [^`#|]*)?", line):
            configs, settings = named_in(command)
            check_names([(config, read_settings(config)) for config in configs], settings)


def named_in(command: str) -> tuple[list[Path], list[str]]:
    """Return the recipes and the settings in a documented command. Words in capitals are placeholders."""
    words = shlex.split(command.rstrip("\\ "))
    names = words[2:3] if words[1] in ("show", "copy", "reproduce") else [b for a, b in pairwise(words) if a == "-c"]
    configs = [find_config(name) for name in names if re.fullmatch(r"[a-z0-9_/]+", name)]
    settings = [word for word in words if re.match(r"--(model|data|trainer|wandb|seed_everything)\b", word)]
    return configs, settings if configs else []
