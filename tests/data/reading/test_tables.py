from __future__ import annotations

import csv
import gzip
import io
import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macrec.data.reading import text_files
from macrec.data.reading.delimited import read_csv
from macrec.data.reading.json_lines import read_json_lines
from macrec.data.reading.text_files import is_given
from macrec.errors import DataError

SCHEMA = {"a": "text", "n": "whole", "t": "texts"}
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1, max_size=8)


def read(path, schema=SCHEMA, required=("a", "n"), **options):
    return pl.concat(read_json_lines(path, schema, required=required, **options)).to_dicts()


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {"a": st.text(max_size=9), "n": st.integers(-(2**40), 2**40), "t": st.text(max_size=9) | st.lists(CELLS)},
            optional={"other": st.text(max_size=5) | st.lists(st.booleans(), max_size=2)},
        ),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
    st.booleans(),
    st.integers(1, 200),
)
def test_json_lines_come_back_whatever_the_piece_size(tmp_path, rows, packed, ascii_only, size):
    data = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode("utf-8", "surrogatepass")
    path = tmp_path / "x.json"
    path.write_bytes(gzip.compress(data) if packed else data)
    expected = [
        {"a": row["a"], "n": row["n"], "t": [row["t"]] if isinstance(row["t"], str) else row["t"]} for row in rows
    ]
    assert read(path, piece_bytes=size) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELLS, st.integers(-9, 9), CELLS), min_size=1, max_size=12), st.booleans(), st.integers(1, 99)
)
def test_csv_rows_come_back_whatever_the_piece_size(tmp_path, rows, header, size):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([("x", "n", "y"), *rows] if header else rows)
    path = tmp_path / "x.csv"
    path.write_text(buffer.getvalue(), encoding="utf-8")
    schema = {"x": pl.String, "n": pl.Int64, "y": pl.String}
    assert pl.concat(read_csv(path, schema, header=header, piece_bytes=size)).rows() == rows


