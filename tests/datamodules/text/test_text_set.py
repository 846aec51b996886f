"""The classic sets of texts: as large as published, their classes by name and number, from the hub's files or a mirror's."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datamodules import SST2, TREC, AGNews, IMDb, Names, SMSSpam
from datamodules.text.text_set import TextSet


def ready(data: TextSet) -> TextSet:
    data.setup()
    return data


def counts(data: TextSet, rows: torch.Tensor | None = None) -> dict[str, int]:
    y = data.y if rows is None else data.y[rows]
    return dict(zip(data.class_names, torch.bincount(y, minlength=len(data.class_names)).tolist(), strict=True))


def write(path: Path, columns: dict[str, Any], names: dict[str, list[str]] | None = None) -> None:
    """A parquet file as the hub has it, with the names of numbered classes in its schema."""
    features = {name: {"names": found, "_type": "ClassLabel"} for name, found in (names or {}).items()}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with nothing in it yet."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("data_class", "sizes", "of_class"),
    [
        (SST2, {"train": 6920, "val": 872, "test": 1821}, {"negative": 4650, "positive": 4963}),
        (SMSSpam, {"train": 4014, "val": 446, "test": 1114}, {"ham": 4827, "spam": 747}),
        (TREC, {"train": 4906, "val": 546, "test": 500}, {"DESC": 1300, "ABBR": 95, "NUM": 1009}),
        (
            Names,
            {"train": 14396, "val": 1592, "test": 4062},
            {"Russian": 9384, "English": 3668, "Portuguese": 74, "Arabic": 2000},
        ),
    ],
)
def test_real_sets(mirror: Path, data_class: type[TextSet], sizes: dict[str, int], of_class: dict[str, int]) -> None:
    data = ready(data_class(batch_size=500))
    assert {part: len(split.rows) for part, split in data.splits.items()} == sizes
    rows = torch.cat([split.rows for split in data.splits.values()])
    assert torch.equal(rows.sort().values, torch.arange(sum(sizes.values())))  # disjoint and complete
    found = counts(data)
    assert len(found) == data.num_classes == len(data.class_names)
    assert {name: found[name] for name in of_class} == of_class
    assert all(found.values())
    for split in data.splits.values():
        assert all(counts(data, split.rows).values())


def test_sms_spam_has_as_many_messages_and_as_much_spam_as_published(mirror: Path) -> None:
    data = ready(SMSSpam())
    assert (len(data.y), counts(data)["spam"]) == (5574, 747)
    for split in data.splits.values():  # the same share in every part
        assert counts(data, split.rows)["spam"] / len(split.rows) == pytest.approx(747 / 5574, abs=0.002)


def test_no_name_of_a_language_stands_in_two_parts(mirror: Path) -> None:
    """439 of 4,012 test names were also in the training part, all of the Arabic ones."""
    data = ready(Names())
    rows = [{(data.texts[row], int(data.y[row])) for row in split.rows.tolist()} for split in data.splits.values()]
    assert len(rows[0] | rows[1] | rows[2]) == sum(map(len, rows))
    assert not data.notes


def test_sms_spam_follows_the_published_protocol_and_says_so(mirror: Path) -> None:
    data = ready(SMSSpam())
    assert "107 of 1,114 texts in test are also in train, with the same class" in data.notes


def test_names_are_20050_of_18_languages(mirror: Path) -> None:
    data = ready(Names(tokenizer={"kind": "char"}, max_length=20))
    assert (len(data.y), len(data.class_names)) == (20_050, 18)
    position = data.texts.index("Khoury")
    assert data.class_names[data.y[position]] == "Arabic"
    assert data.tokens_of(position) == list("khoury")


@pytest.mark.parametrize(
    ("data_class", "text", "class_name"),
    [
        (SST2, "apparently reassembled from the cutting room floor of any given daytime soap", "negative"),
        (TREC, "How did serfdom develop in and then leave Russia ?", "DESC"),
        (TREC, "What films featured the character Popeye Doyle ?", "ENTY"),
        (SMSSpam, "Ok lar... Joking wif u oni...", "ham"),
    ],
)
def test_texts_and_classes_belong_together(mirror: Path, data_class: type[TextSet], text: str, class_name: str) -> None:
    data = ready(data_class())
    (position,) = [place for place, found in enumerate(data.texts) if found.strip() == text]
    assert data.class_names[data.y[position]] == class_name


@pytest.mark.parametrize("data_class", [IMDb, AGNews])
def test_sets_as_the_hub_has_them(hub: Path, data_class: type[TextSet]) -> None:
    folder = {"IMDb": "stanfordnlp/imdb/plain_text", "AGNews": "fancyzhx/ag_news/data"}[data_class.__name__]
    num_classes = data_class.num_classes
    assert num_classes is not None
    labels = {"train": [i % num_classes for i in range(40)], "test": [num_classes - 1] * 3 + [0] * 5}
    for part, found in labels.items():
        texts = [f"{part} text {i}" for i in range(len(found))]
        names = {"label": list(data_class.class_names)}
        write(hub / folder / f"{part}-00000-of-00001.parquet", {"text": texts, "label": found}, names)
    data = ready(data_class(tokenizer={"min_frequency": 1}))
    assert data.y.tolist() == labels["train"] + labels["test"]
    assert [data.texts[row] for row in data.splits["test"].rows.tolist()] == [f"test text {i}" for i in range(8)]
    num_val = num_classes * round(40 / num_classes * 0.1)
    assert {part: len(split.rows) for part, split in data.splits.items()} == {"train": 40 - num_val, "val": num_val, "test": 8}
    assert sorted(row for part in ("train", "val") for row in data.splits[part].rows.tolist()) == list(range(40))


def test_trec_on_the_hub_calls_and_numbers_its_classes_otherwise(hub: Path) -> None:
    """There, 1 is ENTY and 2 is DESC, in a column coarse_label; the local copy of the set has them the other way round."""
    order = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
    for part, labels in {"train": [0, 1, 2, 3, 4, 5] * 10, "test": [2, 1, 5]}.items():
        columns = {
            "text": [f"question {place} of {order[i]}" for place, i in enumerate(labels)],
            "coarse_label": labels,
            "fine_label": [0] * len(labels),
        }
        write(hub / "CogComp" / "trec" / "default" / part / "0000.parquet", columns, {"coarse_label": order})
    data = ready(TREC(tokenizer={"min_frequency": 1}))
    assert len(data.y) == 63
    assert [data.class_names[y] for y in data.y.tolist()] == [text.split()[-1] for text in data.texts]
    assert data.y[:6].tolist() == [0, 2, 1, 3, 4, 5]


def test_a_local_copy_goes_before_the_hubs_files(hub: Path) -> None:
    for part, num in {"train": 60, "test": 6}.items():
        columns = {"text": [f"local {i}" for i in range(num)], "label": [i % 6 for i in range(num)]}
        write(hub / "trec" / "data" / f"{part}-00000-of-00001.parquet", columns)
    data = ready(TREC())
    assert all(text.startswith("local") for text in data.texts)
    assert data.y.tolist() == [i % 6 for i in range(60)] + [0, 1, 2, 3, 4, 5]


def test_names_that_the_set_does_not_have_are_no_classes_of_it(hub: Path) -> None:
    for part in ("train", "test"):
        path = hub / "stanfordnlp" / "imdb" / "plain_text" / f"{part}-00000-of-00001.parquet"
        write(path, {"text": ["a", "b"], "label": [0, 1]}, {"label": ["neg", "dreadful"]})
    with pytest.raises(ValueError, match=r"names the classes neg, dreadful, but IMDb has neg, pos"):
        ready(IMDb())


def test_a_class_outside_of_the_sets_is_named(hub: Path) -> None:
    lines = [{"text": "fine", "label": 1}, {"text": "dull", "label": 0}, {"text": "odd", "label": -1}]
    folder = hub / "SetFit" / "sst2"
    folder.mkdir(parents=True)
    for part, num in {"train": 2, "dev": 2, "test": 3}.items():
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:num]))
    with pytest.raises(ValueError, match=r"label must lie in 0\.\.1, found -1 in row 2 of test\.jsonl: some sets hide"):
        ready(SST2())


@pytest.mark.parametrize(
    ("data_class", "file", "way_out"),
    [
        (SST2, "SetFit/sst2/train.jsonl", r"set ZOO_DATA to a folder that holds SetFit/sst2/train\.jsonl"),
        (SMSSpam, "ucirvine/sms_spam/plain_text/train-00000-of-00001.parquet", r"set ZOO_DATA to a folder that holds"),
        (TREC, "CogComp/trec/default/train/0000.parquet", r"set ZOO_DATA to a folder that holds CogComp/trec"),
        (Names, "names/data/train-00000-of-00001.parquet", r"make it from https://download\.pytorch\.org/tutorial/data\.zip"),
    ],
)
def test_a_set_that_is_nowhere_says_what_to_do(
    hub: Path, monkeypatch: pytest.MonkeyPatch, data_class: type[TextSet], file: str, way_out: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=rf"{file}.* under ZOO_DATA \({hub}\).*{way_out}"):
        ready(data_class())


def test_names_needs_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"under ZOO_DATA \(not set\): the hub has no such set"):
        ready(Names())


def test_a_damaged_file_is_named(hub: Path) -> None:
    path = hub / "names" / "data" / "train-00000-of-00001.parquet"
    write(path, {"text": ["a", "b"], "label": [0, 1]})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"cannot read {path} as parquet: .*; delete it, and get it again"):
        ready(Names())


def test_a_row_without_a_text_is_named(hub: Path) -> None:
    write(hub / "names" / "data" / "train-00000-of-00001.parquet", {"text": ["a", None, "b"], "label": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"row 1 of train-00000-of-00001\.parquet has None for text: expected a text"):
        ready(Names())


def test_a_file_without_the_sets_columns_is_named(hub: Path) -> None:
    write(hub / "names" / "data" / "train-00000-of-00001.parquet", {"surname": ["a", "b"], "label": [0, 1]})
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.parquet has no column 'text': it has surname, label"):
        ready(Names())
