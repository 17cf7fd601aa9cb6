"""Streams a sound to standard output while it is generated."""

from collections.abc import Iterator, Sequence
from typing import Any

from siren_jax.cli import outputs, runtime
from siren_jax.cli.sounds import closest, flags
from siren_jax.cli.sounds.recordings import Recording
from siren_jax.common.errors import UserError


def write(
  prompts: Sequence[str],
  model: str | None,
  seconds: float | None,
  seed: int,
  *,
  recording: Recording | None = None,
  gain: float = 0.0,
  mesh: str | None = None,
  dtype: str | None = None,
  expand: bool = True,
  **options: Any,
) -> None:
  """Streams a WAV of one sound to standard output until the pipe is closed.

  Args:
    prompts: one, or none to continue a recording without a prompt.
    model: the bundle; None is the default one.
    seconds: length; None: endless.
    recording: to continue.
    gain: in dB, before the limiter.
    mesh: axes and sizes. dtype, expand: see `api.load`.
    **options: see `api.Siren.stream`.
  """
  if len(prompts) > 1:
    raise UserError(
      f"{len(prompts)} prompts with --out -: a stream is one sound; give one"
      " prompt, or write files"
    )
  with outputs.standard_output() as file:
    from siren_jax import api
    from siren_jax.audio import loudness, wav_stream

    siren = api.load(model, flags.mesh(mesh), dtype=dtype, expand=expand)
    rate = siren.sample_rate
    closest.report(siren, prompts)
    limiter = loudness.Limiter(rate, gain)
    total = seconds
    if recording is not None:
      before_S, _ = recording.read(rate)
      options["continue_from"] = before_S
      total = None if seconds is None else seconds + len(before_S) / rate
    words = prompts[0] if prompts else None
    chunks = siren.stream(words, seconds, key=seed, **options)
    runtime.print_status("getting ready; new settings compile once ...")
    with runtime.SecondsBar(total) as bar:
      try:
        wav_stream.write(file, _limited(chunks, limiter, rate, bar), rate)
      except KeyboardInterrupt as stop:
        stop.add_note("the sound ends here")
        raise
    runtime.print_status(
      f"{limiter.count} samples beyond full scale were limited"
    )


def _limited(
  chunks: Iterator[Any], limiter: Any, rate: int, bar: runtime.SecondsBar
) -> Iterator[Any]:
  """Chunks after the limiter; updates the bar."""
  for chunk_S in chunks:
    yield limiter(chunk_S)
    bar.add(len(chunk_S) / rate)
