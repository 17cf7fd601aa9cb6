"""Siren for users: words to sound, sound to codes, codes to sound."""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax import clap, experts, sampling
from siren_jax.audio import loudness as levels
from siren_jax.clap import tokenizer
from siren_jax.codec.model import check_codes
from siren_jax.common import mesh as meshes
from siren_jax.common import text
from siren_jax.common.errors import UserError
from siren_jax.weights import bundle as bundles

BATCH_SIZE = 4  # a sound of the shipped model, with its candidates
MAX_SEED = 2**32
MAX_SAMPLE = 2**31
FAINT = 0.01  # peak (-40 dBFS) of a candidate that is kept only among its like


class Sound(NamedTuple):
  """A sound that `Siren.sounds` made.

  Attributes:
    audio_S: float32 at the bundle's sample rate.
    prompt: what it was drawn for. sample: its number among that prompt's.
    clap_score: cosine of prompt and sound, as the codec gave it; None where
      there was nothing to choose from.
  """

  audio_S: np.ndarray
  prompt: str
  sample: int
  clap_score: float | None


def load(
  model: str | os.PathLike | None = None,
  mesh: meshes.MeshConfig | None = None,
  batch_size: int = BATCH_SIZE,
  execution: experts.Execution | None = None,
) -> "Siren":
  """Loads a bundle: a folder, the name of one that ships, or the default one.

  Args:
    model: which bundle.
    batch_size: sounds drawn at a time, candidates counted; over a mesh, by
      each device that has rows of its own. More is faster where there are
      many to draw. Another size may change the last bits of a sound.
    mesh: makes sounds on all devices: rows over data and fsdp, experts over
      expert, heads over model. None: on one.
    execution: how the experts are run, their precision for one. None: in
      float32, or as a bundle of before says, which kept it.

  Raises:
    UserError: there is no such bundle, or it is broken; the mesh does not fit
      the devices or the experts; or the batch size is below 1.
  """
  return Siren(bundles.load(model, execution), mesh, batch_size)


