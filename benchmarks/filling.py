"""Does what is made anew in a recording fit what lies around it?

  python -m benchmarks.filling --manifest ESC10/manifest.csv
  python -m benchmarks.filling --manifest ... --words

One second is cut out of the middle of recordings of the held-out fold, which
no part of the model has seen, and filled. At both joints, the log-mel spectrum
of the 0.1 s before is compared with that of the 0.1 s after: the root of the
mean square over mel bands, in dB, the mean of both joints.

  original      the recording itself: what the sound does there by nature
  codec         the second as the codec makes it: what a fill can reach
  G fills       the fill that is chosen from so many, as `Siren.fill` does;
                one is a fill without choosing
  nearest       of the most fills, the one with the smallest distance: what no
                choice can beat
  another       the same second of another recording

All fills of a recording are drawn once. G of them are every group of G, and
the distance is the mean of what the groups choose. Intervals are bootstrapped
over recordings; differences are those to one fill, recording by recording.
"""

import argparse
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import librosa
import numpy as np

import siren_jax
from benchmarks import quality
from siren_jax import sampling
from siren_jax.api import recordings
from siren_jax.clap import tokenizer
from siren_jax.codec import chunks
from siren_jax.sampling import filling, pieces
from siren_jax.sampling.windows import draw, windows

BEGIN, END = 2.0, 3.0  # of the hole, seconds
AROUND = 0.1  # seconds on each side of a joint
BANDS = 40
RANGE = 80.0  # dB below the loudest cell; what is fainter is as loud as this
FOLLOWING = (0.5, 1.0, 2.0)  # seconds that fills are judged by
WEIGHTS = (0.0, 0.5, 1.0)  # of CLAP


class Fills(NamedTuple):
  """All fills of a recording.

  Attributes:
    audio_GxS: the whole recording with each of them.
    log_likelihood_GxI: of each frame that follows, in nats.
    clap_score_G: zeros without words.
  """

  audio_GxS: np.ndarray
  log_likelihood_GxI: np.ndarray
  clap_score_G: np.ndarray


