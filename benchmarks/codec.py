"""What does a codec keep of withheld recordings?

  python -m benchmarks.codec --manifest OPEN/manifest.csv \\
    --manifest ESC10/manifest.csv --codec siren-small --cache runs/judge

Encodes and decodes the clips of the held-out fold whose kinds benchmarks.judge
knows; clips are at most 5 s.

  mel         multi-scale mel distance of the codec's losses; by data set too
  top 1, 5    share that the judge names right: originals, reconstructions
  cents       pitch error between frames that are voiced in both, on clips of
              kinds that have notes: median and 90th percentile
  voicing     share of those clips' frames that are voiced in one only, in %
  loudness    difference of integrated loudness in LU: median and 90th
              percentile

Pitch is that of librosa's pyin: 55 to 2000 Hz, frames of 2048 samples every
320, steps of 10 cents.
"""

import argparse
import json
import time
from collections.abc import Iterator

import jax
import librosa
import numpy as np

from benchmarks import judge as kinds_judge
from benchmarks.judge import BEST, Recordings, read, shares
from benchmarks.quality import RATE, SECONDS
from siren_jax import codec
from siren_jax.audio import loudness
from siren_jax.codec import losses
from siren_jax.data.captions import book
from siren_jax.evaluation.cache import Cache
from siren_jax.storage import fingerprint, folders

PYIN = dict(fmin=55, fmax=2000, frame_length=2048, hop_length=320)
_BATCH = 8
_MEL_STEP = RATE // 2  # samples; each length of a clip compiles once


def reconstructed(
  model: codec.Codec, clips: list[np.ndarray]
) -> Iterator[np.ndarray]:
  """What the codec makes of clips, each as long as it was."""
  size = SECONDS * RATE
  for start in range(0, len(clips), _BATCH):
    batch = clips[start : start + _BATCH]
    audio_BxS = np.zeros((_BATCH, size), np.float32)
    for row_S, clip in zip(audio_BxS, batch):
      row_S[: len(clip)] = clip
    decoded_BxS = np.asarray(model.decode(model.encode(audio_BxS)))
    yield from (x[: len(clip)] for x, clip in zip(decoded_BxS, batch))


@jax.jit
def _mel(original_BxS: jax.Array, other_BxS: jax.Array) -> jax.Array:
  return losses.mel_distance(
    *(losses.spectra(x, RATE) for x in (original_BxS, other_BxS))
  )


def mel_distance(original_S: np.ndarray, other_S: np.ndarray) -> float:
  """Multi-scale mel distance.

  Zeros fill up the last half second; they are equal, and do not count.
  """
  size = -(-len(original_S) // _MEL_STEP) * _MEL_STEP
  pair = (original_S, other_S)
  padded = (librosa.util.fix_length(x, size=size)[None] for x in pair)
  return float(_mel(*padded)) * size / len(original_S)


def pitch(audio_S: np.ndarray) -> np.ndarray:
  """Cents above 55 Hz of frames [T]; NaN where none is heard."""
  hz_T, _, _ = librosa.pyin(audio_S, sr=RATE, **PYIN)
  return 1200 * np.log2(hz_T / PYIN["fmin"])


def cached_pitch(cache: Cache, path, audio_S: np.ndarray) -> np.ndarray:
  """That of a recording, kept by its content."""
  key = "pitch-" + fingerprint.of_values(PYIN), fingerprint.of_file(path)
  entry = cache.get(*key)
  if entry is None:
    entry = {"cents": pitch(audio_S)}, ()
    cache.put(*key, *entry)
  return entry[0]["cents"]


def pitch_errors(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict:
  """Of pitch tracks of originals and reconstructions."""
  one_T, other_T = map(np.concatenate, zip(*pairs, strict=True))
  off_T = np.abs(one_T - other_T)
  differ_T = np.isnan(one_T) != np.isnan(other_T)
  return {
    "cents": spread(off_T[~np.isnan(off_T)]),
    "voicing": {"%": float(100 * differ_T.mean()), "frames": len(differ_T)},
  }


def loudness_error(original_S: np.ndarray, other_S: np.ndarray) -> float:
  """In LU; infinite where the codec made silence of a sound."""
  levels = [loudness.integrated(x, RATE) for x in (original_S, other_S)]
  return abs(levels[0] - levels[1]) if levels[0] != levels[1] else 0.0


def spread(values: np.ndarray) -> dict[str, float]:
  median, high = np.percentile(values, [50, 90])
  return {"median": float(median), "90 %": float(high), "n": len(values)}


def measure(args, judge: kinds_judge.Judge, held: Recordings) -> dict:
  model = codec.load(folders.find(args.codec))
  clips = [read(path) for path in held.paths]
  start = time.perf_counter()
  decoded = list(reconstructed(model, clips))
  speed = sum(map(len, clips)) / RATE / (time.perf_counter() - start)
  pairs = list(zip(clips, decoded))
  mel_N = np.array([mel_distance(*pair) for pair in pairs])
  table = {"speed": speed, "mel": {"all": mel_N.mean()}}
  table["mel"] |= {
    str(name): mel_N[held.sets == name].mean() for name in np.unique(held.sets)
  }
  named = {
    "originals": shares(judge.ranks_of(held)),
    "reconstructions": shares(judge.ranks(decoded, held.kinds)),
  }
  before, after = named.values()
  table["named"] = named | {
    "kept": {name: after[name] / before[name] for name in BEST}
  }
  table["loudness"] = spread([loudness_error(*pair) for pair in pairs])
  notes = np.flatnonzero([book.kind(x).pitched for x in held.kinds])
  notes = np.random.default_rng(args.seed).permutation(notes)
  cache = Cache(args.cache)
  tracks = [
    (cached_pitch(cache, held.paths[i], clips[i]), pitch(decoded[i]))
    for i in notes[: args.pitch_clips]
  ]
  return table | pitch_errors(tracks) | {"pitch clips": len(tracks)}


def show(table: dict) -> None:
  print(f"{table['speed']:.1f} x real time")
  for name, value in table["mel"].items():
    print(f"{'mel, ' + name:28}{value:9.4f}")
  print(kinds_judge.head("named right"))
  for name in ("originals", "reconstructions"):
    print(kinds_judge.line(name, table["named"][name]))
  kept = "".join(f"{100 * x:7.1f}" for x in table["named"]["kept"].values())
  print(f"{'kept':28}{kept}")
  print(f"{'':28}{'median':>9}{'90 %':>9}{'n':>9}")
  for name in ("cents", "loudness"):
    row = table[name]
    print(f"{name:28}{row['median']:9.1f}{row['90 %']:9.1f}{row['n']:9d}")
  voicing = table["voicing"]
  print(f"{'voicing error, %':28}{voicing['%']:9.1f}{voicing['frames']:18d}")


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  kinds_judge.add_arguments(parser)
  add = parser.add_argument
  add("--codec", required=True, help="bundle or work directory")
  add("--seed", type=int, default=0)
  add("--clips", type=int, help="so many of the fold, drawn by --seed")
  add("--pitch-clips", type=int, default=100, help="pyin takes its time")
  args = parser.parse_args()
  judge, held = kinds_judge.trained(args)
  start = time.perf_counter()
  table = measure(args, judge, held.drawn(args.clips, args.seed))
  show(table)
  print(f"measured in {time.perf_counter() - start:.0f} s")
  if args.json:
    args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
  main()
