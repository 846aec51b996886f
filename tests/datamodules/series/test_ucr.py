"""UCR sets: the archive's own parts, normalised by the steps that count."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules import UCR
from datamodules.series.ucr import _FACTS


def own(path: Path, **changed: np.ndarray) -> str:
    """A set "Own" of two channels and up to 5 steps; what fills it up is no zero, so that it would show."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {"classes": np.array(["cat", "dog"])}
    for part, size in (("train", 20), ("test", 6)):
        arrays[f"len_{part}"] = np.arange(size) % 4 + 2
        arrays[f"y_{part}"] = (np.arange(size) % 2).astype(np.int8)
        arrays[f"x_{part}"] = generator.normal([[3.0], [-40.0]], [[1.0], [9.0]], (size, 2, 5)).astype(np.float32)
    arrays.update(changed)
    np.savez(path, **{f"Own.{name}": value for name, value in arrays.items() if value is not None})
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> UCR:
    data = UCR("Own", own(tmp_path / "own.npz"), batch_size=4)
    data.setup()
    return data


def test_series_are_steps_by_channels_with_their_own_lengths(data: UCR, tmp_path: Path) -> None:
    assert (data.input_shape, data.num_classes, data.class_names) == ((5, 2), 2, ("cat", "dog"))
    with np.load(tmp_path / "own.npz") as file:
        original, steps = file["Own.x_test"], file["Own.len_test"]
    for batch in data.test_dataloader():
        for x, length, y, position in zip(*batch, strict=True):
            assert int(length) == steps[position]
            assert np.array_equal(x[:length].numpy(), original[position, :, :length].T)
            assert not x[length:].any()
            assert int(y) == int(position) % 2


def test_normalised_by_the_steps_that_count_of_the_training_rows(data: UCR) -> None:
    (x, _, lengths), rows = data.splits["train"]
    assert lengths is not None
    seen = torch.cat([x[row, : lengths[row]] for row in rows.tolist()]).double()
    assert data.mean == pytest.approx(seen.mean(0).tolist())
    assert data.std == pytest.approx(seen.std(0, correction=0).tolist())
    assert isinstance(data.mean, tuple)
    for loader in (data.train_dataloader(), data.test_dataloader()):
        for batch in loader:
            out = data.transform(batch, 0, True)
            for before, after, length in zip(batch.x, out.x, batch.lengths, strict=True):
                expected = (before[:length] - torch.tensor(data.mean)) / torch.tensor(data.std)
                torch.testing.assert_close(after[:length], expected)
                assert not after[length:].any()


def test_validation_is_held_out_from_the_training_part_per_class(data: UCR) -> None:
    train, val = data.splits["train"], data.splits["val"]
    assert sorted(torch.cat([train.rows, val.rows]).tolist()) == list(range(20))
    assert torch.bincount(val.arrays.y[val.rows]).tolist() == [2, 2]
    assert torch.equal(data.splits["test"].rows, torch.arange(6))


def test_a_constant_channel_becomes_zero(tmp_path: Path) -> None:
    x = np.full((20, 2, 5), 0.1, dtype=np.float32)
    x[:, 1] = np.arange(20)[:, None]
    data = UCR("Own", own(tmp_path / "own.npz", x_train=x))
    data.setup()
    assert not data.transform(next(iter(data.train_dataloader())), 0, True).x[..., 0].any()


def test_what_float32_cannot_tell_apart_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([[0.0], [1e9]], 1.0, (20, 2, 5))
    data = UCR("Own", own(tmp_path / "own.npz", x_train=x))
    with pytest.raises(ValueError, match=r"channel 1 of Own in .*own\.npz varies by .* are 64 apart: subtract a constant"):
        data.setup()


def test_a_checkpoint_keeps_its_scale(data: UCR, tmp_path: Path) -> None:
    other = UCR("Own", own(tmp_path / "other.npz", x_train=np.zeros((20, 2, 5), dtype=np.float32)))
    other.setup()
    other.load_state_dict(data.state_dict())
    assert (other.mean, other.std) == (data.mean, data.std)
    batch = next(iter(data.val_dataloader()))
    assert torch.equal(other.transform(batch, 0, False).x, data.transform(batch, 0, False).x)


