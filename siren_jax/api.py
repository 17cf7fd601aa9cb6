"""Siren for users: words to sound, sound to codes, codes to sound."""

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax import clap, experts, sampling
from siren_jax.clap import tokenizer
from siren_jax.codec import checks
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.weights import bundle as bundles

BATCH_SIZE = 8  # sounds drawn at a time; over a mesh, by each of its parts
MAX_SEED = 2**32


def load(
  model: str | os.PathLike | None = None,
  mesh: meshes.MeshConfig | None = None,
) -> "Siren":
  """Loads a bundle: a folder, the name of one that ships, or the default one.

  Args:
    model: which bundle.
    mesh: makes sounds on all devices: rows over data and fsdp, experts over
      expert, heads over model. None: on one.

  Raises:
    UserError: there is no such bundle, or it is broken; or the mesh does not
      fit the devices or the experts.
  """
  return Siren(bundles.load(model), mesh)


class Siren:
  """A bundle ready for use; all methods are pure in their arguments."""

  def __init__(
    self, bundle: bundles.Bundle, mesh: meshes.MeshConfig | None = None
  ):
    self.bundle = bundle
    self._models = bundle.models
    self._ways, self._over_mesh, shardings = 1, contextlib.nullcontext, None
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
    self,
    prompts: str | Sequence[str],
    seconds: float = 5.0,
    *,
    key: jax.Array | int = 0,
    num_samples: int = 1,
    candidates: int | None = None,
    **settings: Any,
  ) -> np.ndarray:
    """Makes `num_samples` sounds of every prompt.

    Args:
      prompts: one description, or several.
      seconds: length of each sound.
      key: random key or seed. Sound i of a prompt is drawn with
        `fold_in(key, i)`, whatever else is in the batch.
      num_samples: sounds a prompt.
      candidates: draw so many for each sound and keep the one whose CLAP
        embedding is nearest to the prompt's; None: as the bundle says.
      **settings: fields of `SamplingConfig` that differ from the bundle's
        (temperature, top_k, top_p, guidance, ...).

    Returns:
      audio_BxS float32 in [-1, 1] at `sample_rate`; B runs over the prompts
      and, within each, over its samples.

    Raises:
      UserError: a prompt is blank, or a setting is out of its range.
    """
    clips = self.clips(
      prompts,
      seconds,
      key=key,
      num_samples=num_samples,
      candidates=candidates,
      **settings,
    )
    return np.stack(list(clips))

  def clips(
    self,
    prompts: str | Sequence[str],
    seconds: float = 5.0,
    *,
    key: jax.Array | int = 0,
    num_samples: int = 1,
    candidates: int | None = None,
    **settings: Any,
  ) -> Iterator[np.ndarray]:
    """As `generate`, one audio_S after the other.

    Eight clips, candidates counted, are drawn at a time; over a mesh, by each
    device that has rows of its own.

    Wrong arguments are reported by this call, before the first clip.
    """
    prompts = _checked_prompts(prompts)
    config = self.sampling_config(**settings)
    num_frames, num_audio = self._lengths(seconds)
    if num_samples < 1:
      raise UserError(f"num_samples {num_samples}: ask for at least 1")
    candidates = self.num_candidates(candidates)
    key = key if isinstance(key, jax.Array) else _key_of_seed(key)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
      key = jax.random.wrap_key_data(key)  # of jax.random.PRNGKey
    rows = [(p, i) for p in range(len(prompts)) for i in range(num_samples)]
    words = self.bundle.clap
    ids_BxP, mask_BxP = tokenizer.tokenize(
      words.tokenizer, prompts, words.config.text.max_tokens
    )

    def batches() -> Iterator[np.ndarray]:
      most = max(1, BATCH_SIZE // candidates)
      size = self._ways * min(-(-len(rows) // self._ways), most)
      for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        # A short last batch is filled up: one program serves all of them.
        prompt, sample = np.array(batch + batch[-1:] * (size - len(batch))).T
        with self._over_mesh():
          audio_BxS = _generate(
            self._params,
            ids_BxP[prompt],
            mask_BxP[prompt],
            key,
            sample,
            config,
            models=self._models,
            candidates=candidates,
            num_frames=num_frames,
          )
        yield from np.asarray(audio_BxS)[: len(batch), :num_audio]

    return batches()

  def encode(self, audio: jax.Array | np.ndarray) -> np.ndarray:
    """Codes [B, N, T] int32 of audio [B, S] or [S] at `sample_rate`."""
    audio_BxS = np.atleast_2d(np.asarray(audio, np.float32))
    if audio_BxS.ndim != 2 or not audio_BxS.size:
      raise UserError(
        f"audio of shape {list(audio_BxS.shape)}; give samples [S] or [B, S]"
      )
    return np.asarray(self.bundle.codec.encode(audio_BxS))

  def decode(self, codes: jax.Array | np.ndarray) -> np.ndarray:
    """Audio [B, T * hop] float32 of codes [B, N, T] or [N, T]."""
    codes = np.asarray(codes)
    codes_BxNxT = codes[None] if codes.ndim == 2 else codes
    checks.check_codes(codes_BxNxT, self.bundle.codec.config)
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
    return experts.check_candidates(candidates)

  def _lengths(self, seconds: float) -> tuple[int, int]:
    """Codec frames to make, and audio samples to keep, for `seconds`."""
    if not 0 < seconds <= self.bundle.max_seconds:
      raise UserError(
        f"seconds {seconds:g}: this model makes more than 0 and at most "
        f"{self.bundle.max_seconds:g} seconds"
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


def _checked_prompts(prompts: str | Sequence[str]) -> list[str]:
  prompts = [prompts] if isinstance(prompts, str) else list(prompts)
  if not prompts:
    raise UserError('no prompt; describe a sound, such as "a dog barking"')
  for i, prompt in enumerate(prompts):
    if not prompt.strip():
      raise UserError(
        f'prompt {i + 1} is empty; describe a sound, such as "a dog barking"'
      )
  return prompts


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
  key: jax.Array,
  sample_B: jax.Array,
  method: sampling.SamplingConfig,
  *,
  models: sampling.Models,
  candidates: int,
  num_frames: int,
) -> jax.Array:
  """Token ids to audio [B, T * hop] as one program."""
  ids_BxP, mask_BxP, sample_B = (
    meshes.constrain(x, "batch") for x in (ids_BxP, mask_BxP, sample_B)
  )
  keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, sample_B)
  if candidates == 1:
    keys_BxG = keys_B[:, None]
  else:
    keys_BxG = jax.vmap(lambda key: jax.random.split(key, candidates))(keys_B)
  made = sampling.generate(
    params, models, method, ids_BxP, mask_BxP, keys_BxG, num_frames
  )
  if candidates == 1:
    return made.audio_BxS
  heard = clap.encode_audio(
    params["clap"], models.clap, made.audio_BxS, models.codec.sample_rate
  )
  fit = jnp.sum(made.text_BxE * heard, -1).reshape(-1, candidates)
  best_B = jnp.arange(len(fit)) * candidates + jnp.argmax(fit, 1)
  return made.audio_BxS[best_B]
