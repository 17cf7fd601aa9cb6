"""Sounds of any length: are seams heard, how soon, how fast, in what memory?

  python -m benchmarks.long_sounds seams
  python -m benchmarks.long_sounds seams --window 10
  python -m benchmarks.long_sounds seams --candidates 4 --prompts 6
  python -m benchmarks.long_sounds stream
  python -m benchmarks.long_sounds memory

seams   A seam is where a window begins. The change of the log-mel spectrum
        there is compared with that at all other frames: what share of the
        frames of its own sound change less. Where seams are like the rest,
        these shares are uniform, which a Kolmogorov-Smirnov test is asked.
        Three changes: from codec frame to codec frame, the largest of the
        steps of 10 ms around, and from the second before to the one after.
        Then, whether sounds stay what they are: the CLAP score, part by part.
stream  Seconds to the first chunk of a stream, and how much faster than real
        time the next ones come. One process, medians.
memory  Peak memory of processes that make sounds of several lengths and write
        them to disk as they come.
"""

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import pathlib
import resource
import statistics
import tempfile
import time

import librosa
import numpy as np
from scipy import stats

import siren_jax
from benchmarks import sampling
from benchmarks.quality import PLAIN
from siren_jax import clap
from siren_jax.audio import disk_sound
from siren_jax.clap import tokenizer

PROMPTS = [*PLAIN.values(), "a river", "wind in the trees"]
STEP = 160  # samples of a fine step, 10 ms at 16 kHz
BANDS = 64
PART = 5.0  # seconds that are scored at a time
RANGE = 80.0  # dB below the loudest cell; what is fainter is as loud as this


