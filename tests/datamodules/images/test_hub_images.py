"""Sets of pictures on the hub: which files, which columns, which classes; in a mirror, as on the hub."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from datamodules import CIFAR10, USPS, HubImages
from datamodules.core.labelled_sets import find_parts
from datamodules.images.base import Reader

REPO = "someone/pets"


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (level,) * 3).save(file, "PNG")
    return file.getvalue()


def pictures(num: int, level: int = 0) -> list[dict[str, bytes | None]]:
    return [{"bytes": picture(level + i), "path": None} for i in range(num)]


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """A parquet file as the `datasets` library leaves it, with what it writes about its columns."""
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a repository in a mirror; its tests fill it."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / REPO).mkdir(parents=True)
    return tmp_path / REPO


def module(**arguments: Any) -> HubImages:
    return HubImages(**{"source": REPO, "size": 4, "num_workers": 0, "batch_size": 4, **arguments})


def read(**arguments: Any) -> HubImages:
    """Without the split, for which some of these tests have too few pictures."""
    data = module(**arguments)
    data.read()
    return data


CLASSES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog", "mouse"]}}


def test_the_schema_names_columns_and_classes(pets: Path) -> None:
    features = {"img": {"_type": "Image"}, "fine": {"_type": "ClassLabel", "names": ["cat", "dog", "mouse"]}}
    columns = {"img": pictures(4), "fine": [1, 0, 1, 0], "label": ["no", "class", "at", "all"]}
    write(pets / "data" / "train-00000-of-00001.parquet", columns, features)
    data = module()
    assert (data.class_names, data.num_classes) == (("cat", "dog", "mouse"), 3)  # also those that no picture shows
    data.read()
    assert data.y.tolist() == [1, 0, 1, 0]
    assert data.y.dtype == torch.int64


def test_a_file_that_numbers_the_classes_otherwise_is_refused(pets: Path) -> None:
    write(pets / "train-00000-of-00002.parquet", {"image": pictures(4), "label": [0, 1, 0, 1]}, CLASSES)
    other = {**CLASSES, "label": {"_type": "ClassLabel", "names": ["dog", "cat", "mouse"]}}
    for name, features in (("train-00001-of-00002", CLASSES), ("test-00000-of-00001", other)):
        write(pets / f"{name}.parquet", {"image": pictures(2), "label": [0, 1]}, features)
    with pytest.raises(
        ValueError, match=r"test-00000-of-00001\.parquet numbers .* it has dog, cat, mouse, expected cat, dog, mou"
    ):
        read()
    write(pets / "test-00000-of-00001.parquet", {"image": pictures(2), "label": [0, 1]})
    with pytest.raises(ValueError, match=r"it has none, expected cat, dog, mouse"):
        read()


@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "labels"), ("photo", "target"), ("x", "class")])
def test_without_a_word_from_the_schema_bytes_are_the_picture(pets: Path, image: str, label: str) -> None:
    write(pets / "train.parquet", {"id": [0, 1, 2, 3], label: [7, 5, 7, 5], image: pictures(4)})
    data = read()
    assert (data.class_names, data.y.tolist()) == (("5", "7"), [1, 0, 1, 0])
    assert data.files.encoded(2) == picture(2)


def test_pictures_may_stand_as_bare_bytes(pets: Path) -> None:
    write(pets / "train.parquet", {"image": [picture(i) for i in range(4)], "label": [0, 1, 0, 1]})
    assert [read().files.encoded(i) for i in range(4)] == [picture(i) for i in range(4)]


def test_columns_may_be_chosen(pets: Path) -> None:
    columns = {"front": pictures(4), "back": pictures(4, level=50), "breed": ["b", "a", "c", "b"], "label": [0, 1, 0, 1]}
    write(pets / "train.parquet", columns)
    data = read(image="back", label="breed")
    assert (data.class_names, data.y.tolist()) == (("a", "b", "c"), [1, 0, 2, 1])
    assert data.files.encoded(3) == picture(53)


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        pytest.param(
            {"front": pictures(2), "back": pictures(2), "label": [0, 1]},
            {},
            r"train\.parquet has 2 columns that could be the image: choose one by data\.image, it has front, back, label",
            id="two images",
        ),
        pytest.param({"label": [0, 1], "id": [0, 1]}, {}, r"has 0 columns that could be the image", id="no image"),
        pytest.param(
            {"image": pictures(2), "label": [0, 1], "target": [0, 1]},
            {},
            r"has 2 columns that could be the label: choose one by data\.label",
            id="two labels",
        ),
        pytest.param({"image": pictures(2), "name": ["a", "b"]}, {}, r"0 columns that could be the label", id="no label"),
        pytest.param(
            {"image": pictures(2), "label": [0, 1]},
            {"image": "img"},
            r"no column 'img': it has image, label",
            id="no such image",
        ),
        pytest.param({"image": pictures(2), "label": [0, 1]}, {"label": "breed"}, r"has no column 'breed'", id="no such label"),
    ],
)
def test_columns_that_the_schema_does_not_tell_are_refused(
    pets: Path, columns: dict[str, Any], arguments: dict[str, str], message: str
) -> None:
    write(pets / "train.parquet", columns)
    with pytest.raises(ValueError, match=message):
        module(**arguments)


@pytest.mark.parametrize(
    ("labels", "features", "message"),
    [
        pytest.param([0, None], None, r"row 1 of test\.parquet has no label: expected one class", id="none"),
        pytest.param([0, 1, -1], CLASSES, r"label must lie in 0\.\.2, found -1 in row 2 of test\.parquet", id="hidden, named"),
        pytest.param([3], CLASSES, r"label must lie in 0\.\.2, found 3 in row 0 of test\.parquet", id="beyond the names"),
        pytest.param([-1, -1], None, r"label -1 is in no training picture: some sets hide the labels of their", id="hidden"),
    ],
)
def test_pictures_without_a_class_are_refused(
    pets: Path, labels: list[int | None], features: dict[str, Any] | None, message: str
) -> None:
    write(pets / "train.parquet", {"image": pictures(3), "label": [0, 1, 2]}, features)
    write(pets / "test.parquet", {"image": pictures(len(labels)), "label": labels}, features)
    data = module()  # the test part is no business of the constructor
    with pytest.raises(ValueError, match=message):
        data.setup()


def test_several_classes_of_one_picture_are_refused(pets: Path) -> None:
    write(pets / "train.parquet", {"image": pictures(2), "label": [[0, 1], [1]]})
    with pytest.raises(ValueError, match=r"row 0 of train\.parquet has \[0, 1\] for label: expected one class"):
        module()


def test_a_part_without_the_columns_is_named(pets: Path) -> None:
    write(pets / "train.parquet", {"image": pictures(2), "label": [0, 1]})
    write(pets / "test.parquet", {"image": pictures(2)})
    with pytest.raises(ValueError, match=r"test\.parquet has no column 'label': it has image"):
        module().setup()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_damaged_file_is_named(pets: Path, part: str) -> None:
    for name in ("train", "test"):
        write(pets / f"{name}.parquet", {"image": pictures(2), "label": [0, 1]})
    (pets / f"{part}.parquet").write_bytes((pets / f"{part}.parquet").read_bytes()[:-30])
    with pytest.raises(ValueError, match=rf"cannot read .*/{part}\.parquet as parquet"):
        module().setup()


def test_shards_are_one_part_in_their_order(pets: Path) -> None:
    for shard, labels in enumerate(([0, 1, 0], [1, 0, 1, 0])):
        columns = {"image": pictures(len(labels), level=100 * shard), "label": labels}
        write(pets / "data" / f"train-0000{shard}-of-00002.parquet", columns)
    write(pets / "data" / "test-00000-of-00001.parquet", {"image": pictures(2, level=200), "label": [1, 1]})
    data = read()
    first, second, test = "train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"
    found = {data.files.name(i): (data.files.encoded(i), label) for i, label in enumerate(data.y.tolist())}
    assert found == {
        **{f"row {row} of {first}": (picture(row), row % 2) for row in range(3)},
        **{f"row {row} of {second}": (picture(100 + row), 1 - row % 2) for row in range(4)},
        **{f"row {row} of {test}": (picture(200 + row), 1) for row in range(2)},
    }
    with pytest.raises(IndexError, match="there is no picture 9"):
        data.files.name(9)
    data.setup()
    files = {name: {data.files.name(row)[9:] for row in split.rows.tolist()} for name, split in data.splits.items()}
    assert files["test"] == {test}
    assert files["train"] | files["val"] == {first, second}
    assert sorted(row for split in data.splits.values() for row in split.rows.tolist()) == list(range(9))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_hold_the_pictures_of_their_places(pets: Path, num_workers: int) -> None:
    write(pets / "train.parquet", {"image": pictures(4), "label": [0, 1, 0, 1]})
    write(pets / "test.parquet", {"image": pictures(5, level=100), "label": [1, 1, 0, 0, 1]})
    data = module(num_workers=num_workers)
    data.setup()
    x, y, position = (torch.cat(parts) for parts in zip(*data.test_dataloader(), strict=True))
    assert (x.shape, x.dtype) == ((5, 3, 4, 4), torch.uint8)
    assert x[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104]
    assert y.tolist() == [1, 1, 0, 0, 1]
    assert [data.files.name(place) for place in position.tolist()] == [f"row {row} of test.parquet" for row in range(5)]


def test_training_alone_gives_all_three_parts(pets: Path) -> None:
    write(pets / "train.parquet", {"image": pictures(20), "label": [0, 1] * 10})
    data = module()
    data.setup()
    rows = {name: split.rows.tolist() for name, split in data.splits.items()}
    assert {name: len(part) for name, part in rows.items()} == {"train": 14, "val": 2, "test": 4}
    assert sorted(row for part in rows.values() for row in part) == list(range(20))
    assert sum(data.y[rows["test"]].tolist()) == 2


@pytest.mark.parametrize("word", ["validation", "valid", "val", "dev", "test", "eval"])
def test_the_one_part_beside_training_is_the_test(pets: Path, word: str) -> None:
    write(pets / "data" / "train-00000-of-00001.parquet", {"image": pictures(10), "label": [0, 1] * 5})
    write(pets / "data" / f"{word}-00000-of-00001.parquet", {"image": pictures(3), "label": [0, 1, 1]})
    data = module()
    data.setup()
    names = [data.files.name(row) for row in data.splits["test"].rows.tolist()]
    assert names == [f"row {row} of {word}-00000-of-00001.parquet" for row in range(3)]
    assert len(data.splits["val"].rows) == 1


@pytest.mark.parametrize("words", [("validation", "test"), ("valid", "test"), ("val", "eval"), ("dev", "eval")])
def test_three_parts_are_what_their_names_say(pets: Path, words: tuple[str, str]) -> None:
    for word, num in zip(("train", *words), (4, 3, 2), strict=True):
        write(pets / f"{word}.parquet", {"image": pictures(num), "label": [0, 1, 0, 1][:num]})
    data = module()
    data.setup()
    assert {name: len(split.rows) for name, split in data.splits.items()} == {"train": 4, "val": 3, "test": 2}


@pytest.mark.parametrize(
    ("listing", "parts"),
    [
        (["README.md", "train.parquet"], {"train": ["train.parquet"]}),
        (
            ["plain_text/test-00000-of-00001.parquet", "plain_text/train-00000-of-00001.parquet"],
            {"train": ["plain_text/train-00000-of-00001.parquet"], "test": ["plain_text/test-00000-of-00001.parquet"]},
        ),
        (
            ["default/train/0000.parquet", "default/train/0001.parquet", "default/validation/0000.parquet"],
            {
                "train": ["default/train/0000.parquet", "default/train/0001.parquet"],
                "test": ["default/validation/0000.parquet"],
            },
        ),
        (
            ["data/pets_train.parquet", "data/pets_test.parquet"],
            {"train": ["data/pets_train.parquet"], "test": ["data/pets_test.parquet"]},
        ),
        (
            ["data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"],
            {"train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]},
        ),
        (
            ["data/train-dev/train-0.parquet", "data/train-dev/test-0.parquet"],
            {"train": ["data/train-dev/train-0.parquet"], "test": ["data/train-dev/test-0.parquet"]},
        ),
        (["train.csv", "train.parquet", "trains.parquet", "strain.parquet"], {"train": ["train.parquet"]}),
        (["test/train-0.parquet", "test/test-0.parquet"], {"train": ["test/train-0.parquet"], "test": ["test/test-0.parquet"]}),
    ],
)
def test_parts_are_known_by_the_words_in_their_names(listing: list[str], parts: dict[str, list[str]]) -> None:
    assert find_parts(REPO, listing, None) == parts


def test_one_of_several_sets_has_to_be_chosen(pets: Path) -> None:
    for config, level in {"large": 0, "small": 100}.items():
        write(pets / config / "train-00000-of-00001.parquet", {"image": pictures(2, level), "label": [0, 1]})
    with pytest.raises(ValueError, match=r"someone/pets holds several sets, choose one by data\.config: large, small"):
        module()
    data = read(config="small")
    assert [data.files.encoded(place) for place in range(len(data.files))] == [picture(100), picture(101)]
    with pytest.raises(ValueError, match=r"no parquet files for training under medium: it has large/train-00000-of-00001"):
        module(config="medium")


@pytest.mark.parametrize("listing", [[], ["data/images.zip"], ["data/test-00000-of-00001.parquet"]])
def test_a_set_without_training_files_is_refused(listing: list[str]) -> None:
    with pytest.raises(ValueError, match=r"someone/pets has no parquet files for training: .*refs/convert/parquet"):
        find_parts(REPO, listing, None)


def test_a_source_has_to_be_given() -> None:
    with pytest.raises(ValueError, match=r"source is not given: .*--data\.source OWNER/NAME"):
        HubImages()


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_bad_picture_is_named_by_row_and_file(pets: Path, content: bytes | None) -> None:
    cells = pictures(4)
    cells[2]["bytes"] = content
    write(pets / "train-00000-of-00002.parquet", {"image": pictures(4), "label": [0, 1, 0, 1]})
    write(pets / "train-00001-of-00002.parquet", {"image": cells, "label": [0, 1, 0, 1]})
    data = module()
    with pytest.raises(ValueError, match=r"^row 2 of train-00001-of-00002\.parquet holds no readable picture \(it is \w+.*\)"):
        data.setup()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_picture_cut_short_is_named_by_row_and_file(pets: Path, num_workers: int) -> None:
    cells = pictures(4)
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(file, "PNG")
    cells[1]["bytes"] = file.getvalue()[:-1000]
    write(pets / "train.parquet", {"image": pictures(4), "label": [0, 1, 0, 1]})
    write(pets / "test.parquet", {"image": cells, "label": [0, 1, 0, 1]})
    data = module(num_workers=num_workers)
    data.setup()
    with pytest.raises(ValueError, match=r"^row 1 of test\.parquet holds no readable picture \(.*\): repair or remove it$"):
        list(data.test_dataloader())


def test_usps_comes_out_as_it_is(mirror: Path) -> None:
    """The whole way, against the module of its own."""
    data, known = HubImages("flwrlabs/usps", size=16, rgb=False, crop=1.0, num_workers=0, batch_size=500), USPS()
    data.setup()
    known.setup()
    assert (data.class_names, data.input_shape) == (known.class_names, known.input_shape)
    x, y, position = (torch.cat(parts) for parts in zip(*data.test_dataloader(), strict=True))
    (known_x, known_y, _), _ = known.splits["test"]
    assert torch.equal(x, known_x)
    assert torch.equal(y, known_y)
    assert [data.files.name(place)[:8] for place in position[:3].tolist()] == ["row 0 of", "row 1 of", "row 2 of"]
    first = int(min(data.splits["train"].rows.min(), data.splits["val"].rows.min()))
    for name in ("train", "val"):  # the same stratified split
        assert torch.equal(data.splits[name].rows - first, known.splits[name].rows)
    assert torch.equal(data.y[first : first + 7291], known.splits["train"].arrays.y)


def test_cifar10_comes_out_as_it_is(mirror: Path) -> None:
    data = HubImages("uoft-cs/cifar10", size=32, crop=1.0, rgb=True)
    assert data.class_names == CIFAR10.class_names
    data.read()
    first = next(place for place in range(60_000) if data.files.name(place) == "row 0 of test-00000-of-00001.parquet")
    x, y, _ = CIFAR10().load("test")
    assert torch.equal(data.y[first : first + 10_000], y)
    samples = Reader(
        data.files, data.y, size=32, crop=1.0, rgb=True, seed=0
    )  # as its loaders make; `setup` looks at all 60,000
    for row in range(0, 10_000, 997):
        sample = samples.read(epoch=0, position=first + row)
        assert torch.equal(sample.x, x[row])
        assert (sample.y, sample.position) == (y[row], first + row)
