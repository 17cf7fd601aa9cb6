"""Is the sound what was asked for? The quality check of a model.

  python benchmarks/quality.py --manifest ../shared/data/esc10/manifest.csv \\
    --model siren-small --clips 10

Two classifiers of the same kind (statistics of log-mel spectra, support
vector machine) are trained on real recordings only:

  codec       on all folds but the held-out one; it names the recordings of
              the held-out fold, and what the codec makes of them.
  generation  on the held-out fold, which no part of the model has seen; it
              names generated clips, for plain prompts and for phrasings that
              are in no training caption, and (the ceiling) the real
              recordings of the other folds.

The manifest has the columns file, fold and category. `--codec DIR` checks a
codec alone, a bundle or a work directory.
"""

import argparse
import csv
import json
import pathlib
import time

import librosa
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import siren_jax
from siren_jax import codec
from siren_jax.audio.sound_files import read_audio
from siren_jax.data.captions import phrasebook
from siren_jax.storage import folders

RATE = 16000
SECONDS = 5
PLAIN = {
  "dog bark": "a dog barking",
  "rain": "rain",
  "sea waves": "sea waves",
  "baby cry": "a baby crying",
  "clock tick": "a clock ticking",
  "person sneeze": "a person sneezing",
  "helicopter": "a helicopter",
  "chainsaw": "a chainsaw",
  "rooster": "a rooster crowing",
  "fire crackling": "a crackling fire",
}


def features(audio_S: np.ndarray) -> np.ndarray:
  """Loudness-free statistics of a clip's log-mel spectrum and its changes."""
  audio = audio_S / (np.abs(audio_S).max() + 1e-6)
  power = librosa.feature.melspectrogram(
    y=audio, sr=RATE, n_fft=1024, hop_length=320, n_mels=64
  )
  log_MxT = librosa.power_to_db(power + 1e-8) / 20
  mfcc = librosa.feature.mfcc(S=20 * log_MxT, n_mfcc=20) / 50
  steps = np.diff(log_MxT, axis=1)
  level_T = log_MxT.mean(0)
  rhythm = np.abs(np.fft.rfft(level_T - level_T.mean(), 512))[:128]
  return np.concatenate(
    [
      log_MxT.mean(1),
      log_MxT.std(1),
      np.percentile(log_MxT, [10, 50, 90], axis=1).ravel(),
      np.abs(steps).mean(1),
      steps.std(1),
      mfcc.mean(1),
      mfcc.std(1),
      np.diff(mfcc, axis=1).std(1),
      np.log(rhythm.reshape(32, 4).mean(1) + 1e-3),
    ]
  )


def varied(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Rotated in time, a little faster or slower, at times with hiss."""
  audio = np.roll(audio_S, rng.integers(len(audio_S)))
  if rng.random() < 0.5:
    hiss = 10 ** (rng.uniform(-70, -35) / 20)
    audio = audio + hiss * rng.normal(size=audio.shape)
  speed = rng.uniform(0.9, 1.1)
  times = np.arange(int(len(audio) / speed)) * speed
  audio = np.interp(times, np.arange(len(audio)), audio)
  return librosa.util.fix_length(audio, size=len(audio_S)).astype(np.float32)


def classifier(clips, labels, copies: int = 6):
  """A support vector machine over `features`, on clips and varied copies."""
  rng = np.random.default_rng(0)
  rows = [features(clip) for clip in clips]
  for _ in range(copies):
    rows += [features(varied(clip, rng)) for clip in clips]
  machine = make_pipeline(StandardScaler(), SVC(C=10))
  return machine.fit(rows, np.tile(labels, copies + 1))


def accuracy(machine, clips, labels) -> dict[str, float]:
  """Share named right: over all, and of each category."""
  right = machine.predict([features(clip) for clip in clips]) == labels
  return {"all": float(right.mean())} | {
    str(label): float(right[labels == label].mean())
    for label in np.unique(labels)
  }


def recordings(manifest: pathlib.Path):
  """Clips of SECONDS, categories and folds of a manifest."""
  with manifest.open(newline="") as file:
    rows = list(csv.DictReader(file))
  clips = [read_audio(manifest.parent / row["file"], RATE)[0] for row in rows]
  clips = [librosa.util.fix_length(c, size=SECONDS * RATE) for c in clips]
  columns = zip(*((row["category"], row["fold"]) for row in rows), strict=True)
  return np.stack(clips), *map(np.array, columns)


def check_codec(folder, clips, labels, held) -> dict[str, dict]:
  model = codec.load(folder)
  machine = classifier(clips[~held], labels[~held])
  originals, names = clips[held], labels[held]
  decoded = [
    np.asarray(model.decode(model.encode(clip[None])))[0, : len(clip)]
    for clip in originals
  ]
  return {
    "codec: originals": accuracy(machine, originals, names),
    "codec: reconstructions": accuracy(machine, decoded, names),
  }


def check_generation(args, clips, labels, held) -> dict[str, dict]:
  model = siren_jax.load(args.model, dtype=args.dtype)
  settings = json.loads(args.settings)
  machine = classifier(clips[held], labels[held])
  free = {c: phrasebook.held_out(c) for c in PLAIN}
  sets = {
    "plain prompts": [(c, PLAIN[c]) for c in PLAIN for _ in range(args.clips)],
    "free phrasings": [(c, p) for c in PLAIN for p in free[c][: args.clips]],
  }
  table = {
    "generation: real clips": accuracy(machine, clips[~held], labels[~held])
  }
  for name, wanted in sets.items():
    categories, prompts = map(list, zip(*wanted, strict=True))
    start = time.perf_counter()
    generated = [
      model.generate(prompt, SECONDS, key=args.seed + i, **settings)[0]
      for i, prompt in enumerate(prompts)
    ]
    rate = len(generated) * SECONDS / (time.perf_counter() - start)
    print(f"{len(generated)} clips at {rate:.1f} x real time")
    table[f"generation: {name}"] = accuracy(
      machine, generated, np.array(categories)
    )
  return table


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--manifest", type=pathlib.Path, required=True)
  parser.add_argument("--held-out-fold", default="4")
  parser.add_argument("--model", help="bundle: checks its codec and its sounds")
  parser.add_argument("--codec", help="checks a codec alone")
  parser.add_argument("--clips", type=int, default=10, help="a category")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--dtype", help="of the experts; the machine's, if none")
  parser.add_argument("--settings", default="{}", help="of sampling, as JSON")
  args = parser.parse_args()
  if not (args.codec or args.model):
    parser.error("nothing to check; give --model or --codec")
  clips, labels, folds = recordings(args.manifest)
  held = folds == args.held_out_fold
  table = {}
  if args.codec or args.model:
    folder = args.codec or folders.find(args.model)
    table |= check_codec(folder, clips, labels, held)
  if args.model:
    table |= check_generation(args, clips, labels, held)
  columns = ["all", *PLAIN]
  print(f"{'named right, %':26}", *(f"{c.split()[-1]:>9}" for c in columns))
  for name, row in table.items():
    print(f"{name:26}", *(f"{100 * row[c]:9.0f}" for c in columns))


if __name__ == "__main__":
  main()
