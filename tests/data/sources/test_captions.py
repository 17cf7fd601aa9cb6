"""Captions are words, in one line, and not what a recorder calls its files."""

from pathlib import Path

import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.sources import captions


@pytest.mark.parametrize(
  ("path", "caption", "kind"),
  [
    ("kick drum/bd_klub.wav", "", "kick drum"),
    ("metal door/DSC12.wav", "", "metal door"),
    ("metal door/zoom0012_tr1.wav", "", "metal door"),
    ("metal_door-2/New Recording 3.wav", "", "metal door"),
    ("rain/heavy rain on a roof.wav", "heavy rain on a roof", "rain"),
    ("dog bark/small terrier.wav", "dog bark, small terrier", "dog bark"),
    ("dog/wav/CD 1/0012.wav", "", "dog"),
    ("2023/dog bark_02.wav", "dog bark", ""),
    ("dog-bark_02.wav", "dog bark", ""),
    ("rain.wav", "rain", ""),
    ("caf\u00e9/0.wav", "", "caf\u00e9"),
    ("cafe\u0301/0.wav", "", "caf\u00e9"),
    (
      "\u0434\u043e\u0436\u0434\u044c/1.wav",
      "",
      "\u0434\u043e\u0436\u0434\u044c",
    ),
    ("\u96e8.wav", "\u96e8", ""),
    (
      "\u0915\u0941\u0924\u094d\u0924\u093e.wav",
      "\u0915\u0941\u0924\u094d\u0924\u093e",
      "",
    ),
  ],
)
def test_folders_name_the_kind(path, caption, kind):
  root = Path("/sounds")
  assert captions.of_path(root / path, root) == (caption, kind)


@pytest.mark.parametrize(
  "name",
  "DSC12 DSC_0012 IMG-20230101-WA0001 VID_20230101_120000 MVI_0012 P1010023"
  " REC001 ZOOM0012 STE-000 DR0000_0123 VN890012 Track_03 take2 untitled"
  " untitled-3 New_Recording_12 audio recording Voice_001 mix 1-100038-A-14"
  " 3f2abc1d-bead-4caf-8e1a-1234567890ab d41d8cd98f00b204e9800998ecf8427e"
  " dQw4w9WgXcQ 2023-01-01 e1 a".split(),
)
def test_names_without_words_have_no_title(name):
  assert captions.title(name) == ""


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("20230101_rain_take2", "rain"),
    ("123456__some-user__dog-barking", "dog barking"),
    ("Track 03 - wind in trees", "wind in trees"),
    ("train track", "train track"),
    ("vinyl record scratch", "vinyl record scratch"),
    ("don't stop (1)", "don't stop"),
  ],
)
def test_titles_are_the_words_of_names(name, words):
  assert captions.title(name) == words


@pytest.mark.parametrize(
  ("caption", "line"),
  [
    (None, ""),
    (" a dog ", "a dog"),
    ("a dog,\r\n barks", "a dog, barks"),
    ("rain\x0cfalls\x85down", "rain falls down"),
    ("rain\u2028falls", "rain\u2028falls"),
    ("x" * captions.MAX_LETTERS, "x" * captions.MAX_LETTERS),
  ],
)
def test_captions_in_one_line(caption, line):
  assert captions.cleaned(caption) == line


@pytest.mark.parametrize(
  ("caption", "message"),
  [
    ("x" * 1001, "1001 characters, limit 1000"),
    ("a \x1b[31mdog", r"control character \\x1b"),
    ("a\0dog", r"control character \\x00"),
    ("half \ud83d", r"control character \\ud83d"),
    (5, "caption 5 is not text but int"),
    ({"a": "b"}, "not text but dict"),
    (True, "not text but bool"),
    (["a\nb"], "not text but list"),
  ],
)
def test_captions_that_are_refused(caption, message):
  with pytest.raises(UserError, match=message) as caught:
    captions.cleaned(caption)
  assert str(caught.value).isprintable()


@pytest.mark.parametrize(
  ("path", "expected"),
  [
    ("BigDogBark.wav", ("big dog bark", "")),
    ("data/clips/rain.wav", ("rain", "")),
    ("bark/dog_bark_48k24b.wav", ("dog bark", "bark")),
  ],
)
def test_words_run_together_and_folders_of_no_kind(path, expected):
  root = Path("sounds")
  assert captions.of_path(root / path, root) == expected
