"""Files of made sounds: what they are called, and what stands beside them.

A sound, the JSON file that says how it was made and its picture have one name;
no other sound's file is ever replaced.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from siren_jax.common import files
from siren_jax.common.text import normal

STEM_BYTES = 120  # of the words in a name; a name may have 255
_BESIDE = (".json", ".png")


def stem(prompt: str, seed: int, sample: int) -> str:
  """Name of a sound without suffix: its first words, seed and sample."""
  words = re.sub(r"[\W_]+", "-", normal(prompt).lower())
  short = words.encode()[:STEM_BYTES].decode(errors="ignore").strip("-")
  return f"{short or 'sound'}-seed{seed}" + (f"-{sample}" if sample else "")


def write(
  path: pathlib.Path,
  audio_S: Any,
  facts: Mapping[str, Any],
  picture: bool,
) -> tuple[pathlib.Path, tuple[str, ...]]:
  """Writes a sound and what stands beside it.

  Args:
    path: where to; with a number added where a file has that name.
    audio_S: numpy array at the rate of `facts`.
    facts: for the JSON file; "prompt" and "sample_rate" are needed.
    picture: a spectrogram as PNG too.

  Returns:
    Where it was written, and notes such as of samples that were clipped.

  Raises:
    UserError: one of them cannot be written; then none is.
  """
  from siren_jax.audio import sound_files

  with files.unused(path, _BESIDE) as path:
    rate = facts["sample_rate"]
    notes = sound_files.write_audio(path, audio_S, rate)
    with files.replacing(path.with_suffix(".json")) as file:
      file.write(f"{json.dumps(facts, indent=2)}\n".encode())
    if picture:
      from siren_jax.cli import spectrogram

      with files.replacing(path.with_suffix(".png")) as file:
        spectrogram.save(file, audio_S, rate, facts["prompt"])
  return path, notes
