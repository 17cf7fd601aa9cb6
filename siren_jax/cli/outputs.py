"""Output: sound files and their sidecar files, or standard output.

A sound, the JSON file that records how it was made and its spectrogram share a
name that no other sound has in any format; no file is ever overwritten.
"""

import contextlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from siren_jax.cli import terminal
from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.text import normal

STEM_BYTES = 120  # of the prompt in a file name, which may have 255
_SIDECARS = (".json", ".png")  # files beside a sound


def stem(words: str, seed: int, sample: int, done: str = "") -> str:
  """Name of a sound without suffix: its first words, seed and sample.

  Args:
    done: what was done to the source recording, if there is one.
  """
  words = re.sub(r"[\W_]+", "-", normal(words).lower())
  short = words.encode()[:STEM_BYTES].decode(errors="ignore").strip("-")
  parts = [short or "sound", done, f"seed{seed}", str(sample or "")]
  return "-".join(filter(None, parts))


@contextlib.contextmanager
def reserved(
  path: pathlib.Path, sidecars: tuple[str, ...] = ()
) -> Iterator[pathlib.Path]:
  """`files.unused`, but no sound gets the JSON file or picture of another.

  JSON files and pictures belong to all sounds of their name. So a sound is
  written only if neither exists, and a JSON file only if no sound of the name
  exists in any format.

  Args:
    sidecars: suffixes of other files that the block writes.
  """
  from siren_jax.audio import sound_files

  suffix, sounds = path.suffix.lower(), sound_files.SUFFIXES
  taken: tuple[str, ...] = ()
  if suffix in sounds:
    taken = _SIDECARS
  if ".json" in (suffix, *sidecars):
    taken = (*sounds, *_SIDECARS)
  with files.unused(path, sidecars, [*taken, *map(str.upper, taken)]) as free:
    yield free


def write(
  path: pathlib.Path,
  sound: Any,
  facts: Mapping[str, Any],
  picture: bool,
) -> tuple[pathlib.Path, tuple[str, ...]]:
  """Writes a sound and its sidecar files.

  Args:
    path: of the sound; a number is added if the name is taken.
    sound: `audio.loudness.Samples` at the rate of `facts`: an array, or a sound
      on disk.
    facts: for the JSON file; "prompt" and "sample_rate" are required.
    picture: also write a spectrogram as PNG.

  Returns:
    The actual path, and notes, such as about clipped samples.

  Raises:
    UserError: a file cannot be written; then none is written.
  """
  from siren_jax.audio import sound_files

  sidecars = (".json", ".png") if picture else (".json",)
  with reserved(path, sidecars) as path:
    rate = facts["sample_rate"]
    notes = sound_files.write_audio(path, sound, rate)
    with files.replacing(path.with_suffix(".json")) as file:
      file.write(f"{json.dumps(facts, indent=2)}\n".encode())
    if picture:
      from siren_jax.audio import spectrogram

      with files.replacing(path.with_suffix(".png")) as file:
        spectrogram.save(file, sound, rate, facts["prompt"])
  return path, notes


@contextlib.contextmanager
def standard_output() -> Iterator[BinaryIO]:
  """Standard output for bytes; prints of the block go to stderr.

  A closed pipe ends the block without an error.

  Raises:
    UserError: it is a terminal, or there is none.
  """
  if sys.stdout is None or sys.stdout.isatty():
    raise UserError(
      "--out -: writes sound to standard output; pipe it, as in | ffplay -"
    )
  file = sys.stdout.buffer
  try:
    with contextlib.redirect_stdout(sys.stderr):
      yield file
      file.flush()
  except BrokenPipeError:
    terminal.drop_unwritable()
