"""Tables in files: every format, its columns, and one line for whatever is damaged."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datamodules.core.table_files import column, csv_schema, read_csv, read_table, schema, words_of
from zoo.errors import MissingFileError, ZooError

TEXTS = {".csv": "a,b\n1,x\n2,y\n", ".tsv": "a\tb\n1\tx\n2\ty\n", ".jsonl": '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'}


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), path)
    else:
        path.write_text(TEXTS[path.suffix])
    return path


@pytest.mark.parametrize("ending", [*TEXTS, ".parquet"])
def test_a_table_its_schema_and_some_of_its_columns(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"t{ending}")
    assert schema(path).names == ["a", "b"]
    assert schema(path).types == [pa.int64(), pa.string()]
    assert read_table(path).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    assert read_table(path, ["b"]).to_pydict() == {"b": ["x", "y"]}
    with pytest.raises(ZooError, match=rf"^t\{ending} has no column 'c': it has a, b$"):
        read_table(path, ["b", "c"])


@pytest.mark.parametrize("ending", [*TEXTS, ".parquet", ".txt"])
def test_a_missing_file_is_named(tmp_path: Path, ending: str) -> None:
    for read in (schema, read_table):
        with pytest.raises(MissingFileError, match=rf"no file {tmp_path}/t\{ending}: give a \.csv"):
            read(tmp_path / f"t{ending}")


def test_a_schema_takes_the_first_block_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,x\n" * 500_000 + "word,y\n")
    assert schema(path).types == [pa.int64(), pa.string()]
    assert read_table(path, ["a"])["a"].type == pa.string()  # of the whole file


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_damaged_page_of_parquet_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [str(i) for i in range(1000)]}), path, compression=compression, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56  # the head of the first page; the schema stands at the end of the file
    path.write_bytes(content)
    assert schema(path).names == ["a"]
    with pytest.raises(ZooError, match=rf"^cannot read {path} as parquet: [^\n]+; delete it, and get it again$"):
        read_table(path)


def test_a_compressed_table_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    content = gzip.compress("".join(f"{i},{i**2}\n" for i in range(5000)).encode())
    path.write_bytes(content)
    assert read_csv(path).num_rows == 4999
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ZooError, match=rf"^cannot read {path} as CSV: [^\n]+; check the file, or create it again$"):
        read_csv(path)


@pytest.mark.parametrize("text", ["na\xefve,b\n1,2\n", "a,b\n1,caf\xe9\n"])
def test_a_latin_1_table_is_refused_by_its_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin1"))
    for read in (csv_schema, read_csv):
        with pytest.raises(ZooError, match=rf"^{path} is not UTF-8: byte 0xe[f9] at offset \d+; convert it \(iconv"):
            read(path)


@pytest.mark.parametrize("text", ["\\ud83d", "a \\uDE00 b"])
def test_half_of_a_surrogate_pair_is_named_by_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"a": "\\ud83d\\ude00"}}\n{{"a": "{text}"}}\n')
    with pytest.raises(ZooError, match=rf"^line 2 of {path} holds half of a surrogate pair, which is not a character"):
        read_table(path)
    path.write_text('{"a": "\\ud83d\\ude00"}\n')
    assert read_table(path)["a"].to_pylist() == ["😀"]


def test_a_number_without_a_bound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"a": 10**30}) + "\n")
    with pytest.raises(ZooError, match=rf"^cannot read {path}: "):
        read_table(path)


def test_json_lines_may_leave_names_out_and_bring_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\r\n\r\n{"b": "x", "a": null}\n{"c": [1], "b": "y"}')
    assert read_table(path).to_pylist() == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": "x", "c": None},
        {"a": None, "b": "y", "c": [1]},
    ]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x1e", "\x0b", "\x0c"])
def test_only_a_line_feed_ends_a_line_of_json(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"a": 1}}\n{{"a": 2}}{sign}\n' if sign < " " else f'{{"a": "x{sign}y"}}\n{{"a": "z"}}\n')
    if sign < " ":  # no JSON, neither within a text nor after it, but the number of the line is right
        with pytest.raises(ValueError, match=rf"line 2 of {path} is not JSON"):
            read_table(path)
    else:
        assert read_table(path)["a"].to_pylist() == [f"x{sign}y", "z"]


def test_a_column_by_its_name() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "b"])
    assert column(table, "a", Path("x/y.csv")).to_pylist() == [1]
    with pytest.raises(ValueError, match=r"^y\.csv has no column 'c': it has a, b, b$"):
        column(table, "c", Path("x/y.csv"))
    with pytest.raises(ValueError, match=r"^y\.csv has 2 columns 'b': it has a, b, b$"):
        column(table, "b", Path("x/y.csv"))


def test_cells_of_a_tsv_file_are_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    rows = [f'{i}\t{chr(34) * (i in (10, 30))}text "{i}"' for i in range(60)]
    path.write_text("\n".join(["a\tb", *rows]) + "\n")
    assert read_table(path)["b"].to_pylist() == [row.split("\t")[1] for row in rows]
    path = path.with_suffix(".csv")
    path.write_text('a,b\n1,"x, y\nz"\n')  # a CSV file is
    assert read_table(path)["b"].to_pylist() == ["x, y\nz"]


def test_words_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n01,x\n1,x\n1.0,x\n,x\nNaN,x\n"NA",x\ntrue,x\n')
    assert words_of(path, "a") == ["01", "1", "1.0", None, None, "NA", "true"]
    (tmp_path / "table.txt").write_text(path.read_text())
    assert words_of(tmp_path / "table.txt", "a", ",") == words_of(path, "a")
    with pytest.raises(ZooError, match=r"^t\.csv has no column 'c': it has a, b$"):
        words_of(path, "c")


@pytest.mark.parametrize("damage", ["checksum", "end"])
def test_a_compressed_table_with_a_damaged_end_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.csv.gz"
    content = bytearray(gzip.compress(b"a,b\n1,x\n" * 100))
    path.write_bytes(content[:-9] if damage == "end" else content[:-8] + b"\0\0\0\0" + content[-4:])
    with pytest.raises(ZooError, match=rf"^cannot read {path} as CSV: "):
        read_csv(path)


@pytest.mark.parametrize("cut", [3, 8, 30])
def test_a_damaged_end_of_parquet_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x"] * 10}), path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ZooError, match=rf"^cannot read {path} as parquet: "):
        schema(path)
