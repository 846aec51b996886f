"""The wheel, as somebody else would use it: built, installed elsewhere, run from another folder."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.early

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # hatchling is part of the test extra, so nothing is fetched
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "recipes/mlp/mlp_digits.yaml",
        "recipes/trainer/ddp.yaml",
        "zoo/catalog.json",
        "zoo/mlp/mlp.md",
        "zoo/py.typed",
    } <= names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"zoo", "datamodules", "recipes"}


def test_the_installed_wheel_lists_and_fits(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that sees this one's dependencies, but not this checkout."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    ).stdout.strip()
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # appended to sys.path without processing its .pth files, by which this checkout is installed in editable form
    (Path(purelib) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    home = run(str(python), "-c", "import zoo; print(zoo.__file__)").strip()
    assert home.startswith(purelib)
    assert "mlp_digits" in run(str(venv / "bin" / "zoo"), "list")
    run(str(venv / "bin" / "zoo"), "fit", "-c", "mlp_digits", "-c", "debug/fast_dev_run")
    run(str(venv / "bin" / "zoo"), "fit", "-c", "mlp_wine", "--trainer.max_epochs", "1", "--run_dir", "run")
    assert (elsewhere / "run" / "checkpoints" / "best.ckpt").is_file()
