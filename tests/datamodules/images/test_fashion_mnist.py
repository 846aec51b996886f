"""Fashion-MNIST: the real images, whichever way they came, and quickly the second time."""

import io
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from datamodules import FashionMNIST
from datamodules.images.transform import read_idx, read_parquet

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def data(mirror: Path) -> FashionMNIST:
    data = FashionMNIST()
    data.setup()
    return data


def test_the_second_start_reads_what_the_first_decoded(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    seconds, started = [], []
    for _ in range(2):
        started.append(FashionMNIST())
        start = time.perf_counter()
        started[-1].setup()
        seconds.append(time.perf_counter() - start)
    first, second = (data.splits for data in started)
    for name in ("train", "val", "test"):
        assert torch.equal(first[name].arrays.x, second[name].arrays.x)
        assert torch.equal(first[name].arrays.y, second[name].arrays.y)
        assert torch.equal(first[name].rows, second[name].rows)
    assert seconds[1] < 1
    assert seconds[1] < seconds[0] / 10


def test_is_what_the_paper_says(data: FashionMNIST) -> None:
    (x, y, _), _ = data.splits["train"]
    (test_x, test_y, _), test_rows = data.splits["test"]
    assert (x.shape, test_x.shape, x.dtype) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28), torch.uint8)
    assert torch.bincount(y).tolist() == [6000] * 10
    assert torch.bincount(test_y).tolist() == [1000] * 10
    assert torch.equal(test_rows, torch.arange(10_000))
    assert [data.class_names[label] for label in y[:3]] == ["Ankle boot", "T-shirt/top", "T-shirt/top"]


def test_splits_are_disjoint_complete_and_stratified(data: FashionMNIST) -> None:
    y = data.splits["train"].arrays.y
    train, val = data.splits["train"].rows, data.splits["val"].rows
    assert torch.equal(torch.cat([train, val]).sort().values, torch.arange(60_000))
    assert torch.bincount(y[val]).tolist() == [600] * 10


def test_an_epoch_serves_whole_batches_and_evaluation_everything(data: FashionMNIST) -> None:
    assert data.num_train_batches == len(data.train_dataloader()) == 54_000 // 128
    assert sum(len(batch.y) for batch in data.val_dataloader()) == 6000
    assert torch.cat([batch.position for batch in data.test_dataloader()]).tolist() == list(range(10_000))


def test_flips_and_shifts_in_training_only(data: FashionMNIST) -> None:
    batch = next(iter(data.train_dataloader()))
    augmenting = FashionMNIST(flip=True, shift=2).transform
    assert torch.equal(augmenting(batch, 0, False).x, data.transform(batch, 0, True).x)
    assert not torch.equal(augmenting(batch, 0, True).x, data.transform(batch, 0, True).x)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"needs Debian's dataset-fashion-mnist in {DEBIAN}")
@pytest.mark.parametrize(("part", "prefix"), [("train", "train"), ("test", "t10k")])
def test_debians_files_hold_the_same_images(mirror: Path, part: str, prefix: str) -> None:
    path = mirror / "zalando-datasets" / "fashion_mnist" / "fashion_mnist" / f"{part}-00000-of-00001.parquet"
    parquet = read_parquet(path, image="image", label="label")
    idx = read_idx(DEBIAN / f"{prefix}-images-idx3-ubyte.gz", DEBIAN / f"{prefix}-labels-idx1-ubyte.gz")
    assert torch.equal(parquet["x"], idx["x"])
    assert torch.equal(parquet["y"], idx["y"])


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"needs Debian's dataset-fashion-mnist in {DEBIAN}")
def test_debians_files_serve_where_there_is_no_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))  # a mirror of other sets
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    x, y, _ = FashionMNIST(rgb=True).load("test")
    assert x.shape == (10_000, 3, 28, 28)
    assert torch.bincount(y).tolist() == [1000] * 10


def test_the_mirror_comes_before_debians_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("L", (28, 28), color=7).save(file, "PNG")
    path = tmp_path / "zalando-datasets" / "fashion_mnist" / "fashion_mnist" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"image": [{"bytes": file.getvalue(), "path": None}], "label": [9]}), path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    x, y, _ = FashionMNIST().load("test")
    assert torch.equal(x, torch.full((1, 1, 28, 28), 7, dtype=torch.uint8))
    assert y.tolist() == [9]
    x, y, _ = FashionMNIST(size=14, rgb=True).load("test")
    assert torch.equal(x, torch.full((1, 3, 14, 14), 7, dtype=torch.uint8))
    assert y.tolist() == [9]
