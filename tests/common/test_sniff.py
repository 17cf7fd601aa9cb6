"""What stands in the place of a file is named."""

import pytest

from siren_jax.common import sniff

STAND_INS = {
  "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
  "git-annex": b"/annex/objects/SHA256E-s1--0.wav\n",
  "web page": b"\n <!DOCTYPE html><title>429 Too Many Requests</title>",
  "web page ": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>",
  "empty": b"",
  "zeros": bytes(300),
  "AppleDouble": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
  "zip": b"PK\x03\x04rest",
}


@pytest.mark.parametrize("word", STAND_INS)
def test_a_stand_in_is_named(word, tmp_path):
  path = tmp_path / "weights.safetensors"
  path.write_bytes(STAND_INS[word])
  assert word.strip() in sniff.describe(path)


@pytest.mark.parametrize("data", [b"RIFF....WAVE", b"file,caption\n", b"{}"])
def test_a_file_that_may_be_right_is_not_named(data, tmp_path):
  path = tmp_path / "x"
  path.write_bytes(data)
  assert sniff.describe(path) is None


def test_what_cannot_be_read_is_not_named(tmp_path):
  assert sniff.describe(tmp_path) is None
  assert sniff.describe(tmp_path / "missing") is None
