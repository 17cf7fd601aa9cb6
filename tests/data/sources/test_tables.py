"""Tables come back as they were written, and a broken row costs one row."""

import csv
import io
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_jax.common.errors import UserError
from siren_jax.data.sources import tables

CAPTIONS = st.lists(
  st.text(
    st.one_of(
      st.sampled_from("a\xe9 ,;\t\"'\n\r\u2028\x85\x0c"),
      st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"),
    ),
    max_size=40,
  ),
  max_size=6,
)


def read(path):
  problems = []
  return list(tables.rows(path, problems.append)), problems


def write(path, content, encoding="utf-8"):
  path.write_bytes(content.encode(encoding))
  return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("tables")


@settings(max_examples=150, deadline=None)
@given(
  CAPTIONS,
  st.sampled_from(",;\t"),
  st.sampled_from(["\n", "\r\n", "\r"]),
  st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
  st.booleans(),
)
def test_any_captions_in_any_dialect(
  folder, captions, delimiter, end, encoding, says_so
):
  file = io.StringIO(newline="")
  if says_so:
    file.write(f"sep={delimiter}{end}")
  writer = csv.writer(
    file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL
  )
  writer.writerow([" File", "Caption 1 "])
  writer.writerows([f"{i}", caption] for i, caption in enumerate(captions))
  rows, problems = read(write(folder / "t.csv", file.getvalue(), encoding))
  assert problems == []
  assert [row for _, row in rows] == [
    {"file": f"{i}", "caption_1": caption.strip()}
    for i, caption in enumerate(captions)
  ]


@settings(max_examples=100, deadline=None)
@given(CAPTIONS, st.booleans())
def test_any_captions_in_jsonl(folder, captions, ascii_only):
  lines = [
    json.dumps({"Caption": c}, ensure_ascii=ascii_only) for c in captions
  ]
  path = write(folder / "t.jsonl", "\n\n".join(lines), "utf-16")
  expected = [(1 + 2 * i, {"caption": c}) for i, c in enumerate(captions)]
  assert read(path) == (expected, [])


def test_lines_are_those_of_the_file(tmp_path):
  content = 'path,caption\n\na.wav,"two\nlines"\nb.wav,c\u2028d\x0ce\nc.wav\n'
  rows, problems = read(write(tmp_path / "t.csv", content))
  assert rows == [
    (3, {"path": "a.wav", "caption": "two\nlines"}),
    (5, {"path": "b.wav", "caption": "c\u2028d\x0ce"}),
  ]
  (problem,) = problems
  assert problem.startswith(f"{tmp_path}/t.csv:6: fields: 1, columns: 2")


def test_a_quote_that_never_closes_costs_one_row(tmp_path):
  rows = [f'{i}.wav,"a dog, barking"\n' for i in range(1000)]
  for number, broken in (
    (3, '3.wav,"rain\n'),
    (500, '500.wav,"12" vinyl"\n'),
    (999, '999.wav,"rain\n'),
  ):
    rows[number] = broken
  parsed, problems = read(
    write(tmp_path / "t.csv", "path,caption\n" + "".join(rows))
  )
  assert len(parsed) == 997 and len(problems) == 3
  assert {row["caption"] for _, row in parsed} == {"a dog, barking"}
  for line, problem in zip((5, 502, 1001), problems):
    assert f"t.csv:{line}: cannot be parsed" in problem and "quote" in problem


def test_a_quote_among_plain_rows_costs_one_row(tmp_path):
  rows = [f"{i}.wav,rain {'x' * (i % 50)}\n" for i in range(1000)]
  rows[3] = '3.wav,"rain\n'
  rows[20] = '20.wav,rain 12"\n'  # would close it
  parsed, problems = read(
    write(tmp_path / "t.csv", "path,caption\n" + "".join(rows))
  )
  assert len(parsed) == 999 and len(problems) == 1 and ":5: " in problems[0]


def test_many_broken_quotes_take_no_time(tmp_path):
  rows = "".join(f'{i}.wav,"{"rain " * 20}\n\n' for i in range(20_000))
  start = time.perf_counter()
  parsed, problems = read(write(tmp_path / "t.csv", "path,caption\n" + rows))
  assert time.perf_counter() - start < 10
  assert parsed == [] and len(problems) == 20_000


def test_fields_are_counted(tmp_path):
  content = (
    ",Path , CAPTION,,\n"
    "0,a.wav,rain,,\n"
    "1,b.wav,rain, and wind,,\n"
    "2,c.wav,rain, wind, hail,\n"
    "3,d.wav\n"
    ",,,,\n"
    "4,e.wav,rain,,,,\n"
    '5,f.wav, "rain, wind",,\n'
  )
  rows, problems = read(write(tmp_path / "t.csv", content))
  assert [row["path"] for _, row in rows] == ["a.wav", "e.wav", "f.wav"]
  assert rows[-1][1] == {"path": "f.wav", "caption": "rain, wind"}
  assert [p.split(": ", 1)[1].split(";")[0] for p in problems] == [
    "fields: 4, columns: 3",
    "fields: 5, columns: 3",
    "fields: 2, columns: 3",
  ]


