"""CSV files of the Space: what is read, what is refused, and that nothing runs in what goes out."""

import csv
import io

import pytest

pytest.importorskip("gradio")

from space.limits import BadInput
from space.text.spreadsheets import MOST_BYTES, MOST_ROWS, harmless, read_sheet, write_sheet


def read_back(data: bytes, delimiter: str = ",") -> list[list[str]]:
    """The cells of a CSV file that was written here."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_and_kept(delimiter):
    sheet = read_sheet(f"id{delimiter}text\n1{delimiter}good\n2{delimiter}bad\n".encode())
    assert (sheet.delimiter, sheet.header) == (delimiter, ("id", "text"))
    assert sheet.rows == (("1", "good"), ("2", "bad"))
    assert read_back(write_sheet(sheet), delimiter) == [["id", "text"], ["1", "good"], ["2", "bad"]]


def test_commas_inside_a_file_of_one_column_do_not_split_it():
    sheet = read_sheet(b"review\nGood, really good\nBad\nWell, no; not | this, one\n")
    assert sheet.header == ("review",)
    assert [row[0] for row in sheet.rows] == ["Good, really good", "Bad", "Well, no; not | this, one"]


def test_quoted_cells_keep_delimiters_line_ends_and_quotes():
    sheet = read_sheet(b'id,text\n1,"a, ""b""\nc"\n2,d\n')
    assert sheet.rows == (("1", 'a, "b"\nc'), ("2", "d"))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("text,n\ncafé “good”,1\n".encode(), "utf-8"),
        ("text,n\ncafé “good”,1\n".encode("utf-8-sig"), "utf-8"),
        ("text,n\ncafé “good”,1\n".encode("utf-16"), "utf-16"),
        ("text,n\ncafé “good”,1\n".encode("cp1252"), "cp1252"),
    ],
)
def test_encoding_is_found(data, encoding):
    sheet = read_sheet(data)
    assert sheet.encoding == encoding
    assert sheet.header[0] == "text"
    assert sheet.rows[0][0] == "café “good”"


def test_rows_are_filled_up_and_empty_ones_left_out():
    sheet = read_sheet(b"text,n,m\na,1,2\n\n , ,\nb,1,2\nc,1,2\nd,1,2\ne,1,2\nf,1,2\ng,1,2\nh,1,2\ni,1,2\nj\n")
    assert len(sheet.rows) == 10
    assert sheet.rows[-1] == ("j", "", "")


def test_columns_without_a_name_or_with_the_same_are_told_apart():
    sheet = read_sheet(b"text,,text\na,b,c\n")
    assert sheet.header == ("text", "column 2", "text 2")
    assert read_sheet(b"a,b\nc,d\n", named=False).header == ("column 1", "column 2")


def test_column_with_the_texts_is_found_by_name_else_by_length():
    assert read_sheet(b"id,Review,notes\n1,ok,a very long note\n").column() == 1
    assert read_sheet(b"id,remark\n1,a long remark\n22222222222,b\n").column() == 1
    assert read_sheet(b"id,text\n1,a\n").column("id") == 0


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(BadInput, match="the file has: id, text"):
        read_sheet(b"id,text\n1,a\n").column("body")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "choose one first"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"text\n", "only a row of names"),
        (b"PK\x03\x04\x00\x00\x00", "is not text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text"),
        (b"\xff\xfea", "is not text"),
        (b"text\n" + b"x" * MOST_BYTES, "at most 1,000,000"),
        (b"text\n" + b"x\n" * (MOST_ROWS + 1), "at most 2,000"),
        (b"," * 200 + b"\n" + b"," * 200 + b"x\n", "at most 100"),
        (b'text\n"' + b"x" * 200_000, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(data, said):
    with pytest.raises(BadInput) as error:
        read_sheet(data)
    assert said in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1+cmd",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u200b=1",
        "\ufeff=1",
        "\uff1d1+1",
        "-",
        "+",
    ],
)
def test_a_cell_that_may_run_goes_out_behind_an_apostrophe(cell):
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", " ", "good = bad", "a-b", "-3.5", "+4", "-1e-5", "7", "'=1", "a\t=b"])
def test_other_cells_go_out_as_they_came_in(cell):
    assert harmless(cell) == cell


def test_formulas_in_names_and_cells_cannot_leave_their_quotes():
    sheet = read_sheet(b'=cmd|"/c calc"!A1,text\n"@x","a"";=1+1"\n')
    data = write_sheet(sheet.with_columns((("label", ["positive"]),)))
    rows = read_back(data)
    assert rows[0][0].startswith("'=cmd")
    assert rows[1] == ["'@x", 'a";=1+1', "positive"]
    assert all(line.startswith(b'"') for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())


def test_a_new_column_does_not_take_a_name_that_is_there():
    sheet = read_sheet(b"text,label\na,b\n").with_columns((("label", ["positive"]), ("probability", ["0.9"])))
    assert sheet.header == ("text", "label", "label 2", "probability")
    assert sheet.rows == (("a", "b", "positive", "0.9"),)
