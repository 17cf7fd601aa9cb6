"""Names of made sounds: valid, and never that of another file."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from siren_jax.cli import outputs
from siren_jax.common.errors import UserError

FACTS = {"prompt": "rain", "sample_rate": 16000}


@hypothesis.given(
  st.text(st.characters(exclude_categories=["Cs"])),
  st.integers(0, 2**32 - 1),
  st.integers(0, 2**31 - 1),
)
def test_a_name_is_valid_anywhere(prompt, seed, sample):
  stem = outputs.stem(prompt, seed, sample)
  assert len(f"{stem}-999999.json".encode()) <= 255  # with a number and suffix
  assert not set(stem) & set('<>:"/\\|?* .\0\n')
  assert stem.isprintable() and stem[0] != "-"
  assert stem.endswith(f"seed{seed}" + (f"-{sample}" if sample else ""))


def test_names_say_seed_and_sample():
  assert outputs.stem("A dog, barking!", 7, 0) == "a-dog-barking-seed7"
  assert (
    outputs.stem("rain_in Sp\u00e4t", 0, 12) == "rain-in-sp\u00e4t-seed0-12"
  )
  assert outputs.stem("?!", 0, 0) == "sound-seed0"


@hypothesis.given(st.lists(st.sampled_from(["a", "a-2", "a-3", "b"])))
@hypothesis.settings(max_examples=30, deadline=None)
def test_names_never_collide(tmp_path_factory, stems):
  folder = tmp_path_factory.mktemp("sounds")
  audio_S = np.ones(16, "f4") / 2
  paths = [
    outputs.write(folder / f"{stem}.wav", audio_S, FACTS | {"n": i}, False)[0]
    for i, stem in enumerate(stems)
  ]
  assert len(set(paths)) == len(stems)
  for i, path in enumerate(paths):
    assert f'"n": {i}' in path.with_suffix(".json").read_text()
  assert len(list(folder.iterdir())) == 2 * len(stems)


@pytest.mark.parametrize("suffix", [".wav", ".json", ".png"])
def test_a_link_to_nowhere_holds_a_name(suffix, tmp_path):
  (tmp_path / f"x{suffix}").symlink_to("nowhere")
  path, _ = outputs.write(tmp_path / "x.wav", np.ones(9, "f4"), FACTS, False)
  assert path.name == "x-2.wav"


def test_what_cannot_be_written_leaves_nothing(tmp_path):
  with pytest.raises(UserError, match="not finite|NaN"):
    outputs.write(tmp_path / "x.wav", np.full(9, np.nan), FACTS, False)
  assert not list(tmp_path.iterdir())
