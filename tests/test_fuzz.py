"""Broken files of every kind: one line that says so, or a result; no crash."""

import json
import pathlib
import shutil
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from siren_jax import codec
from siren_jax.audio import sound_files
from siren_jax.clap import tokenizer
from siren_jax.clap.corpus import Corpus
from siren_jax.cli.sounds import decode
from siren_jax.common import config, text
from siren_jax.common.errors import UserError
from siren_jax.data.preparation import audio
from siren_jax.data.sets import index, reader
from siren_jax.data.sources import recordings
from siren_jax.evaluation import clips
from siren_jax.experiments import config_files, kinds
from siren_jax.experts import ExpertConfig
from siren_jax.storage import checkpoint, folders, run_config, tensors
from siren_jax.training import TrainState, metrics
from siren_jax.weights import bundle, published, siren_stage1

TRIALS = 100  # of each reader, by default
ALL_TRIALS = 10_000  # of all readers, with the marker slow
SECONDS = 10.0  # for one file
BYTES = 1 << 30  # of memory, for one file
WORDS = ["a dog barking", "rain on a tin roof"]


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


def _noise(shape=(1600, 2)):
  return np.random.default_rng(0).normal(0, 0.1, shape)


def _wave(path):
  soundfile.write(path, _noise(), 44100)


def _opus(path):
  soundfile.write(path, _noise(), 48000, format="OGG", subtype="OPUS")


def _tensors(path):
  tensors.save(
    path, {"a": np.ones((2, 3), "f4"), "b": {"c": np.zeros(4, "f4")}}
  )


def _codes(path):
  np.savez(
    path, codes=np.zeros((12, 9), "i4"), sample_rate=16000, num_samples=5000
  )


def _table(separator):
  rows = [("File", " Caption", "fold"), ("a.wav", "a dog", 1), ("b.wav", "", 2)]

  def write(path):
    _wave(path.with_name("a.wav"))
    lines = (separator.join(map(str, row)) for row in rows)
    path.write_text("\n".join(lines))

  return write


def _audiocaps(path):
  _wave(path.with_name("-ab.wav"))
  path.write_text(
    "audiocap_id,youtube_id,start_time,caption\n7,-ab,30,a dog\n8,cd,0,rain\n"
  )


def _jsonl(path):
  _wave(path.with_name("1.wav"))
  rows = [{"path": f"{i}.wav", "captions": ["a", "b"]} for i in range(3)]
  path.write_text("\n".join(map(json.dumps, rows)))


def _prompts(path):
  path.write_bytes("a dog\r\ncaf\u00e9 noise\nrain".encode("utf-16"))


def _captions(path):
  _wave(path.with_suffix(".wav"))
  path.write_text("A dog barks.\nA dog.")


def _sidecar(path):
  _wave(path.with_suffix(".wav"))
  path.write_text(json.dumps({"prompt": "a dog", "seed": 3}))


def _read_sidecar(path):
  _, problems = clips.captions(clips.find(path.parent))
  if problems:
    raise UserError(problems[0])


def _tokenizer(path):
  tokenizer.train(WORDS, 64).save(str(path))


def _corpus(path):
  ids, mask = np.ones((3, 4), "i4"), np.ones((3, 4), bool)
  Corpus(ids, mask, np.ones((3, 2), "f2"), np.zeros(3, "i4")).save(path)


def _metrics(path):
  writer = metrics.MetricWriter(path.parent, 0)
  for step in range(5):
    writer.write(step, {"train/loss": 1 / (step + 1)})
  writer.close()
  shutil.rmtree(path.parent / "tensorboard", ignore_errors=True)


def _read_metrics(path):
  metrics.MetricWriter(path.parent, 9).close()


def _published(path):
  with published.tensors(path) as arrays:
    return {name: arrays[name] for name in arrays}


def _index(path):
  save_file({"a": np.ones(3, "f4")}, path.parent / "x-1.safetensors")
  path.write_text(json.dumps({"weight_map": {"a": "x-1.safetensors"}}))


def _stage1(path):
  source = pathlib.Path(__file__).parent / "fixtures" / "siren_stage1"
  shutil.copytree(source, path.parent, dirs_exist_ok=True)


def _workdir(path):
  state = TrainState(np.int32(1), {"w": np.ones(3, "f4")}, {"m": np.ones(1)})
  with checkpoint.Checkpoints(path.parents[3]) as checkpoints:
    checkpoints.save(1, state, {}, {"kind": "codec"})


def _run_config(path):
  values = config_files.from_file(
    str(pathlib.Path(__file__).parents[1] / "configs" / "tiny.py")
  )
  path.write_text(json.dumps(kinds.to_json(values)))


