"""What a file really is, where it is not what its name promises."""

import os
from pathlib import Path

_HEAD = 1024  # bytes that are looked at

# Beginnings of what stands in place of a file.
_KNOWN = (
  (
    b"version https://git-lfs.github.com/spec",
    "a Git LFS pointer, not the file itself; run git lfs pull",
  ),
  (b"../.git/annex/objects", "a git-annex pointer; run git annex get"),
  (b".git/annex/objects", "a git-annex pointer; run git annex get"),
  (b"/annex/objects", "a git-annex pointer; run git annex get"),
  (b"\x00\x05\x16\x07", "a side file of macOS (AppleDouble)"),
  (b"PK\x03\x04", "a zip archive"),
  (b"\x1f\x8b", "a gzip archive"),
  (b"%PDF-", "a PDF document"),
)
_WEB = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")


def describe(
  path: str | os.PathLike, expected: bytes | None = None
) -> str | None:
  """What file `path` is, if it is one that often stands in another's place.

  A Git LFS pointer, the page that a failed download left, an empty file, an
  archive. None where the beginning of the file says nothing, is `expected`, or
  cannot be read. For the message of a reader that has failed: whether the
  file is the wrong one is the reader's to say.
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
