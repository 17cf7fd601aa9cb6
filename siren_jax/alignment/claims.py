"""How well a sound matches its truth, measured from the audio alone.

Our design. The score is graded, so that it can serve as a reward: the product
of how clearly the audio shows each claim. `siren_jax.data.synthetic.sounds`
describes truths.

Axes as in `detectors`: T frames of 10 ms, W bins of a spectrum.
"""

from collections.abc import Callable, Sequence

import chex
import numpy as np

from siren_jax.alignment import detectors
from siren_jax.alignment.detectors import Analysis, ramp
from siren_jax.common.errors import UserError
from siren_jax.data.captions import describe
from siren_jax.data.synthetic import sounds
from siren_jax.data.synthetic.sounds import Truth

_SILENT_PEAK = 1e-4
_SHORTEST_SECONDS = 0.1
# Borders between low, middle and high, and between slow and fast: the middle of
# the gaps that the synthetic sounds leave.
_PITCH_BORDERS_HZ = (330.0, 1130.0)
_NOISE_BORDERS_HZ = (420.0, 2500.0)
_TREMOLO_BORDER_HZ = 4.9
_CLICK_BORDER_HZ = 3.7
_CUTS = 8  # gaps tried as the border of a sequence
_NO_GAP = 0.6  # factor if there is no gap between the parts
_MISCOUNT = 0.35  # factor for each event too many or too few


def verify(truth: Truth, audio_S: np.ndarray, sample_rate: int) -> float:
  """Score in [0, 1]; 1 if the audio clearly shows every claim of `truth`.

  Args:
    truth: of a synthetic sound.
    audio_S: mono, any length and loudness; silence scores 0.
    sample_rate: Hz.

  Raises:
    UserError: unknown kind of truth.
  """
  chex.assert_rank(audio_S, 1)
  kind = truth.get("kind")
  known = (*_CHECKS, "sequence", "mixture")
  if kind not in known:
    raise UserError(f"unknown truth kind {kind!r}; known: {', '.join(known)}")
  audio_S = np.asarray(audio_S, np.float64)
  audio_S = np.nan_to_num(audio_S, posinf=0.0, neginf=0.0)
  if len(audio_S) < _SHORTEST_SECONDS * sample_rate:
    return 0.0
  if np.abs(audio_S).max() < _SILENT_PEAK:
    return 0.0
  if kind == "sequence":
    return _sequence(truth["parts"], audio_S, sample_rate)
  if kind == "mixture":
    return _mixture(truth["parts"], audio_S, sample_rate)
  return float(_CHECKS[kind](truth, detectors.analyse(audio_S, sample_rate)))


def _sequence(
  parts: Sequence[Truth], audio_S: np.ndarray, sample_rate: int
) -> float:
  """The best score over candidate ends of the first part."""
  level_T = detectors.level(audio_S, sample_rate)
  hop = round(detectors.HOP_SECONDS * sample_rate)
  best = 0.0
  for cut, weight in _cuts(level_T):
    sides = (audio_S[: cut * hop], audio_S[cut * hop :])
    peaks = (level_T[:cut].max(), level_T[cut:].max())
    scores = [
      # A faint remainder of the other part does not count as a part.
      ramp(peak, -25, -15) * verify(part, side_S, sample_rate)
      for part, side_S, peak in zip(parts, sides, peaks, strict=True)
    ]
    best = max(best, weight * _both(*scores))
  return best


