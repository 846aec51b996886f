"""Settings of all tests: W&B is disabled, the cache is temporary, each worker uses one thread."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("WANDB_MODE", "disabled")  # tests of tracking set another mode in a subprocess
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files marked `early` first. Whole files go to workers, so a long one at the end would leave the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decode each data set once per session, for all workers, without touching the user's cache."""
    shared = tmp_path_factory.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else tmp_path_factory.getbasetemp()
    os.environ["ZOO_CACHE"] = str(shared / "zoo-cache")


@pytest.fixture(autouse=True)
def _no_run_left_open() -> Iterator[None]:
    """Finish the W&B run that a failed test left open. W&B allows one per process, so later tests would fail too."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


@pytest.fixture
def mirror() -> Path:
    """Folder `ZOO_DATA` with real data; without it the test is skipped with a reason."""
    root = os.environ.get("ZOO_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs ZOO_DATA, a mirror of the data sets")
    return Path(root)
