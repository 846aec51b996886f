"""Reading tables from parquet, CSV, TSV and JSON-lines files."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from datamodules.core.files import decode, reading, utf8
from zoo.errors import MissingFileError, ZooError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_FETCH_AGAIN = "delete it, and get it again"


def schema(path: Path) -> pa.Schema:
    """Read the names and types of a file's columns.

    A parquet file states them. The types of a CSV or TSV file are inferred from its first block. JSON lines have no schema,
    so all lines are read.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the file is damaged or of another kind.
    """
    _require(path)
    match path.suffix.lower():
        case ".parquet":
            with reading(path, "parquet", _FETCH_AGAIN):
                return pq.read_schema(path)
        case ".csv" | ".tsv" as ending:
            return csv_schema(path, _DELIMITERS[ending])
        case _:
            return read_table(path).schema


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, or only some of its columns, in the format that the file's ending names. Text formats are UTF-8.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: naming the file, and the place in it if it is known; also if one of `columns` does not exist.
    """
    _require(path)
    ending = path.suffix.lower()
    if columns is not None and ending in (".parquet", *_DELIMITERS):
        check_columns(schema(path).names, columns, path)
    match ending:
        case ".parquet":
            with reading(path, "parquet", _FETCH_AGAIN):
                return pq.read_table(path, columns=columns)
        case ".csv" | ".tsv":
            return read_csv(path, _DELIMITERS[ending], columns)
        case ".jsonl" | ".ndjson":
            rows = _json_lines(path)
            names = dict.fromkeys(name for row in rows for name in row)
            try:
                table = pa.table({name: [row.get(name) for row in rows] for name in names})
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                raise ZooError(f"cannot read {path}: a name has values of several kinds ({error})") from error
            if columns is None:
                return table
            check_columns(table.column_names, columns, path)
            return table.select(columns)
        case _:
            raise ZooError(f"{path} ends in {ending or 'nothing'}: expected .csv, .tsv, .jsonl or .parquet")


def csv_schema(path: Path, delimiter: str = ",") -> pa.Schema:
    """Read the names of a CSV file's columns, and their types as inferred from its first block.

    Raises:
        ZooError: if the file cannot be read or is not UTF-8.
    """
    content, options = _csv_content(path, delimiter), _parse_options(delimiter)
    with reading(path, _csv_kind(delimiter)):
        return pa.csv.open_csv(content, parse_options=options).schema


def read_csv(path: Path, delimiter: str = ",", columns: Sequence[str] | None = None) -> pa.Table:
    """Read a CSV file with a header, or only some of its columns; compressed if the ending says so (.csv.gz).

    Cells of a TSV file are not quoted: a quotation mark is an ordinary character.

    Raises:
        ZooError: if the file cannot be read or is not UTF-8.
    """
    return _read_csv(path, delimiter, columns)


def words_of(path: Path, name: str, delimiter: str | None = None) -> list[str | None]:
    """Read a column of categories as text, so that 01 and 1 stay different; a missing cell is None.

    Cells of a CSV or TSV file are taken as they are written. Cells that say NA, NaN or null without quotes are missing.

    Args:
        path: a file in a format that `read_table` knows, or a CSV file with any ending.
        name: the column.
        delimiter: of a CSV file; by default the file's ending tells the format.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: as `read_table` does, and naming the first row whose cell is neither a text, a number nor a truth value.
    """
    delimiter = delimiter or _DELIMITERS.get(path.suffix.lower())
    if delimiter is not None:
        _require(path)
        check_columns(csv_schema(path, delimiter).names, [name], path)
        return [cell or None for cell in _read_csv(path, delimiter, [name], words=[name])[name].to_pylist()]
    words: list[str | None] = []
    for row, cell in enumerate(read_table(path, [name])[name].to_pylist()):
        if cell is not None and not isinstance(cell, str | int | float):
            raise ZooError(f"row {row} of {path.name} has {cell!r} for {name}: expected one class, a number or a word")
        missing = cell is None or cell == "" or cell != cell  # NaN differs from itself.
        words.append(None if missing else str(cell))
    return words


def column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    """Return a column by its name.

    Raises:
        ZooError: as `check_columns` does.
    """
    check_columns(table.column_names, [name], path)
    return table[name]


def check_columns(names: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    """Refuse a wanted column that a file does not have exactly once.

    Raises:
        ZooError: listing the columns of the file.
    """
    for name in wanted:
        if (num := list(names).count(name)) != 1:
            raise ZooError(f"{path.name} has {num or 'no'} column{'s' * (num > 1)} {name!r}: it has {', '.join(names)}")


def texts_of(table: pa.Table, name: str, path: Path) -> list[str]:
    """Return a column of texts.

    Raises:
        ZooError: naming the first row whose cell is not a text, or as `column` does.
    """
    cells = column(table, name, path).to_pylist()
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise ZooError(f"row {row} of {path.name} has {cell!r} for {name}: expected a text")
    return cells


def _require(path: Path) -> None:
    if not path.is_file():
        raise MissingFileError(f"no file {path}: give a .csv, .tsv, .jsonl or .parquet file")


def _csv_kind(delimiter: str) -> str:
    return "TSV" if delimiter == "\t" else "CSV"


def _csv_content(path: Path, delimiter: str) -> io.BytesIO:
    with reading(path, _csv_kind(delimiter)), pa.input_stream(str(path)) as stream:
        content = stream.read()
    return io.BytesIO(decode(content, str(path)).encode())


def _read_csv(path: Path, delimiter: str, columns: Sequence[str] | None, words: Sequence[str] = ()) -> pa.Table:
    """Read a CSV file; the columns in `words` are read as strings without type inference, missing values as null."""
    content, options = _csv_content(path, delimiter), _parse_options(delimiter)
    convert = pa.csv.ConvertOptions(
        include_columns=columns,
        column_types=dict.fromkeys(words, pa.string()),
        strings_can_be_null=bool(words),
        quoted_strings_can_be_null=not words,
    )
    with reading(path, _csv_kind(delimiter)):
        return pa.csv.read_csv(content, parse_options=options, convert_options=convert)


def _parse_options(delimiter: str) -> pa.csv.ParseOptions:
    quoted = delimiter != "\t"
    return pa.csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted)


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    # `splitlines` would also split at other Unicode line ends, which a JSON string may contain.
    for number, line in enumerate(utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "\\u" in line:  # An escape may stand for half of a surrogate pair, which is not a character.
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ZooError(
                f"line {number} of {path} holds half of a surrogate pair, which is not a character: correct or remove it"
            ) from error
        except ValueError as error:
            raise ZooError(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ZooError(f"line {number} of {path} holds {type(row).__name__}, expected an object with named columns")
        rows.append(row)
    return rows