def test_csv_finds_columns_by_name_and_passes_over_blank_lines(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf\r\n\r\nz,b,a\r\n\r\n9,8,7\r\n\r\n\r\n6,5,4\r\n\r\n")
    assert pl.concat(read_csv(path, {"a": pl.Int64, "b": pl.String}, header=True)).rows() == [(7, "8"), (4, "5")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"a": "x", "n": ', ["row 3", "not JSON"]),
        (b"[1, 2]", ["row 3", "not a JSON object"]),
        (b'{"n": 1}', ["row 3", '"a"', "missing"]),
        (b'{"a": null, "n": 1}', ["row 3", '"a"', "missing"]),
        (b'{"a": ["y"], "n": 1}', ["row 3", '"a"', '["y"] is not text']),
        (b'{"a": {"y": 1}, "n": 1}', ["row 3", '"a"', "is not text"]),
        (b'{"a": false, "n": 1}', ["row 3", '"a"', "false is not text"]),
        (b'{"a": 1.5, "n": 1}', ["row 3", '"a"', "1.5 is not text"]),
        (b'{"a": "", "n": 1}', ["row 3", '"a"', "empty"]),
        (b'{"a": "x\\ud83d", "n": 1}', ["row 3", '"a"', "cannot be written"]),
        (b'{"a": "x\\u0000", "n": 1}', ["row 3", '"a"', "cannot be written"]),
        (b'{"a": "x", "n": 1, "a": "y"}', ["row 3", '"a"', "twice"]),
        (b'{"a": "x", "n": 1, "\\u0061": "y"}', ["row 3", '"a"', "twice"]),
        (b'{"a": "x", "n": 1, "t": ["x"], "t": ["x"]}', ["row 3", '"t"', "twice"]),
        (b'{"a": "x", "n": true}', ["row 3", '"n"', "whole number"]),
        (b'{"a": "x", "n": NaN}', ["row 3", '"n"', "missing"]),
        (b'{"o": {"a": "x"}, "n": 1}', ["row 3", '"a"', "missing"]),
        (b'{"a": "y", "n": 1, "t": [true]}', ["row 3", '"t"', "list of texts"]),
        (b'{"a": "y", "n": "1"}', ["row 3", '"n"', "whole number"]),
        (b'{"a": "y", "n": 1.5}', ["row 3", '"n"', "whole number"]),
        (b'{"a": "y", "n": 99999999999999999999}', ["row 3", '"n"', "whole number"]),
        (b'{"a": "y", "n": 1, "t": {"p": "1", "q": "2"}}', ["row 3", '"t"', "list of texts"]),
        (b'{"a": "\xff", "n": 1}', ["row 3", "0xff", "not utf-8"]),
        (b'{"a": "\0", "n": 1}', ["row 3", "zero"]),
    ],
)
@pytest.mark.parametrize("piece_bytes", [10, 1 << 20])
def test_json_errors_name_the_line(tmp_path, line, words, piece_bytes):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a": "[fine]", "n": 1}\n\n' + line + b'\n{"a": "z", "n": 2}\n')
    with pytest.raises(DataError) as caught:
        read(path, {**SCHEMA, "a": "id"}, piece_bytes=piece_bytes)
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a,b", ["row 3", "2 fields where 3"]),
        (b"a,1,c,d", ["row 3", "4 fields where 3"]),
        (b"a,,c", ["row 3", '"n"', "empty"]),
        (b"a,x,c", ["row 3", '"n"', "whole number"]),
        (b'"' + b"a" * 200_000, ["row 3", "not CSV"]),
        (b"\xe9,1,c", ["row 3", "not utf-8"]),
        (b"a\0,1,c", ["row 3", "zero"]),
    ],
)
@pytest.mark.parametrize("piece_bytes", [5, 1 << 20])
def test_csv_errors_name_the_line(tmp_path, line, words, piece_bytes):
    path = tmp_path / "x.csv"
    path.write_bytes(b"p,1,q\n\n" + line + b"\nr,2,s\n")
    with pytest.raises(DataError) as caught:
        pl.concat(
            read_csv(path, {"x": pl.String, "n": pl.Int64, "y": pl.String}, header=False, piece_bytes=piece_bytes)
        )
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('{"a": 5, "n": 7.0}', ("5", 7, [])),
        ('{"a": "x", "n": 1, "t": NaN}', ("x", 1, [])),
        ('{"a": "x", "n": 1, "t": null, "o": [NaN, {"a": "y", "a": 1e999}]}', ("x", 1, [])),
        ('{"a": "x", "n": 1, "t": [["p", "q"], [], ["r"]]}', ("x", 1, ["p", "q", "r"])),
        ('{"a": "x", "n": 1, "t": [{"id": 3, "name": "p"}, 4]}', ("x", 1, ["p", "4"])),
        ('{"a": "x", "n": 1, "t": ["\\ud83d", "\\ud83d\\ude00"]}', ("x", 1, ["\ufffd", "\U0001f600"])),
        ('{"a": "say \\"a\\": 1", "n": 1, "t": []}', ('say "a": 1', 1, [])),
        ('{"o": 1, "o": 2, "\\u0061": "x", "n" :1}', ("x", 1, [])),
        ('{"a": "x", "n": -9223372036854775808}', ("x", -(1 << 63), [])),
    ],
)
def test_unusual_json_is_read_as_its_like(tmp_path, line, row):
    path = tmp_path / "x.json"
    path.write_text('{"a": "p", "n": 0, "t": ["q"]}\n\n' + line + "\n", encoding="utf-8")
    first, second = read(path, {**SCHEMA, "a": "id"})
    assert first == {"a": "p", "n": 0, "t": ["q"]}
    assert (second["a"], second["n"], second["t"] or []) == row


def test_an_endless_line_and_a_packed_bomb_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1 << 16)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b'{"a": "x", "n": 1}\n{"a": "' + b"y" * (1 << 20)))
    with pytest.raises(DataError, match="row 2: the line is longer than"):
        read(path, piece_bytes=1 << 12)
    path.write_bytes(gzip.compress(b"x\n" + b"y" * (1 << 20)))
    with pytest.raises(DataError, match="row 2: the line is longer than"):
        list(read_csv(path, {"x": pl.String}, header=False, piece_bytes=1 << 12))
    path.write_bytes(gzip.compress(b" " * (8 << 20)))
    with pytest.raises(DataError, match="more than 1 MB unpacked"):
        text_files.whole(path)
    path.write_bytes(gzip.compress(b"[1, 2]"))
    assert text_files.whole(path) == b"[1, 2]"


