"""Words for the truth of a synthetic sound: all of it, and nothing more."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Truth = Mapping[str, Any]

_NUMBERS = dict(enumerate("one two three four five six".split(), 1))
_NUMBERS |= {8: "eight", 10: "ten"}
_PITCHES = {
  "low": ("low", "deep", "low-pitched"),
  "middle": ("mid-range", "medium-pitched", "middle-pitched"),
  "high": ("high", "high-pitched"),
}
_SPEEDS = {"slow": ("slow",), "fast": ("fast", "rapid", "quick")}
_TONES = (
  "a {p} tone", "a steady {p} tone", "a long {p} tone", "one {p} note",
  "a continuous {p} tone", "a {p} tone that holds steady",
  "a sustained {p} note",
)  # fmt: skip
_HZ_TONES = (
  "a {hz} Hz tone", "a tone of {hz} hertz", "a steady {hz} Hz tone",
  "a test tone at {hz} Hz", "a steady tone with a frequency of {hz} hertz",
)  # fmt: skip
_ONE_BEEP = (
  "a single {p} beep", "one {p} beep", "just one {p} beep",
  "one short {p} beep", "a {p} beep, once",
)  # fmt: skip
_BEEPS = (
  "{n} {p} beeps", "{n} short {p} beeps", "{n} {p} beeps in a row",
  "a {p} beep repeated {n} times in all", "a series of {n} {p} beeps",
  "exactly {n} {p} beeps",
)  # fmt: skip
_SWEEPS = {
  "up": (
    "a rising tone", "a tone gliding up", "an upward sweep",
    "a sweep from low to high", "a pitch that keeps rising",
    "a tone going higher and higher", "a glide from a low to a high pitch",
  ),
  "down": (
    "a falling tone", "a tone gliding down", "a downward sweep",
    "a sweep from high to low", "a pitch that keeps falling",
    "a tone going lower and lower", "a glide from a high to a low pitch",
  ),
}  # fmt: skip
_CHORDS = (
  "a {c} chord", "a sustained {c} chord", "one long {c} chord",
  "the notes of a {c} chord together", "a {c} triad", "a held {c} chord",
)  # fmt: skip
_TREMOLO = (
  "a tone with {s} tremolo", "a tone trembling with a {s} pulse",
  "a {s} tremolo", "a note pulsating at a {s} pace", "a {s} pulsating tone",
  "a single note with a {s} wobble in loudness",
)  # fmt: skip
_SIRENS = {
  "wailing": (
    "a wailing siren", "a siren wailing up and down",
    "a siren rising and falling", "an emergency siren wailing",
    "a siren gliding up and down",
  ),
  "two-tone": (
    "a two-tone siren", "a siren switching between two notes",
    "a siren going nee-naw", "a hi-lo siren",
    "a European siren alternating two notes",
  ),
}  # fmt: skip
_RATE_CLICKS = (
  "{n} clicks per second", "clicks at {n} per second",
  "regular clicking, {n} clicks a second", "clicking {n} times a second",
  "a click track at {n} clicks per second",
)  # fmt: skip
_SPEED_CLICKS = (
  "{s} clicking", "{s} regular clicks", "a {s} click track",
  "a {s} series of clicks", "clicks at a {s} rate",
)  # fmt: skip
_NOISES = {
  "low": (
    "a low rumble", "a deep rumbling noise", "low-frequency noise",
    "a continuous deep rumble", "bass-heavy rumbling",
  ),
  "middle": (
    "mid-frequency noise", "band-passed noise in the middle range",
    "a steady mid-range noise", "noise without lows and highs",
  ),
  "high": (
    "a hiss", "a high hiss", "a steady hissing sound",
    "high-frequency noise", "a thin, high hissing noise",
  ),
  "full": (
    "white noise", "static", "full-range noise", "steady white noise",
    "broadband static noise",
  ),
}  # fmt: skip
_ONE_BURST = (
  "a single burst of noise", "one noise burst", "just one burst of static",
  "one short burst of white noise",
)  # fmt: skip
_BURSTS = (
  "{n} bursts of noise", "{n} noise bursts", "{n} short bursts of static",
  "{n} bursts of white noise in a row",
)  # fmt: skip
_SEQUENCES = (
  "{x}, then {y}", "{x} followed by {y}", "first {x}, then {y}",
  "{x} and after that {y}", "{y} after {x}", "{x} before {y}",
)  # fmt: skip
_MIXTURES = (
  "{x} over {y}", "{x} with {y} in the background", "{x} on top of {y}",
  "{x} together with {y}", "{x} mixed with {y}", "{x} against {y}",
)  # fmt: skip


def captions_of(truth: Truth) -> tuple[str, ...]:
  """Every wording of `truth` (see `siren_jax.data.synthetic.sounds`)."""
  kind = truth["kind"]
  if kind in ("sequence", "mixture"):
    forms = _SEQUENCES if kind == "sequence" else _MIXTURES
    first, second = (captions_of(part) for part in truth["parts"])
    # Not the whole product: walk through both lists side by side.
    pairs = zip(itertools.cycle(forms), first * 6, second * 7, strict=False)
    captions: Sequence[str] = [form.format(x=x, y=y) for form, x, y in pairs]
  else:
    captions = _WORDS[kind](truth)
  return tuple(dict.fromkeys(map(_tidy, captions)))


def _tone(truth: Truth) -> list[str]:
  if "hz" in truth:
    return [form.format(hz=truth["hz"]) for form in _HZ_TONES]
  return _fill(_TONES, p=_pitch(truth))


def _beeps(truth: Truth) -> list[str]:
  forms = _ONE_BEEP if truth["count"] == 1 else _BEEPS
  return _fill(forms, p=_pitch(truth), n=[_NUMBERS[truth["count"]]])


def _chord(truth: Truth) -> list[str]:
  quality = truth["quality"]
  return _fill(_CHORDS, c=[f"{truth.get('root', '')} {quality}"])


def _clicks(truth: Truth) -> list[str]:
  if "rate_hz" not in truth:
    return _fill(_SPEED_CLICKS, s=_SPEEDS[truth["speed"]])
  n = truth["rate_hz"]
  return _fill(_RATE_CLICKS, n=[str(n), _NUMBERS.get(n, str(n))])


def _bursts(truth: Truth) -> list[str]:
  forms = _ONE_BURST if truth["count"] == 1 else _BURSTS
  return _fill(forms, n=[_NUMBERS[truth["count"]]])


_WORDS: dict[str, Callable[[Truth], Sequence[str]]] = {
  "tone": _tone,
  "beeps": _beeps,
  "sweep": lambda truth: _SWEEPS[truth["direction"]],
  "chord": _chord,
  "tremolo": lambda truth: _fill(_TREMOLO, s=_SPEEDS[truth["speed"]]),
  "siren": lambda truth: _SIRENS[truth["style"]],
  "clicks": _clicks,
  "noise": lambda truth: _NOISES[truth["band"]],
  "bursts": _bursts,
}


def _pitch(truth: Truth) -> tuple[str, ...]:
  return _PITCHES[truth["pitch"]] if "pitch" in truth else ("",)


def _fill(forms: Sequence[str], **slots: Sequence[str]) -> list[str]:
  """Every form with every choice of its slots."""
  choices = [dict(zip(slots, c)) for c in itertools.product(*slots.values())]
  return [form.format(**choice) for form in forms for choice in choices]


def _tidy(caption: str) -> str:
  """One space between words; 'an' before a vowel sound."""
  caption = " ".join(caption.split()).replace(" ,", ",")
  return re.sub(r"\ba (?=[aeio]|[AEF]\b|8|11\b)", "an ", caption)