@pytest.mark.parametrize("name", _FACTS)
def test_real_sets_are_what_the_class_says_before_it_reads_them(mirror: Path, name: str) -> None:
    data = UCR(name)
    shape, classes = data.input_shape, data.class_names
    data.setup()  # refuses another shape, and labels outside the classes
    x, y, lengths = data.splits["train"].arrays
    assert lengths is not None
    assert set(y.tolist()) == set(range(len(classes)))
    with np.load(mirror / "timeseries" / "ucr_uea.npz") as file:
        assert file[f"{name}.classes"].tolist() == list(classes)
        assert np.array_equal(x.movedim(1, 2).numpy(), file[f"{name}.x_train"])
        assert np.array_equal(lengths.numpy(), file[f"{name}.len_train"])
        assert len(data.splits["test"].arrays.y) == len(file[f"{name}.y_test"])
    assert x.shape[1:] == shape


def test_series_of_unequal_length_are_cut_to_the_longest_of_their_batch(mirror: Path) -> None:
    data = UCR("JapaneseVowels", batch_size=16)
    data.setup()
    widths = {batch.x.shape[1] for batch in data.train_dataloader()}
    assert len(widths) > 3
    assert max(widths) <= 29


def test_without_the_archive_it_says_where_it_belongs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    data = UCR("GunPoint")
    assert (data.input_shape, data.num_classes) == ((150, 1), 2)
    with pytest.raises(
        FileNotFoundError, match=r"UCR found no timeseries/ucr_uea\.npz under ZOO_DATA \(not set\): set ZOO_DATA"
    ):
        data.setup()
    with pytest.raises(FileNotFoundError, match=r"UCR found no .*none\.npz: set ZOO_DATA .* or source to the path"):
        UCR("GunPoint", str(tmp_path / "none.npz"))


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"UCR has no set 'GunPoints': did you mean GunPoint\?"):
        UCR("GunPoints")
    with pytest.raises(ValueError, match=r"UCR has no set 'xyz': it has ArrowHead, BasicMotions, GunPoint, Italy"):
        UCR("xyz")
    with pytest.raises(ValueError, match=r"own\.npz has no set 'GunPoint': it has Own"):
        UCR("GunPoint", own(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_test": None}, r"own\.npz has no Own\.y_test: a set consists of x, len and y of train and test, and its classes"),
        ({"classes": None}, r"own\.npz has no Own\.classes"),
        ({"x_train": np.zeros((20, 5))}, r"Own\.x_train of .*: expected an array \(N, C, T\), got one of shape \(20, 5\)"),
        ({"len_train": np.full(20, 6)}, r"Own\.len_train of .*: expected a length in 1\.\.5 for each of 20 series"),
        ({"len_train": np.zeros(20)}, r"Own\.len_train of .*: expected a length in 1\.\.5"),
        ({"len_test": np.ones(5)}, r"Own\.len_test of .*: expected a length in 1\.\.5 for each of 6 series"),
        ({"x_test": np.full((6, 2, 5), np.nan)}, r"Own\.x_test of .* has missing or infinite values: fill them in"),
        ({"x_test": np.zeros((6, 2, 4))}, r"Own\.len_test of .*: expected a length in 1\.\.4"),
        ({"x_test": np.zeros((6, 3, 5))}, r"UCR \(test\): expected samples of shape \(5, 2\), got \(5, 3\)"),
        ({"y_train": np.arange(20)}, r"UCR \(train\): labels must lie in 0\.\.1"),
    ],
)
def test_names_the_array_at_fault(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = own(tmp_path / "own.npz", **changed)
    with pytest.raises(ValueError, match=message):
        UCR("Own", path).setup()


def test_what_is_no_npz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_text("no")
    with pytest.raises(ValueError, match=r"cannot read .*own\.npz as npz: File is not a zip file"):
        UCR("Own", str(path))


def test_an_archive_with_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = Path(own(tmp_path / "own.npz"))
    content = path.read_bytes()
    place = content.index(np.load(path)["Own.x_train"].tobytes()[:40])
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])  # its checksum no longer fits
    with pytest.raises(ValueError, match=rf"^cannot read {path} as npz: Bad CRC-32 for file 'Own\.x_train\.npy'; check"):
        UCR("Own", str(path)).setup()