def _cuts(level_T: np.ndarray) -> list[tuple[int, float]]:
  """(frame, weight) of the longest gaps; if none, of points near halfway."""
  events = describe.bursts(level_T, -18, -24)
  gaps = [
    (start - end, (end + start) // 2)
    for (_, end), (start, _) in zip(events, events[1:], strict=False)
  ]
  if gaps:
    return [(cut, 1.0) for _, cut in sorted(gaps, reverse=True)[:_CUTS]]
  first, end = events[0]
  shares = np.array([0.4, 0.5, 0.6])
  cuts = np.round(first + (end - first) * shares).astype(int)
  # Both sides have a frame.
  return [(int(cut), _NO_GAP) for cut in cuts.clip(1, len(level_T) - 1)]


def _mixture(
  parts: Sequence[Truth], audio_S: np.ndarray, sample_rate: int
) -> float:
  """Scores each part in the audio with the other part removed."""
  clicks = parts[0]["kind"] == "clicks"
  sides = detectors.separate(audio_S, sample_rate, clicks)
  total = np.sum(audio_S**2)
  scores = []
  for part, side_S in zip(parts, sides, strict=True):
    share_db = 10 * np.log10(np.sum(side_S**2) / total + 1e-12)
    audible = ramp(share_db, -35, -20)
    scores.append(audible * verify(part, side_S, sample_rate))
  return _both(*scores)


def _both(first: float, second: float) -> float:
  """Close to the geometric mean, but above 0 for one part alone."""
  return 0.8 * (first * second) ** 0.5 + 0.1 * (first + second)


# One check for each kind: (truth, analysis) -> score.
def _tone(truth: Truth, analysis: Analysis) -> float:
  score = detectors.steady_pitch(analysis) * detectors.lasting(analysis)
  return score * detectors.steady_level(analysis) * _pitch(truth, analysis)


def _beeps(truth: Truth, analysis: Analysis) -> float:
  events = detectors.events(analysis)
  inside_T = detectors.inside(events, analysis)
  same = ramp(np.std(np.log2(analysis.hz_T[inside_T])), 0.5, 0.15)
  score = same * ramp(analysis.tonality_T[inside_T].mean(), 0.4, 0.65)
  return score * _counted(events, truth, analysis) * _pitch(truth, analysis)


def _bursts(truth: Truth, analysis: Analysis) -> float:
  events = detectors.events(analysis)
  inside_T = detectors.inside(events, analysis)
  noisy = ramp(analysis.tonality_T[inside_T].mean(), 0.6, 0.35)
  return noisy * _counted(events, truth, analysis)


def _sweep(truth: Truth, analysis: Analysis) -> float:
  frames, pitch_T = detectors.pitch_track(analysis)
  if len(frames) < 10:
    return 0.0
  slope, start = np.polyfit(frames, pitch_T, 1)
  rest_T = pitch_T - (slope * frames + start)
  straight = 1 - np.mean(rest_T**2) / max(np.var(pitch_T), 1e-9)
  octaves = slope * (frames[-1] - frames[0])
  octaves *= 1 if truth["direction"] == "up" else -1
  score = detectors.tonal(analysis) * detectors.lasting(analysis)
  return score * ramp(straight, 0.5, 0.85) * ramp(octaves, 0.1, 0.8)


def _chord(truth: Truth, analysis: Analysis) -> float:
  chroma = detectors.chroma(analysis)
  triads = {
    (quality, root): chroma[[root, (root + third) % 12, (root + 7) % 12]]
    for quality, third in sounds.THIRDS.items()
    for root in range(12)
  }
  right = [
    notes
    for (quality, root), notes in triads.items()
    if quality == truth["quality"]
    and truth.get("root", sounds.ROOTS[root]) == sounds.ROOTS[root]
  ]
  notes = max(right, key=np.sum)
  rest = max(sum(t) for t in triads.values() if all(t is not r for r in right))
  # All three notes, little else, and no other triad that fits better.
  score = ramp(notes.sum(), 0.5, 0.8) * ramp(notes.min(), 0.04, 0.14)
  score *= ramp(notes.sum() - rest, -0.1, 0.05)
  return score * detectors.lasting(analysis)


def _tremolo(truth: Truth, analysis: Analysis) -> float:
  depth, hz = detectors.wobble(analysis)
  speed = np.log2(hz / _TREMOLO_BORDER_HZ)
  score = detectors.steady_pitch(analysis) * detectors.lasting(analysis)
  return score * ramp(depth, 0.12, 0.25) * _fast_or_slow(truth, speed)


def _siren(truth: Truth, analysis: Analysis) -> float:
  frames, pitch_T = detectors.pitch_track(analysis)
  if len(frames) < 30:
    return 0.0
  low, high = np.percentile(pitch_T, [10, 90])
  place_T = (pitch_T - low) / max(high - low, 0.05)
  upper_T = place_T[np.abs(place_T - 0.5) > 0.25] > 0.5
  alternations = np.count_nonzero(np.diff(upper_T))
  between = np.mean((place_T > 0.2) & (place_T < 0.8))
  style = ramp(between, 0.15, 0.3)
  style = style if truth["style"] == "wailing" else 1 - style
  score = detectors.tonal(analysis) * detectors.lasting(analysis)
  return (
    score * ramp(high - low, 0.12, 0.25) * ramp(alternations, 0.5, 2) * style
  )


def _clicks(truth: Truth, analysis: Analysis) -> float:
  rate, regularity = describe.regular_rate(analysis.level_T)
  events = detectors.events(analysis)
  if rate == 0:
    return 0.0
  if "rate_hz" in truth:
    right = ramp(abs(np.log2(rate / truth["rate_hz"])), 0.4, 0.1)
  else:
    right = _fast_or_slow(truth, np.log2(rate / _CLICK_BORDER_HZ))
  score = ramp(detectors.event_seconds(events), 0.09, 0.05)
  score *= ramp(detectors.longest_seconds(analysis), 0.5, 0.15)
  tonality = analysis.tonality_T[detectors.inside(events, analysis)].mean()
  return score * ramp(tonality, 0.7, 0.5) * ramp(regularity, 0.15, 0.5) * right


def _noise(truth: Truth, analysis: Analysis) -> float:
  power_W = analysis.power_TxW[analysis.active_T].mean(0)
  power_W = power_W / power_W.sum()
  if truth["band"] == "full":
    density = [part.mean() for part in np.array_split(power_W[3:-20], 6)]
    right = ramp(10 * np.log10(min(density) / max(density)), -20, -8)
  else:
    borders = np.searchsorted(analysis.freqs_W, _NOISE_BORDERS_HZ)
    shares = [part.sum() for part in np.split(power_W, borders)]
    share = shares[("low", "middle", "high").index(truth["band"])]
    right = ramp(share, 0.72, 0.92)
  noisy = ramp(detectors.mean_tonality(analysis), 0.8, 0.62)
  return (
    noisy
    * detectors.lasting(analysis)
    * detectors.steady_level(analysis)
    * right
  )


_CHECKS: dict[str, Callable[[Truth, Analysis], float]] = {
  "tone": _tone,
  "beeps": _beeps,
  "sweep": _sweep,
  "chord": _chord,
  "tremolo": _tremolo,
  "siren": _siren,
  "clicks": _clicks,
  "noise": _noise,
  "bursts": _bursts,
}


def _counted(
  events: list[tuple[int, int]], truth: Truth, analysis: Analysis
) -> float:
  """Score for the right number of events, all of them short."""
  score = ramp(detectors.event_seconds(events), 0.02, 0.05)
  score *= ramp(detectors.longest_seconds(analysis), 0.8, 0.5)
  return score * _MISCOUNT ** abs(len(events) - truth["count"])


def _pitch(truth: Truth, analysis: Analysis) -> float:
  """Score for the claimed pitch, if one is claimed."""
  _, pitch_T = detectors.pitch_track(analysis)
  if len(pitch_T) == 0:
    return 0.0
  pitch = np.median(pitch_T)
  if "hz" in truth:
    return ramp(12 * abs(pitch - np.log2(truth["hz"])), 3.0, 0.5)
  low, high = np.log2(_PITCH_BORDERS_HZ)
  outside = {"low": pitch - low, "high": high - pitch}
  outside["middle"] = max(low - pitch, pitch - high)
  return ramp(outside.get(truth.get("pitch", ""), 0.0), 0.5, 0.0)


def _fast_or_slow(truth: Truth, octaves_above: float) -> float:
  sign = 1 if truth["speed"] == "fast" else -1
  return ramp(sign * octaves_above, -0.4, 0.4)