@pytest.mark.parametrize("separator", [",", "\t", "::"])
@pytest.mark.parametrize("row", ["p{0}q", "p", "p{0}1{0}q{0}r", "p{0}1{0}q{0}"])
def test_a_row_with_too_few_or_too_many_fields_is_named(tmp_path, separator, row):
    path = tmp_path / "x.csv"
    good = separator.join("a1b")
    path.write_text("\n".join([good, "", good, row.format(separator), good]))
    schema = {"x": pl.String, "n": pl.Int64, "y": pl.String}
    with pytest.raises(DataError, match=r"row 4: the row has \d fields where 3 are needed"):
        list(read_csv(path, schema, header=False, separator=separator, quoted=False, required=["x"]))


def test_old_files_may_mix_utf8_and_latin1_but_not_within_a_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("Misérables\n".encode() + "Café\n".encode("latin-1"))
    assert pl.concat(read_csv(path, {"a": pl.String}, header=False, encoding="latin-1")).rows() == [
        ("Misérables",),
        ("Café",),
    ]


@pytest.mark.parametrize("line", ["\ufeff", "\ufeffy,2\n", "\n\ufeffy,2"])
def test_a_byte_order_mark_before_a_later_line_is_refused(tmp_path, line):
    path = tmp_path / "x.csv"
    path.write_bytes(("x\ufeffx,1\n" + line).encode())
    with pytest.raises(DataError, match=r"row [23]: the line begins with a byte order mark"):
        list(read_csv(path, {"a": pl.String, "n": pl.Int64}, header=False))


def test_a_document_of_tiny_values_is_refused_before_it_takes_gigabytes(monkeypatch):
    monkeypatch.setattr(text_files, "MOST_VALUES", 1000)
    assert len(text_files.parse_json(b"[" + b"[]," * 400 + b"1]")) == 401
    with pytest.raises(ValueError, match="more than 1,000 values"):
        text_files.parse_json(b"[" + b"[]," * 600 + b"1]")


def test_a_carriage_return_within_a_line_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,n\r\nx,1\r\n\rx,2\r\n")
    with pytest.raises(DataError, match="row 3: the line contains a carriage return"):
        list(read_csv(path, {"a": pl.String, "n": pl.Int64}, header=True))


def test_damaged_gzip_is_told_from_a_cut_one(tmp_path):
    path = tmp_path / "x.json.gz"
    good = gzip.compress(b'{"a": "x", "n": 1}\n' * 999)
    for data, word in [(good[:-9], "cut short"), (good[:-8] + b"\0" * 8, "damaged"), (b"{}", "not gzip")]:
        path.write_bytes(data)
        with pytest.raises(DataError, match=word):
            read(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "x", "n": 1}\n')
    assert read(path)[0]["a"] == "x"
    path.write_bytes("\ufeffé,1\n".encode())
    assert pl.concat(read_csv(path, {"a": pl.String, "n": pl.Int64}, header=False)).rows() == [("é", 1)]


@pytest.mark.parametrize("header", [True, False])
def test_lines_that_end_with_carriage_returns_alone_are_refused(tmp_path, header):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,n\r1,2\r3,4\r")
    with pytest.raises(DataError, match="carriage returns alone"):
        list(read_csv(path, {"a": pl.String, "n": pl.Int64}, header=header))


def test_an_optional_file_is_there_or_not_but_no_folder_and_no_dead_link(tmp_path):
    path = tmp_path / "x"
    assert not is_given(path)
    path.mkdir()
    with pytest.raises(DataError, match="this is a folder where a file is needed"):
        is_given(path)
    path.rmdir()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such file"):
        is_given(path)
    (tmp_path / "nowhere").write_text("")
    assert is_given(path)


def test_missing_and_empty_files(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(DataError, match="no such file"):
        read(path)
    for data in (b"", b"\n \n"):
        path.write_bytes(data)
        with pytest.raises(DataError, match="empty"):
            read(path)
    path.write_bytes(b"a,b\n")
    with pytest.raises(DataError, match="no rows"):
        list(read_csv(path, {"a": pl.String}, header=True))
    with pytest.raises(DataError, match='"c": the column is missing; add it \\(found: a, b\\)'):
        list(read_csv(path, {"c": pl.String}, header=True))
