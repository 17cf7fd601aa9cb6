"""Checks users' arguments; turns them into rows and keys of the sampler."""

import collections
import dataclasses
import functools
import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import loudness as levels
from siren_jax.common import text
from siren_jax.common.errors import UserError
from siren_jax.common.rng import check_seed, named_key
from siren_jax.sampling import SamplingConfig

MAX_SAMPLE = 2**31
MAX_SECONDS = 24 * 3600.0
_ROUNDED_SECONDS = 0.0005
_EXAMPLE = 'describe a sound, such as "a dog barking"'


def rows_of(
  prompts: Sequence[str], num_samples: int, first: int
) -> list[tuple[str, int]]:
  """Prompt and sample number of each sound.

  Raises:
    UserError: there are no prompts, or a number is out of range.
  """
  if num_samples < 1:
    raise UserError(f"num_samples {num_samples}: ask for at least 1")
  if not 0 <= first < MAX_SAMPLE:
    raise UserError(f"sample {first}: must be 0 or more and below {MAX_SAMPLE}")
  following: dict[str, Iterator[int]] = collections.defaultdict(
    lambda: itertools.count(first)
  )
  return [
    (prompt, next(following[prompt]))
    for prompt in prompts
    for _ in range(num_samples)
  ]


def root_key(key: jax.Array | int, purpose: str = "") -> jax.Array:
  """A typed key from a typed key, a legacy key or a seed.

  Args:
    key: one of them.
    purpose: gives a key of its own; "": the key as it is.

  Raises:
    UserError: the seed is out of range.
  """
  if not isinstance(key, jax.Array):
    check_seed(key)
    root = _key_of(jax.device_put(np.uint32(key)))
  elif jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
    root = key
  else:
    root = jax.random.wrap_key_data(key)  # from jax.random.PRNGKey
  return _named_key(root, purpose) if purpose else root


_key_of = jax.jit(jax.random.key)
_named_key = jax.jit(named_key, static_argnames="name")


def keys_of(
  root: jax.Array, rows: Sequence[tuple[str, int]], candidates: int
) -> jax.Array:
  """Random keys [B, G], for each sample of each prompt and its candidates.

  A prompt's key depends on a checksum of its text, so that the prompts of a
  call use independent random numbers.
  """
  sums, numbers = zip(*((zlib.crc32(p.encode()), n) for p, n in rows))
  of_rows = np.array([sums, numbers], np.uint32)
  return _keys_of(root, *jax.device_put(tuple(of_rows)), candidates)


@functools.partial(jax.jit, static_argnums=3)
def _keys_of(
  root: jax.Array, sums_B: jax.Array, numbers_B: jax.Array, candidates: int
) -> jax.Array:
  keys_B = jax.vmap(jax.random.fold_in, (None, 0))(root, sums_B)
  keys_B = jax.vmap(jax.random.fold_in)(keys_B, numbers_B)
  if candidates == 1:
    return keys_B[:, None]
  return jax.vmap(lambda key: jax.random.split(key, candidates))(keys_B)


def words_of(prompts: str | Sequence[str] | None, recording: bool) -> list[str]:
  """Checked prompts; "" stands for none, which needs a recording.

  Raises:
    UserError: see `checked_prompts`.
  """
  if prompts is None and recording:
    return [""]
  return checked_prompts([] if prompts is None else prompts)


def checked_prompts(prompts: str | Sequence[str]) -> list[str]:
  """Prompts in normalised Unicode, stripped.

  Raises:
    UserError: there are none, or one is blank or not text.
  """
  prompts = [prompts] if isinstance(prompts, str) else list(prompts)
  if not prompts:
    raise UserError(f"no prompt; {_EXAMPLE}")
  for i, prompt in enumerate(prompts):
    if not isinstance(prompt, str):
      raise UserError(f"prompt {i + 1}, {prompt!r}: not text; {_EXAMPLE}")
    if not prompt.strip():
      raise UserError(f"prompt {i + 1} is empty; {_EXAMPLE}")
    if not text.is_text(prompt):
      raise UserError(f"prompt {i + 1}, {prompt!r}: not valid Unicode text")
  # Equal text is the same prompt, however its letters are composed.
  return [text.normal(prompt.strip()) for prompt in prompts]


def checked_audio(audio_S: jax.Array | np.ndarray | None) -> np.ndarray:
  """A recording, float32 [S]; empty for none.

  Raises:
    UserError: wrong shape or type, empty, or NaN or infinite samples.
  """
  if audio_S is None:
    return np.zeros(0, np.float32)
  audio = _floats(audio_S)
  if audio.ndim != 1 or not audio.size:
    raise UserError(
      f"recording of shape {list(audio.shape)}; give mono samples [S]"
    )
  if not np.isfinite(audio).all():
    raise UserError("the recording contains NaN or infinite samples")
  return audio


def checked_batch(audio: jax.Array | np.ndarray) -> np.ndarray:
  """Sounds, float32 [B, S], from [B, S] or [S].

  Raises:
    UserError: wrong shape or type, or empty.
  """
  audio_BxS = np.atleast_2d(_floats(audio))
  if audio_BxS.ndim != 2 or not audio_BxS.size:
    raise UserError(
      f"audio of shape {list(audio_BxS.shape)}; give samples [S] or [B, S]"
    )
  return audio_BxS


def _floats(audio: jax.Array | np.ndarray) -> np.ndarray:
  """Samples as float32."""
  samples = np.asarray(audio)
  if not jnp.issubdtype(samples.dtype, jnp.floating):
    raise UserError(
      f"audio of type {samples.dtype}: give floats in [-1, 1], such as 16-bit"
      " samples divided by 32768"
    )
  return samples.astype(np.float32)


def hole_in(start: float, end: float, length: float) -> tuple[float, float]:
  """A hole in a recording, cut at its end; all in seconds.

  The end may lie a rounded millisecond beyond the recording.

  Raises:
    UserError: it does not lie in the recording.
  """
  if not 0 <= start < min(end, length) or end > length + _ROUNDED_SECONDS:
    raise UserError(
      f"part from {start} to {end} s: must satisfy 0 <= start < end <="
      f" {length:.3f} s, the length of the recording"
    )
  return start, min(end, length)


def num_samples_in(seconds: float, sample_rate: int) -> int:
  """Number of audio samples in `seconds`, at least one.

  Raises:
    UserError: not above 0, or too many.
  """
  if not 0 < seconds <= MAX_SECONDS:
    raise UserError(
      f"seconds {seconds}: must be above 0 and at most {MAX_SECONDS:g}"
    )
  return max(1, round(seconds * sample_rate))


def frames_of(num_samples: int, hop: int) -> int:
  """Number of codec frames that hold `num_samples` samples."""
  return math.ceil(num_samples / hop)


def loudness_of(
  loudness: float | None | EllipsisType, recording: bool
) -> float | None:
  """Target loudness of sounds in LUFS; None leaves their level as it is.

  Raises:
    UserError: it is out of range.
  """
  if loudness is ...:
    return None if recording else levels.TARGET
  levels.check_target(loudness)
  return loudness


def changed(
  method: SamplingConfig, settings: Mapping[str, Any]
) -> SamplingConfig:
  """A method with some of its settings changed.

  Raises:
    UserError: there is no such setting, or a value is out of range.
  """
  try:
    return dataclasses.replace(method, **settings)
  except TypeError as error:
    names = [f.name for f in dataclasses.fields(method)]
    raise UserError(
      f"unknown setting in {sorted(settings)}; known: {', '.join(names)}"
    ) from error
