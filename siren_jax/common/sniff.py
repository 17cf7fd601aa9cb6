"""Detects files that are not what their name says."""

import os
from pathlib import Path

_HEAD = 1024  # bytes to inspect

# First bytes of files that often replace the expected one.
_KNOWN = (
  (
    b"version https://git-lfs.github.com/spec",
    "a Git LFS pointer, not the file itself; run git lfs pull",
  ),
  (b"../.git/annex/objects", "a git-annex pointer; run git annex get"),
  (b".git/annex/objects", "a git-annex pointer; run git annex get"),
  (b"/annex/objects", "a git-annex pointer; run git annex get"),
  (b"\x00\x05\x16\x07", "a macOS metadata file (AppleDouble)"),
  (b"PK\x03\x04", "a zip archive"),
  (b"\x1f\x8b", "a gzip archive"),
  (b"%PDF-", "a PDF document"),
)
_WEB = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")


def describe(
  path: str | os.PathLike, expected: bytes | None = None
) -> str | None:
  """Describes file `path` if it is of a kind that often replaces another file.

  A Git LFS pointer, the HTML page of a failed download, an empty file, an
  archive. None if the first bytes are unknown, are `expected`, or cannot be
  read. For error messages of readers that have failed: only the reader decides
  whether the file is wrong.
  """
  try:
    with Path(path).open("rb") as file:
      head = file.read(_HEAD)
  except OSError:
    return None
  if not head:
    return "an empty file"
  if expected and head.startswith(expected):
    return None
  for start, name in _KNOWN:
    if head.startswith(start):
      return name
  text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
  if text.startswith(_WEB):
    return "a web page, left by a failed download; download it again"
  if not any(head):
    return "nothing but zeros, left by an interrupted download"
  return None