def _audio_set(path):
  settings = audio.AudioConfig(sample_rate=8000, seconds=1.0, synthetic=4)
  audio.prepare_audio([], path.parent, settings)


def _read_set(path):
  index.fingerprint(path.parent)
  source = reader.open_source(path.parent, "train")
  return [source[i] for i in range(len(source))]


def _bundle_config(path):
  shutil.copy(folders.SHIPPED / "siren-small" / "config.json", path)


def _read_bundle_config(path):
  settings = bundle.read_config(folders.identify(path.parent))
  return config.from_dict(ExpertConfig, settings["experts"], "experts.")


_SHAPES = {"a": np.ones((2, 3), "f4"), "b": {"c": np.zeros(4, "f4")}}
_CONFIG = codec.SpectralCodecConfig()
_SOUND = (_wave, lambda p: sound_files.read_audio(p, 16000))
_TABLE = recordings.find
SHARD = "siren-train.array_record-00000"
# File name: what writes a whole one, and what reads it.
READERS = {
  **{
    f"x.{kind}": _SOUND
    for kind in (
      *("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64"),
      "voc",
    )
  },
  "x.opus": (_opus, _SOUND[1]),
  "x.safetensors": (_tensors, lambda p: tensors.load(p, _SHAPES)),
  "published.safetensors": (_tensors, _published),
  "model.safetensors.index.json": (_index, lambda p: _published(p.parent)),
  "stage1/expert_0.safetensors": (
    _stage1, lambda p: siren_stage1.load(p.parent),
  ),
  "stage1/config.json": (_stage1, lambda p: siren_stage1.load(p.parent)),
  "codes.npz": (_codes, lambda p: decode._read(p, _CONFIG)),
  "corpus.npz": (_corpus, Corpus.load),
  "tokenizer.json": (_tokenizer, tokenizer.load),
  "manifest.csv": (_table(","), _TABLE),
  "semicolons.csv": (_table(";"), _TABLE),
  "manifest.tsv": (_table("\t"), _TABLE),
  "manifest.jsonl": (_jsonl, _TABLE),
  "audiocaps.csv": (_audiocaps, _TABLE),
  "captions/x.txt": (_captions, lambda p: recordings.find(p.parent)),
  "sidecar/x.json": (_sidecar, _read_sidecar),
  "prompts.txt": (_prompts, text.read_lines),
  "metrics.csv": (_metrics, _read_metrics),
  "config.json": (_bundle_config, _read_bundle_config),
  "run/config.json": (
    _run_config,
    lambda p: kinds.from_mapping(run_config.recorded(p.parent), str(p)),
  ),
  "run/checkpoints/1/config/metadata": (
    _workdir, lambda p: checkpoint.restore_params(p.parents[3]),
  ),
  "set/dataset_info.json": (_audio_set, _read_set),
  "set/features.json": (_audio_set, _read_set),
  "set/fingerprint.json": (_audio_set, _read_set),
  f"set/{SHARD}": (_audio_set, _read_set),
}  # fmt: skip


def _files(folder):
  return sorted(
    str(path) for path in folder.rglob("*") if "tensorboard" not in path.parts
  )


def _trials(count):
  """Fewer of what takes a second to read; all together `count` a reader."""
  slow = [name for name in READERS if name.startswith("stage1")]
  few = -(-count // 20)
  many = -(
    -(count * len(READERS) - few * len(slow)) // (len(READERS) - len(slow))
  )
  return dict.fromkeys(READERS, many) | dict.fromkeys(slow, few)


def check(name, folder, trials):
  """Breaks a file again and again; returns how often that was told."""
  write, read = READERS[name]
  path = folder / name
  if not name.startswith(("run/checkpoints", "set/")):
    path.parent.mkdir(parents=True, exist_ok=True)
  write(path)
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  there, refused = _files(folder), 0
  read(path)  # JAX compiles.
  for trial in range(trials):
    broken = _break(whole, rng)
    path.write_bytes(broken)
    tracemalloc.start()
    start = time.monotonic()
    try:
      read(path)
    except UserError as error:
      refused += 1
      assert len(str(error).splitlines()) == 1, error
      assert str(folder) in str(error), error
    finally:
      seconds = time.monotonic() - start
      peak = tracemalloc.get_traced_memory()[1]
      tracemalloc.stop()
    assert seconds < SECONDS and peak < BYTES, (trial, seconds, peak)
    assert _files(folder) == there, trial
  return refused


@pytest.mark.parametrize("name", READERS)
def test_broken_files(name, tmp_path):
  assert check(name, tmp_path, _trials(TRIALS)[name]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_broken_files_10_000(name, tmp_path):
  count = -(-ALL_TRIALS // len(READERS))
  assert check(name, tmp_path, _trials(count)[name]) > 0
