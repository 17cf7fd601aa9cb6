"""Source recordings, and how each one is used (continue, fill, vary)."""

import argparse
import dataclasses
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint

DONE = {"continue": "continued", "fill": "filled", "vary": "varied"}
KEEP = 4  # codebooks


@dataclasses.dataclass(frozen=True)
class Recording:
  """A source recording, and how it is used.

  Attributes:
    verb: "continue", "fill" or "vary".
    path: as given.
    fingerprint: of the file; None: any.
    hole: for "fill": its start and end in seconds.
    keep: for "vary": number of codebooks to keep.
  """

  verb: str
  path: str
  fingerprint: str | None = None
  hole: tuple[float, float] | None = None
  keep: int | None = None

  def __post_init__(self) -> None:
    if self.verb not in DONE:
      raise UserError(
        f"recording.verb={self.verb!r}: expected {', '.join(DONE)}"
      )
    for name, verb in (("hole", "fill"), ("keep", "vary")):
      if (getattr(self, name) is not None) != (self.verb == verb):
        raise UserError(
          f"recording.{name}={getattr(self, name)!r}: {verb} requires it, and"
          " nothing else takes it"
        )

  @property
  def words(self) -> str:
    """Replaces the prompt in the name of a sound without one."""
    return pathlib.Path(self.path).stem

  @property
  def done(self) -> str:
    """What was done, for the name of a sound."""
    return DONE[self.verb]

  def flags(self) -> list[str]:
    """The command-line flags for this use."""
    if self.hole is not None:
      return ["--fill", "{}:{}".format(*self.hole), self.path]
    keep = [] if self.keep is None else [f"--keep={self.keep}"]
    return [f"--{self.verb}={self.path}", *keep]

  def read(self, sample_rate: int) -> tuple[Any, "Recording"]:
    """Samples audio_S, and the recording with its fingerprint.

    Raises:
      UserError: it cannot be read or used, or has another fingerprint.
    """
    from siren_jax.audio import sound_files

    audio_S, notes = sound_files.read_audio(self.path, sample_rate)
    now = fingerprint.of_file(pathlib.Path(self.path))
    if self.fingerprint not in (None, now):
      raise UserError(
        f"{self.path}: fingerprint {fingerprint.short(now)}, but the sound was"
        f" made from {fingerprint.short(self.fingerprint)}; put that recording"
        " there, or use --continue, --fill or --vary"
      )
    for note in notes:
      runtime.print_status(f"{self.path}: {note}")
    return audio_S, dataclasses.replace(self, fingerprint=now)

  def change(
    self, siren: Any, audio_S: Any, prompt: str, **options: Any
  ) -> Any:
    """Its samples audio_S filled or varied, by an `api.Siren`."""
    words = prompt or None
    if self.hole is not None:
      return siren.fill(audio_S, *self.hole, words, **options)
    return siren.vary(audio_S, self.keep, words, **options)


def given(args: argparse.Namespace) -> Recording | None:
  """The recording from the flags, if there is one.

  Raises:
    UserError: the hole cannot be parsed.
  """
  if args.continue_from is not None:
    return Recording("continue", args.continue_from)
  if args.fill is not None:
    return Recording("fill", args.fill[1], hole=_hole(args.fill[0]))
  if args.vary is not None:
    keep = KEEP if args.keep is None else args.keep
    return Recording("vary", args.vary, keep=keep)
  return None


def _hole(text: str) -> tuple[float, float]:
  start, _, end = text.partition(":")
  try:
    return float(start), float(end)
  except ValueError:
    raise UserError(
      f"--fill {text}: give the start and end of the part in seconds, then the"
      " recording, as in --fill 2.0:3.5 clip.wav"
    ) from None