class Filler:
  """The steps of `filling.fill`, with all fills kept."""

  def __init__(self, siren: siren_jax.Siren):
    bundle = siren.bundle
    self._bundle, self._rate = bundle, siren.sample_rate
    config = bundle.codec.config
    self.frame_rate = config.frame_rate
    self._window = int(bundle.max_seconds * config.frame_rate)
    weights = sampling.prepare_weights(
      bundle.all_params["experts"], bundle.config, bundle.execution
    )
    self._params = bundle.all_params | {"experts": weights}

  def fills(self, audio_S: np.ndarray, words: str, keys_G: jax.Array) -> Fills:
    """Fills the hole once for each key; `words` may be empty."""
    models, window = self._bundle.models, self._window
    begin, end = (round(s * self.frame_rate) for s in (BEGIN, END))
    codes_NxT = self.codes(audio_S)
    request = self._request(words, keys_G)
    prompted, target_1xE = pieces.prompt(self._params, models, request)
    drawn = np.repeat(codes_NxT[None, :, :begin], len(keys_G), 0)
    for part in windows(window, begin, end):
      for samples in draw(prompted, keys_G, window, part, drawn):
        drawn = np.concatenate([drawn, samples.codes_BxNxT], 2)
    after = np.repeat(codes_NxT[None, :, end:], len(keys_G), 0)
    whole = np.concatenate([drawn, after], 2)

    guidance = 1.0 if words else None
    plain = prompted.replace(method=sampling.SamplingConfig(guidance=guidance))
    likelihood = []
    for part in windows(window, end, whole.shape[2]):
      books = np.int32(whole.shape[1])
      kept = sampling.Kept(whole[..., part.begin : part.end], books)
      prefix = whole[..., : part.begin]
      for samples in draw(plain, keys_G, window, part, prefix, kept):
        likelihood.append(samples.log_probs_BxNxT.sum(1))
    audio_GxS = chunks.decode(self._bundle.codec, whole, window // 2)
    score_G = np.zeros(len(keys_G))
    if words:
      score_G = pieces.clap_scores(
        self._params, models, audio_GxS, target_1xE, window
      )[0][0]
    filled = [self.pasted(audio_S, filled_S) for filled_S in audio_GxS]
    return Fills(np.stack(filled), np.concatenate(likelihood, 1), score_G)

  def codes(self, audio_S: np.ndarray) -> np.ndarray:
    return recordings.codes_of(self._bundle.codec, audio_S, self._window)

  def through_codec(self, audio_S: np.ndarray) -> np.ndarray:
    codes = self.codes(audio_S)[None]
    return chunks.decode(self._bundle.codec, codes, self._window // 2)[0]

  def pasted(self, audio_S: np.ndarray, filled_S: np.ndarray) -> np.ndarray:
    """A recording with the hole's second of another sound."""
    first, last = (round(s * self._rate) for s in (BEGIN, END))
    filled_S = filled_S[: len(audio_S)]
    return recordings.with_hole_filled(
      audio_S, filled_S, first, last, self._rate
    )

  def distance(self, audio_S: np.ndarray) -> float:
    """dB, the mean over both joints."""
    size = round(AROUND * self._rate)
    joints = [round(s * self._rate) for s in (BEGIN, END)]
    floor = self._log_mel(audio_S).max() - RANGE

    def level(part_S: np.ndarray) -> np.ndarray:
      return np.maximum(self._log_mel(part_S), floor).mean(1)

    steps = [
      level(audio_S[joint : joint + size])
      - level(audio_S[joint - size : joint])
      for joint in joints
    ]
    return float(np.mean([np.sqrt(np.mean(step**2)) for step in steps]))

  def _log_mel(self, audio_S: np.ndarray) -> np.ndarray:
    """dB [M, T]."""
    power_MxT = librosa.feature.melspectrogram(
      y=audio_S, sr=self._rate, n_fft=512, hop_length=160, n_mels=BANDS,
      center=False,
    )  # fmt: skip
    return 10 * np.log10(power_MxT + 1e-10)

  def _request(self, words: str, keys_G: jax.Array) -> pieces.Request:
    tokens, method = {}, self._bundle.sampling
    if words:
      ids_BxP, mask_BxP = tokenizer.tokenize(
        self._bundle.clap.tokenizer,
        [words],
        self._bundle.clap.config.text.max_tokens,
      )
      tokens = {"ids_BxP": ids_BxP, "mask_BxP": mask_BxP}
    else:
      method = sampling.SamplingConfig(
        temperature=method.temperature, top_k=method.top_k, top_p=method.top_p
      )
    return pieces.Request(method, keys_G[None], end=None, **tokens)


def chosen(
  fills: Fills, distance_G: np.ndarray, group: int, frames: int, weight: float
) -> float:
  """Mean distance of what groups of fills choose."""
  likelihood_G = fills.log_likelihood_GxI[:, :frames].mean(1)
  picked = []
  for first in range(0, len(distance_G), group):
    rows = slice(first, first + group)
    voice = _standard(likelihood_G[rows])
    voice = voice + weight * _standard(fills.clap_score_G[rows])
    picked.append(distance_G[rows][np.argmax(voice)])
  return float(np.mean(picked))


def _standard(values_G: np.ndarray) -> np.ndarray:
  return (values_G - values_G.mean()) / (values_G.std() + 1e-9)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--manifest", type=pathlib.Path, required=True)
  parser.add_argument("--held-out-fold", default="4")
  parser.add_argument("--model", help="bundle (default: the built-in one)")
  parser.add_argument("--words", action="store_true", help="name the sound")
  parser.add_argument("--recordings", type=int, default=60)
  parser.add_argument("--fills", type=int, nargs="+", default=[1, 4, 8, 16])
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  filler = Filler(siren_jax.load(args.model))
  clips, labels, folds = quality.recordings(args.manifest)
  rng = np.random.default_rng(args.seed)
  held = rng.permutation(np.flatnonzero(folds == args.held_out_fold))
  rows, begin = [], time.perf_counter()
  for i, row in enumerate(held[: args.recordings]):
    words = quality.PLAIN[labels[row]] if args.words else ""
    other_S = clips[held[(i + 1) % len(held)]]
    key = jax.random.fold_in(jax.random.key(args.seed), int(row))
    rows.append(distances(filler, clips[row], other_S, words, key, args.fills))
  seconds = (time.perf_counter() - begin) / len(rows)
  print(f"{len(rows)} recordings, {seconds:.1f} s each; dB at the joints")
  for line in table(rows):
    print(line)


def distances(
  filler: Filler,
  audio_S: np.ndarray,
  other_S: np.ndarray,
  words: str,
  key: jax.Array,
  groups: list[int],
) -> dict[str, float]:
  """Distance of each way to fill the hole of a recording."""
  most = max(groups)
  fills = filler.fills(audio_S, words, jax.random.split(key, most))
  distance_G = np.array([filler.distance(x) for x in fills.audio_GxS])
  row = {
    "original": filler.distance(audio_S),
    "codec": filler.distance(
      filler.pasted(audio_S, filler.through_codec(audio_S))
    ),
    "another": filler.distance(filler.pasted(audio_S, other_S)),
  }

  def choose(group: int, seconds: float, weight: float) -> float:
    frames = round(seconds * filler.frame_rate)
    return chosen(fills, distance_G, group, frames, weight)

  default = filling.FOLLOWING_SECONDS, filling.CLAP_WEIGHT
  row |= {f"{g} fills": choose(g, *default) for g in groups}
  row["nearest"] = float(distance_G.min())
  for seconds in FOLLOWING:
    row[f"{most}, {seconds:g} s follow"] = choose(most, seconds, default[1])
  if words:
    for weight in WEIGHTS:
      row[f"{most}, CLAP x {weight:g}"] = choose(most, default[0], weight)
  return row


def table(rows: list[dict[str, float]]) -> Iterator[str]:
  """Medians, and mean differences to one fill, with intervals of 95 %."""
  one = np.array([row["1 fills"] for row in rows])
  yield f"{'':16} {'median':>21} {'mean less one fill':>24} {'better, %':>10}"
  for name in rows[0]:
    values = np.array([row[name] for row in rows])
    less = values - one
    yield (
      f"{name:16} {_interval(values, np.median):>21}"
      f" {_interval(less, np.mean):>24} {100 * np.mean(less < 0):10.0f}"
    )


def _interval(values: np.ndarray, statistic) -> str:
  """A statistic, and the interval of 95 % that a bootstrap gives it."""
  rng = np.random.default_rng(0)
  drawn = statistic(rng.choice(values, (2000, len(values))), axis=1)
  low, high = np.percentile(drawn, [2.5, 97.5])
  return f"{statistic(values):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
  main()