def test_the_dialect_is_detected(tmp_path, caplog):
  path = write(
    tmp_path / "t.csv", '"path";"caption"\na.wav;"rain; wind, hail"\n'
  )
  assert read(path)[0] == [
    (2, {"path": "a.wav", "caption": "rain; wind, hail"})
  ]
  assert "t.csv: separated by semicolons" in caplog.text
  path = write(
    tmp_path / "t.tsv", "sep=\t\r\nfile name\tcaption\r\na.wav\train"
  )
  assert read(path)[0] == [(3, {"file_name": "a.wav", "caption": "rain"})]
  assert "separated by tabs" in caplog.text
  caplog.clear()
  read(write(tmp_path / "t.csv", "sep=,\npath,caption\na.wav,rain;\n"))
  assert not caplog.records


@pytest.mark.parametrize(
  ("name", "content", "expected"),
  [
    (
      "t.tsv",
      "path\tcaption, in words\na.wav\train, and wind\n",
      {"path": "a.wav", "caption,_in_words": "rain, and wind"},
    ),
    (
      "t.tsv",
      "what\twords, many, of them\na\train\n",
      {"what": "a", "words,_many,_of_them": "rain"},
    ),
    (
      "t.csv",
      "audio;caption (short, plain)\na.wav;rain\n",
      {"audio": "a.wav", "caption_(short,_plain)": "rain"},
    ),
    (
      "t.csv",
      "audio;caption (short, plain, dry)\n\na.wav;rain, wind, hail\n",
      {"audio": "a.wav", "caption_(short,_plain,_dry)": "rain, wind, hail"},
    ),
    (
      "t.csv",
      "title;words, many\nrain;wind\n",
      {"title": "rain", "words,_many": "wind"},
    ),
    (
      "t.csv",
      "path,notes;tags;more\na.wav,x;y;z\n",
      {"path": "a.wav", "notes;tags;more": "x;y;z"},
    ),
    ("t.tsv", "path,tag\na.wav,rain\n", {"path": "a.wav", "tag": "rain"}),
    ("t.csv", "path\na.wav\n", {"path": "a.wav"}),
  ],
)  # fmt: skip
def test_names_of_columns_hold_delimiters(tmp_path, name, content, expected):
  rows, problems = read(write(tmp_path / name, content))
  assert [row for _, row in rows] == [expected] and not problems


def test_columns_of_one_name_are_told_apart(tmp_path):
  path = write(
    tmp_path / "t.csv", "path,Caption,caption,,\na.wav,rain,wind,,\n"
  )
  assert read(path)[0] == [
    (2, {"path": "a.wav", "caption": "rain", "caption_2": "wind"})
  ]
  assert tables.columns(" Path ;caption-1\nx") == ["path", "caption_1"]
  assert tables.columns('"path') == tables.columns("\n\n") == []


def test_tables_that_cannot_be_read(tmp_path):
  assert read(write(tmp_path / "t.csv", "")) == ([], [])
  with pytest.raises(UserError, match=r"t\.csv: its header row"):
    read(write(tmp_path / "t.csv", '"path,caption\na.wav,rain\n'))
  with pytest.raises(UserError, match=r"t\.csv:2: not UTF-8.*Windows-1252"):
    read(write(tmp_path / "t.csv", "path,caption\na.wav,caf\xe9\n", "cp1252"))


@pytest.mark.parametrize("name", ["t.csv", "t.TSV", "t.jsonl"])
def test_a_table_is_no_list_of_prompts(tmp_path, name):
  path = write(tmp_path / name, "path\tcaption\na.wav\train\n")
  with pytest.raises(UserError, match=rf"{name}: a table, .*\.txt file"):
    tables.read_prompts(path)
  path = path.rename(tmp_path / "t.txt")
  assert tables.read_prompts(path) == ["path\tcaption", "a.wav\train"]


def test_rows_that_are_no_json(tmp_path):
  deep = "[" * 100_000
  bad = ["{", "[1]", '{"a": NaN}', '{"a": 1, "A": 2}', deep, "1" * 5000]
  bad.append('{"a": 1e999}')
  content = "".join(f"{line}\r\n\r\n" for line in bad)
  rows, problems = read(write(tmp_path / "t.jsonl", content + '{"a": "b"}'))
  assert rows == [(15, {"a": "b"})]
  for line, problem in zip(range(1, 15, 2), problems, strict=True):
    assert f"t.jsonl:{line}: not a JSON object" in problem
  assert "A comes twice" in problems[3]


def test_a_quote_that_another_closes_is_no_caption_of_many_rows(tmp_path):
  path, reports = tmp_path / "a.csv", []
  path.write_text('id,clip,start,caption\n1,a,0,"dog\n2,b,0,cat\n3,c,0,wind"\n')
  parsed = list(tables.rows(path, reports.append))
  assert [line for line, _ in parsed] == [3, 4]
  assert reports == [f"{path}:2: a quote runs on into other rows; close it"]


def test_numbers_and_commas_in_several_lines_are_a_caption(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text('id,clip,caption\n1,a,"two dogs, a cat, rain\n2 birds"\n')
  ((_, row),) = tables.rows(path, pytest.fail)
  assert row["caption"] == "two dogs, a cat, rain\n2 birds"