class Siren:
  """A bundle ready for use; all methods are pure in their arguments."""

  def __init__(
    self,
    bundle: bundles.Bundle,
    mesh: meshes.MeshConfig | None = None,
    batch_size: int = BATCH_SIZE,
  ):
    if batch_size < 1:
      raise UserError(f"batch_size {batch_size}: must be at least 1")
    self.bundle, self._batch_size = bundle, batch_size
    self._models = bundle.models
    self._ways, shardings = 1, None
    self._over_mesh: Callable[[], contextlib.AbstractContextManager[Any]] = (
      contextlib.nullcontext
    )
    if mesh is not None:
      devices = meshes.make_mesh(mesh)
      shardings = _shardings(bundle, devices)
      self._ways = meshes.batch_ways(devices)
      self._over_mesh = functools.partial(jax.set_mesh, devices)
    self._params = jax.device_put(bundle.all_params, shardings)

  @property
  def sample_rate(self) -> int:
    """Audio samples a second, of everything that goes in or comes out."""
    return self.bundle.codec.config.sample_rate

  def generate(
    self, prompts: str | Sequence[str], seconds: float = 5.0, **options: Any
  ) -> np.ndarray:
    """Makes sounds of every prompt.

    Args:
      prompts: one description, or several.
      seconds: length of each sound.
      **options: those of `sounds`.

    Returns:
      audio_BxS float32 at `sample_rate`; B runs over the prompts and, within
      each, over its samples.

    Raises:
      UserError: a prompt is blank, or a setting is out of its range.
    """
    return np.stack(list(self.clips(prompts, seconds, **options)))

  def clips(
    self, prompts: str | Sequence[str], seconds: float = 5.0, **options: Any
  ) -> Iterator[np.ndarray]:
    """As `generate`, one audio_S after the other."""
    sounds = self.sounds(prompts, seconds, **options)
    return (sound.audio_S for sound in sounds)

  def sounds(
    self,
    prompts: str | Sequence[str],
    seconds: float = 5.0,
    *,
    key: jax.Array | int = 0,
    num_samples: int = 1,
    sample: int = 0,
    candidates: int | None = None,
    loudness: float | None = levels.TARGET,
    **settings: Any,
  ) -> Iterator[Sound]:
    """Makes sounds, one after the other, with what is known of each.

    A sound follows from its prompt, its number among the samples of that
    prompt, the key and the settings. It is the same to the last bit alone and
    among others, with the same `batch_size` on the same machine.

    Args:
      prompts: one description, or several. Where one comes again, its samples
        are the next ones.
      seconds: length of each sound.
      key: random key or seed.
      num_samples: sounds of each prompt.
      sample: number of the first of them; makes the n-th sound alone.
      candidates: draw so many for each sound and keep the one whose CLAP
        embedding is nearest to the prompt's; None: as the bundle says.
      loudness: integrated loudness in LUFS that sounds are brought to, below a
        true peak of -1 dBTP, with ends faded over 5 ms; None leaves them as
        the codec gives them, and samples may lie beyond [-1, 1].
      **settings: fields of `SamplingConfig` that differ from the bundle's
        (temperature, top_k, top_p, guidance, ...).

    Raises:
      UserError: by this call, before the first sound; as `generate`.
    """
    prompts = _checked_prompts(prompts)
    config = self.sampling_config(**settings)
    num_frames, num_audio = self._lengths(seconds)
    candidates = self.num_candidates(candidates)
    levels.check_target(loudness)
    rows = _rows(prompts, num_samples, sample)
    keys = _keys(key, rows)
    words = self.bundle.clap
    ids_BxP, mask_BxP = tokenizer.tokenize(
      words.tokenizer,
      [prompt for prompt, _ in rows],
      words.config.text.max_tokens,
    )

    def draw(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      with self._over_mesh():
        drawn = _generate(
          self._params,
          ids_BxP[batch],
          mask_BxP[batch],
          keys[batch],
          config,
          models=self._models,
          candidates=candidates,
          num_frames=num_frames,
        )
      return jax.device_get(drawn)

    def sounds() -> Iterator[Sound]:
      # One size, filled up: one program makes a sound alone and among others.
      size = self._ways * max(1, self._batch_size // candidates)
      for start in range(0, len(rows), size):
        batch = np.minimum(np.arange(start, start + size), len(rows) - 1)
        audio_BxS, score_B = draw(batch)
        for i, (prompt, number) in enumerate(rows[start : start + size]):
          audio_S = audio_BxS[i, :num_audio]
          if loudness is not None:
            audio_S = levels.level(audio_S, self.sample_rate, loudness)
          score = float(score_B[i]) if candidates > 1 else None
          yield Sound(audio_S, prompt, number, score)

    return sounds()

  def encode(self, audio: jax.Array | np.ndarray) -> np.ndarray:
    """Codes [B, N, T] int32 of audio [B, S] or [S] at `sample_rate`."""
    audio_BxS = np.atleast_2d(np.asarray(audio, np.float32))
    if audio_BxS.ndim != 2 or not audio_BxS.size:
      raise UserError(
        f"audio of shape {list(audio_BxS.shape)}; give samples [S] or [B, S]"
      )
    return np.asarray(self.bundle.codec.encode(audio_BxS))

  def decode(self, codes: jax.Array | np.ndarray) -> np.ndarray:
    """Audio [B, T * hop] float32 of codes [B, N, T] or [N, T], not clipped."""
    codes = np.asarray(codes)
    codes_BxNxT = codes[None] if codes.ndim == 2 else codes
    check_codes(codes_BxNxT, self.bundle.codec.config)
    return np.asarray(self.bundle.codec.decode(codes_BxNxT))

  def sampling_config(self, **settings: Any) -> sampling.SamplingConfig:
    """The bundle's sampling settings, with `settings` in place of its own."""
    try:
      return dataclasses.replace(self.bundle.sampling, **settings)
    except TypeError as error:
      names = [f.name for f in dataclasses.fields(self.bundle.sampling)]
      raise UserError(
        f"unknown setting in {sorted(settings)}; known: {', '.join(names)}"
      ) from error

  def num_candidates(self, candidates: int | None = None) -> int:
    """How many are drawn for each sound; None: as the bundle says."""
    if candidates is None:
      return self.bundle.candidates
    return sampling.check_candidates(candidates)

  def _lengths(self, seconds: float) -> tuple[int, int]:
    """Codec frames to make, and audio samples to keep, for `seconds`."""
    if not 0 < seconds <= self.bundle.max_seconds:
      raise UserError(
        f"seconds {seconds}: this model makes more than 0 and at most "
        f"{self.bundle.max_seconds} seconds"
      )
    num_audio = max(1, round(seconds * self.sample_rate))
    return math.ceil(num_audio / self.bundle.codec.config.hop), num_audio


def _shardings(bundle: bundles.Bundle, mesh: jax.sharding.Mesh) -> Any:
  """Of `bundle.all_params`: the experts by the rules, the rest everywhere."""
  boxed = jax.eval_shape(
    lambda key: experts.init(key, bundle.config), jax.random.key(0)
  )
  everywhere = dict.fromkeys(bundle.all_params, meshes.replicated(mesh))
  return everywhere | {"experts": meshes.state_shardings(boxed, mesh)}


def _rows(
  prompts: Sequence[str], num_samples: int, first: int
) -> list[tuple[str, int]]:
  """Prompt and sample number of each sound."""
  if num_samples < 1:
    raise UserError(f"num_samples {num_samples}: ask for at least 1")
  if not 0 <= first < MAX_SAMPLE:
    raise UserError(f"sample {first}: give 0 or more, and below {MAX_SAMPLE}")
  following: dict[str, Iterator[int]] = collections.defaultdict(
    lambda: itertools.count(first)
  )
  return [
    (prompt, next(following[prompt]))
    for prompt in prompts
    for _ in range(num_samples)
  ]


def _keys(key: jax.Array | int, rows: Sequence[tuple[str, int]]) -> jax.Array:
  """Random keys [B]: of each prompt, and of each of its samples."""
  key = key if isinstance(key, jax.Array) else _key_of_seed(key)
  if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
    key = jax.random.wrap_key_data(key)  # of jax.random.PRNGKey
  sums, numbers = zip(*((zlib.crc32(p.encode()), n) for p, n in rows))
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  keys = fold(key, np.array(sums, np.uint32))
  return jax.vmap(jax.random.fold_in)(keys, np.array(numbers, np.uint32))


def _checked_prompts(prompts: str | Sequence[str]) -> list[str]:
  prompts = [prompts] if isinstance(prompts, str) else list(prompts)
  if not prompts:
    raise UserError('no prompt; describe a sound, such as "a dog barking"')
  for i, prompt in enumerate(prompts):
    if not prompt.strip():
      raise UserError(
        f'prompt {i + 1} is empty; describe a sound, such as "a dog barking"'
      )
    if not text.is_text(prompt):
      raise UserError(f"prompt {i + 1}, {prompt!r}: is not valid Unicode text")
  # The same words are the same prompt, however their letters are composed.
  return [text.normal(prompt.strip()) for prompt in prompts]


def _key_of_seed(seed: int) -> jax.Array:
  if not 0 <= seed < MAX_SEED:
    raise UserError(f"seed {seed}: give 0 or more, and below {MAX_SEED}")
  return jax.random.key(seed)


@functools.partial(
  jax.jit, static_argnames=("models", "candidates", "num_frames")
)
def _generate(
  params: dict[str, Any],
  ids_BxP: jax.Array,
  mask_BxP: jax.Array,
  keys_B: jax.Array,
  method: sampling.SamplingConfig,
  *,
  models: sampling.Models,
  candidates: int,
  num_frames: int,
) -> tuple[jax.Array, jax.Array]:
  """Token ids to audio [B, T * hop] and CLAP scores [B], as one program.

  Scores are zero where there is one candidate.
  """
  ids_BxP, mask_BxP, keys_B = (
    meshes.constrain(x, "batch") for x in (ids_BxP, mask_BxP, keys_B)
  )
  if candidates == 1:
    keys_BxG = keys_B[:, None]
  else:
    keys_BxG = jax.vmap(lambda key: jax.random.split(key, candidates))(keys_B)
  generated = sampling.generate(
    params, models, method, ids_BxP, mask_BxP, keys_BxG, num_frames
  )
  if candidates == 1:
    return generated.audio_BxS, jnp.zeros(len(generated.audio_BxS))
  audio_BxE = clap.encode_audio(
    params["clap"], models.clap, generated.audio_BxS, models.codec.sample_rate
  )
  score_BxG = jnp.sum(generated.text_BxE * audio_BxE, -1).reshape(
    -1, candidates
  )
  peak_BxG = jnp.max(jnp.abs(generated.audio_BxS), -1).reshape(-1, candidates)
  # A cosine is at least -1: what is all but silent comes after all the rest.
  fit = score_BxG - 2 * (peak_BxG < FAINT)
  best_B = jnp.argmax(fit, 1)
  audio_BxS = generated.audio_BxS[jnp.arange(len(fit)) * candidates + best_B]
  return audio_BxS, jnp.take_along_axis(score_BxG, best_B[:, None], 1)[:, 0]