def seams(args: argparse.Namespace) -> None:
  siren = siren_jax.load(args.model)
  if args.window:
    bundle = dataclasses.replace(siren.bundle, max_seconds=args.window)
    siren = siren_jax.Siren(bundle)
  length = int(siren.bundle.max_seconds * siren.bundle.codec.config.frame_rate)
  hop = siren.bundle.codec.config.hop
  prompts = PROMPTS[: args.prompts]
  sounds = siren.generate(
    prompts, args.seconds, key=args.seed, candidates=args.candidates
  )
  shares: dict[str, list[np.ndarray]] = {}
  for audio_S in sounds:
    for name, change_T in changes(audio_S, siren.sample_rate, hop).items():
      seam_I = np.arange(length, len(change_T), length - length // 2)
      rank_T = stats.rankdata(change_T, nan_policy="omit")
      share_T = (rank_T - 0.5) / np.sum(np.isfinite(change_T))
      shares.setdefault(name, []).append(share_T[seam_I])
  print(f"{args.prompts} sounds of {args.seconds:g} s")
  for name, of_sounds in shares.items():
    share_I = np.concatenate(of_sounds)
    share_I = share_I[np.isfinite(share_I)]
    test = stats.kstest(share_I, "uniform")
    print(
      f"{name:20} {len(share_I)} seams, median share {np.median(share_I):.2f},"
      f" KS {test.statistic:.3f}, p {test.pvalue:.3f}"
    )
  scores_I = scores(siren, prompts, sounds).mean(0)
  print(f"CLAP score of each {PART:g} s:", *(f"{x:.3f}" for x in scores_I))


def scores(
  siren: siren_jax.Siren, prompts: list[str], audio_BxS: np.ndarray
) -> np.ndarray:
  """Cosines of prompts and sounds, [B, parts of PART seconds]."""
  size = round(PART * siren.sample_rate)
  whole = audio_BxS[:, : audio_BxS.shape[1] // size * size]
  params, model = siren.bundle.all_params["clap"], siren.bundle.clap
  tokens = tokenizer.tokenize(
    model.tokenizer, prompts, model.config.text.max_tokens
  )
  text_BxE = clap.encode_text(params, model.config, *tokens)[1]
  audio_RxE = clap.encode_audio(
    params, model.config, whole.reshape(-1, size), siren.sample_rate
  )
  audio_BxIxE = audio_RxE.reshape(len(prompts), -1, audio_RxE.shape[1])
  return np.einsum("be,bie->bi", text_BxE, audio_BxIxE)


def changes(
  audio_S: np.ndarray, sample_rate: int, hop: int
) -> dict[str, np.ndarray]:
  """Changes [T] where each frame begins; NaN within a second of the ends."""
  power_MxT = librosa.feature.melspectrogram(
    y=audio_S, sr=sample_rate, n_fft=512, hop_length=STEP, n_mels=BANDS
  )
  log_MxT = 10 * np.log10(power_MxT + 1e-10)
  log_MxT = np.maximum(log_MxT, log_MxT.max() - RANGE)
  steps, frames = hop // STEP, len(audio_S) // hop
  fine_MxT = log_MxT[:, : frames * steps]
  fine = np.linalg.norm(np.diff(fine_MxT, axis=1), axis=0)
  of_frames = fine_MxT.reshape(BANDS, frames, steps).mean(2)
  second = sample_rate // hop
  names = ("frame to frame", "10 ms to 10 ms", "second to second")
  change = {name: np.full(frames, np.nan) for name in names}
  for t in range(second, frames - second):
    frame, step, long = names
    change[frame][t] = np.linalg.norm(of_frames[:, t] - of_frames[:, t - 1])
    around = fine[t * steps - 1 - steps // 2 : t * steps + steps // 2]
    change[step][t] = around.max()
    before = of_frames[:, t - second : t].mean(1)
    after = of_frames[:, t : t + second].mean(1)
    change[long][t] = np.linalg.norm(after - before)
  return change


def stream(args: argparse.Namespace) -> None:
  siren = siren_jax.load(args.model)
  print(f"memory {sampling.copy_speed() / 1e9:.1f} GB/s")
  next(siren.stream("a river"))  # Compiles.
  firsts, rates = [], []
  for seed in range(args.repeats):
    begin = time.perf_counter()
    chunks = siren.stream("a river", key=seed)
    size = len(next(chunks)) / siren.sample_rate
    firsts.append(time.perf_counter() - begin)
    begin, done = time.perf_counter(), 0
    while done < args.seconds * siren.sample_rate:
      done += len(next(chunks))
    seconds = time.perf_counter() - begin
    rates.append(done / siren.sample_rate / seconds)
  print(
    f"first chunk ({size:g} s) after {statistics.median(firsts):.2f} s"
    f" ({min(firsts):.2f} to {max(firsts):.2f}); then"
    f" {statistics.median(rates):.1f} times as fast as real time"
    f" ({min(rates):.1f} to {max(rates):.1f})"
  )


def memory(args: argparse.Namespace) -> None:
  lengths = [20.0, args.seconds]
  peaks = []
  for seconds in lengths:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
      future = pool.submit(make, args.model, seconds, args.candidates)
      peak, rate = future.result()
    peaks.append(peak)
    print(
      f"{seconds:g} s: {peak / 1e6:.0f} MB, {rate:.2f} times as fast as real"
      " time",
      flush=True,
    )
  print(f"ratio {peaks[1] / peaks[0]:.3f}")


def make(
  model: str | None, seconds: float, candidates: int
) -> tuple[int, float]:
  """Peak memory of this process in bytes, and seconds of sound a second."""
  siren = siren_jax.load(model, batch_size=candidates)
  begin = time.perf_counter()
  with tempfile.TemporaryDirectory() as folder:
    [batch] = siren.batches("rain", seconds, candidates=candidates)
    with disk_sound.temporary(pathlib.Path(folder) / "rain.wav") as sound:
      for piece in batch.pieces:
        sound.append(piece.audio_BxS[0])
      assert len(sound) == round(seconds * siren.sample_rate)
  rate = seconds / (time.perf_counter() - begin)
  usage = resource.getrusage(resource.RUSAGE_SELF)
  return 1024 * usage.ru_maxrss, rate


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  verbs = parser.add_subparsers(required=True)
  for function, seconds in ((seams, 60.0), (stream, 10.0), (memory, 600.0)):
    verb = verbs.add_parser(function.__name__)
    verb.set_defaults(run=function)
    verb.add_argument("--model", help="bundle (default: the built-in one)")
    verb.add_argument("--seconds", type=float, default=seconds)
    if function is seams:
      verb.add_argument("--prompts", type=int, default=len(PROMPTS))
      verb.add_argument("--seed", type=int, default=0)
      verb.add_argument("--window", type=float, help="seconds, of another size")
    if function is stream:
      verb.add_argument("--repeats", type=int, default=7)
    else:
      verb.add_argument("--candidates", type=int, default=1)
  args = parser.parse_args()
  args.run(args)


if __name__ == "__main__":
  main()
