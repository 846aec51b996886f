"""What every test shares: no tracking, a cache of its own, one thread per worker."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("WANDB_MODE", "disabled")  # tests of the tracking itself choose another in a subprocess
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decode each data set once per session (all workers), and leave the user's cache alone."""
    shared = tmp_path_factory.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else tmp_path_factory.getbasetemp()
    os.environ["ZOO_CACHE"] = str(shared / "zoo-cache")


@pytest.fixture(autouse=True)
def _no_run_left_open() -> Iterator[None]:
    """W&B knows one run per process: a test that fails within its own must not fail those after it."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


@pytest.fixture
def mirror() -> Path:
    """The folder of real data; the test is skipped, and says so, where there is none."""
    root = os.environ.get("ZOO_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs ZOO_DATA, a mirror of the data sets")
    return Path(root)
