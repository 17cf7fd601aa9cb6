"""How far a sound is what its truth says, judged from the audio alone.

Our design. The score is graded, so that it can be a reward: a product of how
clearly each claim can be heard. Truths are described in
`siren_jax.data.synthetic.sounds`.
"""

from collections.abc import Callable
from typing import Any

import chex
import numpy as np

from siren_jax.alignment import hearing
from siren_jax.alignment.hearing import Heard, ramp
from siren_jax.common.errors import UserError
from siren_jax.data.captions import describe
from siren_jax.data.synthetic import sounds

_SILENT_PEAK = 1e-4
_SHORTEST_SECONDS = 0.1
# Borders between low, middle and high, and slow and fast: the middle of the
# gaps that the makers leave.
_PITCH_BORDERS_HZ = (330.0, 1130.0)
_NOISE_BORDERS_HZ = (420.0, 2500.0)
_TREMOLO_BORDER_HZ = 4.9
_CLICK_BORDER_HZ = 3.7
_CUTS = 8  # gaps tried as the border of a sequence
_NO_GAP = 0.6  # factor where the parts are not set apart
_MISCOUNT = 0.35  # factor for each event too many or too few


def verify(
  truth: dict[str, Any], audio_S: np.ndarray, sample_rate: int
) -> float:
  """Score in [0, 1]; 1 where all that `truth` claims can be heard.

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
    raise UserError(f"truth of kind {kind!r}; known: {', '.join(known)}")
  audio_S = np.nan_to_num(np.asarray(audio_S, np.float64))
  if len(audio_S) < _SHORTEST_SECONDS * sample_rate:
    return 0.0
  if np.abs(audio_S).max() < _SILENT_PEAK:
    return 0.0
  if kind == "sequence":
    return _sequence(truth["parts"], audio_S, sample_rate)
  if kind == "mixture":
    return _mixture(truth["parts"], audio_S, sample_rate)
  return float(_CHECKS[kind](truth, hearing.listen(audio_S, sample_rate)))


def _sequence(parts, audio_S, sample_rate: int) -> float:
  """The best score over the places where the first part may end."""
  level_T = hearing.level(audio_S, sample_rate)
  hop = round(hearing.HOP_SECONDS * sample_rate)
  best = 0.0
  for cut, weight in _cuts(level_T):
    sides = (audio_S[: cut * hop], audio_S[cut * hop :])
    peaks = (level_T[:cut].max(), level_T[cut:].max())
    scores = [
      # Faint remains of the other part are no part.
      ramp(peak, -25, -15) * verify(part, side_S, sample_rate)
      for part, side_S, peak in zip(parts, sides, peaks, strict=True)
    ]
    best = max(best, weight * _both(*scores))
  return best


def _cuts(level_T: np.ndarray) -> list[tuple[int, float]]:
  """(frame, weight) of the longest gaps; without any, points about halfway."""
  events = describe.bursts(level_T, -18, -24)
  gaps = [
    (start - end, (end + start) // 2)
    for (_, end), (start, _) in zip(events, events[1:], strict=False)
  ]
  if gaps:
    return [(cut, 1.0) for _, cut in sorted(gaps, reverse=True)[:_CUTS]]
  first, end = events[0]
  return [
    (first + round((end - first) * share), _NO_GAP) for share in (0.4, 0.5, 0.6)
  ]


def _mixture(parts, audio_S, sample_rate: int) -> float:
  """Each part in what is left when the other is taken out."""
  clicks = parts[0]["kind"] == "clicks"
  sides = hearing.separate(audio_S, sample_rate, clicks)
  total = np.sum(audio_S**2)
  scores = []
  for part, side_S in zip(parts, sides, strict=True):
    share_db = 10 * np.log10(np.sum(side_S**2) / total + 1e-12)
    heard = ramp(share_db, -35, -20)
    scores.append(heard * verify(part, side_S, sample_rate))
  return _both(*scores)


def _both(first: float, second: float) -> float:
  """Near the geometric mean, with a little for one part alone."""
  return 0.8 * (first * second) ** 0.5 + 0.1 * (first + second)


# One check for each kind: (truth, heard) -> score.
def _tone(truth, heard):
  score = hearing.steady_pitch(heard) * hearing.lasting(heard)
  return score * hearing.steady_level(heard) * _pitch(truth, heard)


def _beeps(truth, heard):
  events = hearing.events(heard)
  inside_T = hearing.inside(events, heard)
  same = ramp(np.std(np.log2(heard.hz_T[inside_T])), 0.5, 0.15)
  score = same * ramp(heard.tonality_T[inside_T].mean(), 0.4, 0.65)
  return score * _counted(events, truth, heard) * _pitch(truth, heard)


def _bursts(truth, heard):
  events = hearing.events(heard)
  inside_T = hearing.inside(events, heard)
  noisy = ramp(heard.tonality_T[inside_T].mean(), 0.6, 0.35)
  return noisy * _counted(events, truth, heard)


def _sweep(truth, heard):
  frames, pitch_T = hearing.pitch_track(heard)
  if len(frames) < 10:
    return 0.0
  slope, start = np.polyfit(frames, pitch_T, 1)
  rest_T = pitch_T - (slope * frames + start)
  straight = 1 - np.mean(rest_T**2) / max(np.var(pitch_T), 1e-9)
  octaves = slope * (frames[-1] - frames[0])
  octaves *= 1 if truth["direction"] == "up" else -1
  score = hearing.tonal(heard) * hearing.lasting(heard)
  return score * ramp(straight, 0.5, 0.85) * ramp(octaves, 0.1, 0.8)


def _chord(truth, heard):
  chroma = hearing.chroma(heard)
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
  # Three notes and little else, all there, and no other triad fits better.
  score = ramp(notes.sum(), 0.5, 0.8) * ramp(notes.min(), 0.04, 0.14)
  score *= ramp(notes.sum() - rest, -0.1, 0.05)
  return score * hearing.lasting(heard)


def _tremolo(truth, heard):
  depth, hz = hearing.wobble(heard)
  speed = np.log2(hz / _TREMOLO_BORDER_HZ)
  score = hearing.steady_pitch(heard) * hearing.lasting(heard)
  return score * ramp(depth, 0.12, 0.25) * _fast_or_slow(truth, speed)


def _siren(truth, heard):
  frames, pitch_T = hearing.pitch_track(heard)
  if len(frames) < 30:
    return 0.0
  low, high = np.percentile(pitch_T, [10, 90])
  place_T = (pitch_T - low) / max(high - low, 0.05)
  upper_T = place_T[np.abs(place_T - 0.5) > 0.25] > 0.5
  turns = np.count_nonzero(np.diff(upper_T))
  between = np.mean((place_T > 0.2) & (place_T < 0.8))
  style = ramp(between, 0.15, 0.3)
  style = style if truth["style"] == "wailing" else 1 - style
  score = hearing.tonal(heard) * hearing.lasting(heard)
  return score * ramp(high - low, 0.12, 0.25) * ramp(turns, 0.5, 2) * style


def _clicks(truth, heard):
  rate, regularity = describe.regular_rate(heard.level_T)
  events = hearing.events(heard)
  if rate == 0:
    return 0.0
  if "rate_hz" in truth:
    right = ramp(abs(np.log2(rate / truth["rate_hz"])), 0.4, 0.1)
  else:
    right = _fast_or_slow(truth, np.log2(rate / _CLICK_BORDER_HZ))
  score = ramp(hearing.event_seconds(events), 0.09, 0.05)
  score *= ramp(hearing.longest_seconds(heard), 0.5, 0.15)
  tonality = heard.tonality_T[hearing.inside(events, heard)].mean()
  return score * ramp(tonality, 0.7, 0.5) * ramp(regularity, 0.15, 0.5) * right


def _noise(truth, heard):
  power_F = heard.power_TxF[heard.active_T].mean(0)
  power_F = power_F / power_F.sum()
  if truth["band"] == "full":
    density = [part.mean() for part in np.array_split(power_F[3:-20], 6)]
    right = ramp(10 * np.log10(min(density) / max(density)), -20, -8)
  else:
    borders = np.searchsorted(heard.freqs_F, _NOISE_BORDERS_HZ)
    shares = [part.sum() for part in np.split(power_F, borders)]
    share = shares[("low", "middle", "high").index(truth["band"])]
    right = ramp(share, 0.72, 0.92)
  noisy = ramp(hearing.mean_tonality(heard), 0.8, 0.62)
  return noisy * hearing.lasting(heard) * hearing.steady_level(heard) * right


_CHECKS: dict[str, Callable[[dict[str, Any], Heard], float]] = {
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


def _counted(events: list[tuple[int, int]], truth, heard: Heard) -> float:
  """Right number of events, all of them short."""
  score = ramp(hearing.event_seconds(events), 0.02, 0.05)
  score *= ramp(hearing.longest_seconds(heard), 0.8, 0.5)
  return score * _MISCOUNT ** abs(len(events) - truth["count"])


def _pitch(truth, heard: Heard) -> float:
  """The claimed pitch, if one is claimed."""
  _, pitch_T = hearing.pitch_track(heard)
  if len(pitch_T) == 0:
    return 0.0
  pitch = np.median(pitch_T)
  if "hz" in truth:
    return ramp(12 * abs(pitch - np.log2(truth["hz"])), 3.0, 0.5)
  low, high = np.log2(_PITCH_BORDERS_HZ)
  outside = {"low": pitch - low, "high": high - pitch}
  outside["middle"] = max(low - pitch, pitch - high)
  return ramp(outside.get(truth.get("pitch"), 0.0), 0.5, 0.0)


def _fast_or_slow(truth, octaves_above: float) -> float:
  sign = 1 if truth["speed"] == "fast" else -1
  return ramp(sign * octaves_above, -0.4, 0.4)
