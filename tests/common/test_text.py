"""Text is read as it was meant, or refused in one line."""

import codecs
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_jax.common import text
from siren_jax.common.errors import UserError

ENCODINGS = {
  "utf-8": b"",
  "utf-8-sig": b"",
  "utf-16-le": codecs.BOM_UTF16_LE,
  "utf-16-be": codecs.BOM_UTF16_BE,
  "utf-32-le": codecs.BOM_UTF32_LE,
  "utf-32-be": codecs.BOM_UTF32_BE,
}
TEXTS = st.text(
  st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  return tmp_path_factory.mktemp("text") / "a.txt"


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.sampled_from(sorted(ENCODINGS)))
def test_any_text_is_read_in_every_unicode_encoding(path, content, encoding):
  # A beginning that no other file has.
  content = f"a{content}"
  path.write_bytes(ENCODINGS[encoding] + content.encode(encoding))
  assert text.read_text(path) == content


def test_only_line_ends_end_lines(path):
  odd = "a\u2028b\x85c\x0cd\x0be\x1cf"
  path.write_bytes(f"\ufeffone\r\n two \r\r\n\n{odd}\n\ufefffour".encode())
  assert text.read_lines(path) == ["one", "two", odd, "four"]


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("one\r\ncaf\xe9".encode("cp1252"), r":2: not UTF-8.*Windows-1252"),
    (
      "\u0434\u043e\u0436\u0434\u044c \u0416".encode("koi8-r"),
      "an old encoding",
    ),
    ("\u96e8\u306e\u97f3\u8a71".encode("shift-jis"), ":1: not UTF-8.*an old"),
    ("a dog\nrain".encode("utf-16-le"), "UTF-16-LE without a byte order mark"),
    ("a dog\nrain".encode("utf-16-be"), "UTF-16-BE without a byte order mark"),
    (
      b"one\rtwo\nth\0ree",
      r":3: not UTF-8 text, probably binary",
    ),
    ("one\ntwo\0".encode("utf-16"), ":2: not UTF-8 text, nor the UTF-16-LE"),
    (
      "one\ntwo".encode("utf-16")[:-1],
      ":2: not UTF-8 text, nor the UTF-16-LE",
    ),
    (b"\x00\x01\xff\x03" * 20, "not UTF-8 text, probably"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    (b"<!DOCTYPE html><p>404", "a web page"),
    (b"PK\x03\x04....", "a zip archive"),
  ],
)
def test_what_is_no_text_is_refused_by_its_likely_kind(path, content, message):
  path.write_bytes(content)
  with pytest.raises(UserError, match=message) as caught:
    text.read_text(path)
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path, monkeypatch):
  for name in ("gone", "", "a" * 300, "nul\0", "two\nlines"):
    with pytest.raises(UserError, match="cannot be read") as caught:
      text.read_text(tmp_path / name)
    assert "\n" not in str(caught.value)
  monkeypatch.setattr(text, "MAX_BYTES", 1 << 20)
  with pytest.raises(UserError, match="larger than 1 MiB"):
    text.read_text("/dev/zero")


def test_text_larger_than_memory_allows_is_refused(path):
  with path.open("wb") as file:
    file.truncate((64 << 20) + 1)
  with pytest.raises(UserError, match="larger than 64 MiB"):
    text.read_text(path)


def test_a_pipe_is_read_once():
  read, write = os.pipe()
  os.write(write, b"rain\nwind")
  os.close(write)
  assert text.read_lines(f"/dev/fd/{read}") == ["rain", "wind"]
  os.close(read)


def test_text_is_escaped_checked_and_normalised():
  assert (
    text.printable("a\nb\udcff\u2028\xe9 \0") == "a\\nb\\udcff\\u2028\xe9 \\x00"
  )
  assert text.is_text("\xe9") and not text.is_text("\ud83d")
  assert text.normal("e\u0301") == "\xe9"
