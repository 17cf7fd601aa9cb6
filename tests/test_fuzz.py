"""Broken files of every kind: one line that says so, or a result; no crash."""

import json

import numpy as np
import pytest
import soundfile

from siren_jax import codec
from siren_jax.cli import decode
from siren_jax.common import tensors, text
from siren_jax.common.errors import UserError
from siren_jax.data import audio, sources
from siren_jax.weights import published

TRIALS = 1000  # of each reader


def _break(data: bytes, rng: np.random.Generator) -> bytes:
  """Cut, changed, swollen or made of nothing."""
  kind = rng.integers(5)
  if kind == 0:
    return data[: rng.integers(len(data))]
  if kind == 1:
    return rng.bytes(rng.integers(200))
  changed = bytearray(data)
  # Headers are where it hurts.
  reach = len(changed) if kind == 2 else min(len(changed), 128)
  for _ in range(rng.integers(1, 12)):
    changed[rng.integers(reach)] = rng.integers(256)
  if kind == 4:
    place = rng.integers(reach)
    changed[place:place] = rng.bytes(rng.integers(1, 40))
  return bytes(changed)


def _wave(path):
  noise = np.random.default_rng(0).normal(0, 0.1, (1600, 2))
  soundfile.write(path, noise, 44100)


def _tensors(path):
  tensors.save(
    path, {"a": np.ones((2, 3), "f4"), "b": {"c": np.zeros(4, "f4")}}
  )


def _codes(path):
  np.savez(
    path, codes=np.zeros((12, 9), "i4"), sample_rate=16000, num_samples=5000
  )


def _csv(path):
  path.write_text("file,caption,fold\na.wav,a dog,1\nb.wav,rain,2\n")


def _audiocaps(path):
  path.write_text(
    "audiocap_id,youtube_id,start_time,caption\n7,-ab,30,a dog\n8,cd,0,rain\n"
  )


def _jsonl(path):
  rows = [{"path": f"{i}.wav", "captions": ["a", "b"]} for i in range(3)]
  path.write_text("\n".join(map(json.dumps, rows)))


def _prompts(path):
  path.write_bytes("a dog\r\ncaf\u00e9 noise\nrain".encode("utf-16"))


def _published(path):
  with published.tensors(path) as found:
    return {name: found[name] for name in found}


_SHAPES = {"a": np.ones((2, 3), "f4"), "b": {"c": np.zeros(4, "f4")}}
_CONFIG = codec.SpectralCodecConfig()
READERS = {
  "wav": (_wave, lambda p: audio.read_audio(p, 16000)),
  "flac": (_wave, lambda p: audio.read_audio(p, 16000)),
  "ogg": (_wave, lambda p: audio.read_audio(p, 16000)),
  "safetensors": (_tensors, lambda p: tensors.load(p, _SHAPES)),
  "published.safetensors": (_tensors, _published),
  "codes.npz": (_codes, lambda p: decode._read(p, _CONFIG)),
  "manifest.csv": (_csv, lambda p: sources.find(p)),
  "audiocaps.csv": (_audiocaps, lambda p: sources.find(p)),
  "prompts.txt": (_prompts, text.read_lines),
  "manifest.jsonl": (_jsonl, lambda p: sources.find(p)),
}


@pytest.mark.parametrize("name", READERS)
def test_broken_files(name, tmp_path):
  write, read = READERS[name]
  path = tmp_path / (name if "." in name else f"x.{name}")
  write(path)
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  refused = 0
  for _ in range(TRIALS):
    path.write_bytes(_break(whole, rng))
    try:
      read(path)
    except UserError as error:
      refused += 1
      assert len(str(error).splitlines()) == 1 and str(tmp_path) in str(error)
  assert refused > TRIALS / 20
  assert [p.name for p in tmp_path.iterdir()] == [path.name]
