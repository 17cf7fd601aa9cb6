"""Training a codec: energy distance, codebooks, and an optional adversary."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from siren_jax.codec import discriminators, losses
from siren_jax.codec import model as codec_model
from siren_jax.codec.config import CodecConfig
from siren_jax.codec.quantizer import Quantized
from siren_jax.common.errors import UserError
from siren_jax.common.rng import named_key
from siren_jax.training import (
  OptimizerConfig,
  Sounds,
  TrainState,
  averaged,
  make_optimizer,
)
from siren_jax.training.task import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class CodecLossConfig:
  """Weights of the losses, relative to the energy distance.

  Attributes:
    swing: of the steadiness of the noise.
    loudness: of the mean power of bands.
    pitch, lines: of the pitches of voices and the levels of their harmonics.
    commitment, codebook, rebuilding: of the quantizer.
    full_depth: share of the examples that use all codebooks.
    bypass: share that are not quantized; the rest use a random number of
      codebooks (quantizer dropout).
    dead_usage: a code chosen less often than this share of the mean restarts at
      a residual of the batch.
    usage_decay: of the moving average of code usage.
    adversarial, feature: of the discriminators; 0 trains none.
    adversarial_start: step at which adversarial training starts.
    discriminator_windows, discriminator_width: their sizes.
    lock_codes: train the decoder only and keep the codes fixed, so that experts
      trained on them stay valid.
  """

  swing: float = 20.0
  loudness: float = 0.0
  pitch: float = 0.3
  lines: float = 0.3
  commitment: float = 0.1
  codebook: float = 1.0
  rebuilding: float = 1.0
  full_depth: float = 0.6
  bypass: float = 0.2
  dead_usage: float = 0.03
  usage_decay: float = 0.98
  adversarial: float = 0.0
  feature: float = 1.0
  adversarial_start: int = 0
  discriminator_windows: tuple[int, ...] = (256, 512, 1024)
  discriminator_width: int = 24
  lock_codes: bool = False

  def __post_init__(self) -> None:
    for name in ("full_depth", "bypass", "dead_usage", "usage_decay"):
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(
          f"codec loss {name}={getattr(self, name)}: must be in [0, 1]"
        )
    if self.full_depth + self.bypass > 1:
      raise UserError(
        f"codec loss full_depth={self.full_depth}, bypass={self.bypass}: shares"
        " of the same examples; their sum must be at most 1"
      )
    if self.adversarial < 0 or self.feature < 0:
      raise UserError(
        f"codec loss adversarial={self.adversarial}, feature={self.feature}: "
        "must not be negative; 0 switches the discriminators off"
      )


@dataclasses.dataclass(frozen=True)
class CodecTask:
  """Task (training.task) of batches {'audio_BxS'}, S a multiple of the hop.

  Attributes:
    config, loss, optimizer, ema_decay: settings.
    start: initial parameters; None: random ones.
  """

  config: CodecConfig
  loss: CodecLossConfig
  optimizer: OptimizerConfig
  ema_decay: float = 0.0
  start: Any = dataclasses.field(default=None, compare=False)

  @property
  def _adversary(self) -> discriminators.Discriminators:
    return discriminators.Discriminators(
      self.loss.discriminator_windows, self.loss.discriminator_width
    )

  @property
  def _tx(self) -> optax.GradientTransformation:
    trains = _of_decoder if self.loss.lock_codes else None
    return make_optimizer(self.optimizer, trains=trains)

  def init(self, key: jax.Array) -> TrainState:
    params = self.start
    if params is None:
      params = codec_model.init(named_key(key, "codec"), self.config)
    c = self.config
    extra = {"usage_NxV": jnp.ones((c.num_codebooks, c.codebook_size))}
    if self.loss.adversarial:
      audio = jnp.zeros((1, 4 * c.hop))
      adversary = self._adversary.init(named_key(key, "adversary"), audio)
      adversary = adversary["params"]
      tx = make_optimizer(self.optimizer)
      extra |= {"adversary": adversary, "adversary_opt": tx.init(adversary)}
    return TrainState.create(params, self._tx, extra, ema=self.ema_decay > 0)

  def step(
    self, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """Updates the codec, then the adversary if any, then dead codes."""
    audio_BxS = batch["audio_BxS"]
    if not self.loss.adversarial:
      return self._step(state, audio_BxS, key, adversarial=False)
    return jax.lax.cond(
      state.step >= self.loss.adversarial_start,
      lambda: self._step(state, audio_BxS, key, adversarial=True),
      lambda: self._step(state, audio_BxS, key, adversarial=False),
    )

  def _step(
    self,
    state: TrainState,
    audio_BxS: jax.Array,
    key: jax.Array,
    adversarial: bool,
  ) -> tuple[TrainState, Metrics]:
    tx = self._tx
    grad = jax.grad(self._codec_loss, has_aux=True)
    adversary = state.extra["adversary"] if adversarial else None
    grads, (metrics, quantized, rendered) = grad(
      state.params, adversary, audio_BxS, key
    )
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    extra = dict(state.extra)
    if not self.loss.lock_codes:
      params, extra["usage_NxV"], metrics["dead_codes"] = (
        self._restart_dead_codes(
          params, extra["usage_NxV"], quantized, named_key(key, "revive")
        )
      )
    metrics["grad_norm"] = optax.global_norm(grads)
    if adversarial:
      extra, judge = self._train_adversary(extra, audio_BxS, rendered)
      metrics["judge"] = judge
    elif self.loss.adversarial:
      metrics["judge"] = jnp.zeros(())
    ema = averaged(state.ema, params, self.ema_decay, state.step)
    return (
      state.replace(params=params, opt_state=opt_state, extra=extra, ema=ema),
      metrics,
    )

  def _codec_loss(
    self, params: Any, adversary: Any, audio_BxS: jax.Array, key: jax.Array
  ) -> tuple[jax.Array, tuple[Metrics, Quantized | None, jax.Array]]:
    module, variables = codec_model.module(self.config), {"params": params}
    quantized: Any = None
    if self.loss.lock_codes:  # Train on the codes of `encode`.
      codes = codec_model.encode(params, self.config, audio_BxS)
      latents: Any = module.apply(variables, codes, method="embed")
      latents = jax.lax.stop_gradient(latents)
    else:
      depth_B = self._depths(len(audio_BxS), key)
      quantized = module.apply(variables, audio_BxS, depth_B, method="quantize")
      latents = quantized.latents_BxTxF
    rendered: Any = module.apply(
      variables, latents, audio_BxS, key, method="renderings"
    )
    target, one, other = (
      losses.spectra(x, self.config.sample_rate)
      for x in (audio_BxS, *rendered[:2])
    )
    energy = losses.energy_distance(target, one, other)
    measured, drawn, steady = (
      losses.band_levels(x, self.config.hop_length, self.config.sample_rate)
      for x in (audio_BxS, rendered.one_BxS, rendered.steady_BxS)
    )
    swing = _mean_error(losses.swing, measured, steady)
    loudness = _mean_error(losses.loudness, measured, drawn)
    total = energy + self.loss.swing * swing + self.loss.loudness * loudness
    for name, loss in rendered.losses.items():
      total += getattr(self.loss, name) * loss
    metrics = {
      **rendered.losses,
      "energy_distance": energy,
      "mel_distance": losses.mel_distance(target, one),
      "swing": swing,
      "loudness": loudness,
    }
    if quantized is not None:
      for name in ("commitment", "codebook", "rebuilding"):
        total += getattr(self.loss, name) * getattr(quantized, name)
      metrics["codebook"] = quantized.codebook
      metrics["residual"] = quantized.residual
    if adversary is not None:
      real, fake = (
        self._features(adversary, x) for x in (audio_BxS, rendered.one_BxS)
      )
      total += self.loss.adversarial * (
        discriminators.generator_loss(fake)
        + self.loss.feature * discriminators.feature_loss(real, fake)
      )
    return total, ({"loss": total, **metrics}, quantized, rendered.one_BxS)

  def _features(self, adversary: Any, audio_BxS: jax.Array) -> Any:
    """Features of every layer of every discriminator."""
    return self._adversary.apply({"params": adversary}, audio_BxS)

  def _depths(self, batch: int, key: jax.Array) -> jax.Array:
    """Number of codebooks of each example; one more than exist: bypass."""
    number = self.config.num_codebooks
    some = jax.random.randint(named_key(key, "depth"), (batch,), 1, number + 1)
    kind = jax.random.uniform(named_key(key, "kind"), (batch,))
    depth = jnp.where(kind < self.loss.full_depth, number, some)
    return jnp.where(kind > 1 - self.loss.bypass, number + 1, depth)

  def _train_adversary(
    self, extra: Any, audio_BxS: jax.Array, rendered_BxS: jax.Array
  ) -> tuple[Any, jax.Array]:
    rendered = jax.lax.stop_gradient(rendered_BxS)

    def loss(params: Any) -> jax.Array:
      return discriminators.discriminator_loss(
        self._features(params, audio_BxS), self._features(params, rendered)
      )

    judge, grads = jax.value_and_grad(loss)(extra["adversary"])
    tx = make_optimizer(self.optimizer)
    updates, opt = tx.update(grads, extra["adversary_opt"], extra["adversary"])
    adversary = optax.apply_updates(extra["adversary"], updates)
    return extra | {"adversary": adversary, "adversary_opt": opt}, judge

  def _restart_dead_codes(
    self,
    params: Any,
    usage_NxV: jax.Array,
    quantized: Quantized,
    key: jax.Array,
  ) -> tuple[Any, jax.Array, jax.Array]:
    """Moves unused codes to residuals of this batch.

    Axis I: all its B * T frames.
    """
    codes_NxI = jnp.moveaxis(quantized.codes_BxNxT, 1, 0).reshape(
      len(usage_NxV), -1
    )
    residuals_NxIx8 = quantized.projected_NxBxTx8.reshape(
      *codes_NxI.shape, self.config.code_dim
    )
    mean = codes_NxI.shape[1] / self.config.codebook_size
    counts = jax.vmap(lambda c: jnp.zeros(usage_NxV.shape[1]).at[c].add(1))
    decay = self.loss.usage_decay
    usage = decay * usage_NxV + (1 - decay) * counts(codes_NxI) / mean
    dead_NxV = usage < self.loss.dead_usage
    picks = jax.random.randint(key, usage.shape, 0, codes_NxI.shape[1])
    norms_NxIx1 = jnp.linalg.norm(residuals_NxIx8, axis=-1, keepdims=True)
    # The length of an outlier would harm all residuals with a similar angle.
    usual = jnp.mean(norms_NxIx1, 1, keepdims=True) / (norms_NxIx1 + 1e-6)
    residuals_NxIx8 = residuals_NxIx8 * jnp.minimum(1.0, usual)
    replacements = jnp.take_along_axis(residuals_NxIx8, picks[..., None], 1)
    stages = dict(params["quantizer"])
    for n in range(len(usage)):
      stage = stages[f"stage_{n}"]
      codebook = jnp.where(
        dead_NxV[n, :, None], replacements[n], stage["codebook"]
      )
      stages[f"stage_{n}"] = stage | {"codebook": codebook}
    # A restarted code gets some time before it can count as dead again.
    usage = jnp.where(dead_NxV, 0.3, usage)
    dead = jnp.sum(dead_NxV).astype(jnp.float32)
    return params | {"quantizer": stages}, usage, dead

  @property
  def sounds(self) -> Sounds:
    """Recordings and their reconstructions by `decode`."""
    return Sounds(self._sounds, self.config.sample_rate)

  def _sounds(
    self, state: TrainState, batch: Batch, rows: int
  ) -> dict[str, jax.Array]:
    params, audio_BxS = state.eval_params, batch["audio_BxS"][:rows]
    codes = codec_model.encode(params, self.config, audio_BxS)
    return {
      "recording": audio_BxS,
      "reconstruction": codec_model.decode(params, self.config, codes),
    }

  def evaluate(self, state: TrainState, batch: Batch) -> Metrics:
    """Mel distance of reconstructions by `decode`."""
    params, audio_BxS = state.eval_params, batch["audio_BxS"]
    codes = codec_model.encode(params, self.config, audio_BxS)
    audio = codec_model.decode(params, self.config, codes)
    rate = self.config.sample_rate
    spectra = [losses.spectra(x, rate) for x in (audio_BxS, audio)]
    return {"mel_distance": losses.mel_distance(*spectra)}


def _mean_error(
  measure: Callable[[jax.Array], jax.Array], one: jax.Array, other: jax.Array
) -> jax.Array:
  """Mean absolute difference of a measure of both."""
  return jnp.mean(jnp.abs(measure(one) - measure(other)))


def _of_decoder(path: tuple[Any, ...]) -> bool:
  """Whether a parameter belongs to the decoder."""
  return path[0] == "decoder"
