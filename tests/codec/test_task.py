"""The codec learns, revives dead codes and trains its adversary."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import codec
from siren_jax.codec import losses
from siren_jax.codec.task import CodecLossConfig, CodecTask
from siren_jax.common.errors import UserError
from siren_jax.training import OptimizerConfig, TrainState

DAC = codec.DacConfig(
  encoder_width=4,
  decoder_width=32,
  strides=(4, 5),
  num_codebooks=3,
  codebook_size=32,
  code_dim=4,
)


def _task(config, **loss):
  optimizer = OptimizerConfig(learning_rate=3e-3, warmup_steps=5, steps=1000)
  return CodecTask(config, CodecLossConfig(**loss), optimizer, ema_decay=0.9)


@pytest.fixture(scope="module")
def batch(tiny):
  time = np.arange(20 * tiny.hop) / tiny.sample_rate
  pitch = np.array([220.0, 440.0, 1000.0, 3000.0])
  tones = 0.3 * np.sin(2 * np.pi * pitch[:, None] * time)
  return {"audio_BxS": jnp.asarray(tones, jnp.float32)}


def _train(task, batch, steps):
  """States from the first to the last, and the metrics of each step."""
  states = [jax.jit(task.init)(jax.random.key(0))]
  step, history = jax.jit(task.step), []
  for i in range(steps):
    key = jax.random.fold_in(jax.random.key(1), i)
    state, metrics = step(states[-1].replace(step=jnp.int32(i)), batch, key)
    states.append(state)
    history.append(metrics)
  return states, history


def _distance(task, state, batch):
  return jax.jit(task.evaluate)(state, batch)["mel_distance"]


@pytest.fixture(scope="module")
def params(tiny):
  return jax.jit(codec.init, static_argnums=1)(jax.random.key(5), tiny)


@pytest.mark.long
def test_learns_tones(tiny, batch):
  task = _task(tiny)
  states, history = _train(task, batch, 60)
  assert history[-1]["mel_distance"] < 0.6 * history[0]["mel_distance"]
  assert _distance(task, states[-1], batch) < 1.0


@pytest.mark.long
def test_energy_sets_the_gain_and_swing_the_steadiness(tiny, batch, params):
  def gradients(swing):
    loss = _task(tiny, swing=swing)._codec_loss
    grads, _ = jax.jit(jax.grad(loss, has_aux=True))(
      params, None, batch["audio_BxS"], jax.random.key(1)
    )
    bias = grads["decoder"]["bands"]["bias"].reshape(-1, 2, tiny.bands)
    return bias[:, 0], bias[:, 1]

  gain, steadiness = gradients(0.0)
  assert jnp.all(steadiness == 0) and jnp.all(gain != 0)
  same_gain, steadiness = gradients(1.0)
  np.testing.assert_allclose(same_gain, gain, atol=1e-6)
  assert steadiness.sum() < 0  # Tones ask for steadier noise.


@pytest.mark.long
def test_locked_codes_stay(tiny, batch, params):
  searching = dataclasses.replace(tiny, beam=3)
  task = dataclasses.replace(_task(searching, lock_codes=True), start=params)
  states, _ = _train(task, batch, 3)
  after = states[-1].params
  for part in ("encoder", "quantizer"):
    jax.tree.map(np.testing.assert_array_equal, after[part], params[part])
  moved = jax.tree.map(
    lambda a, b: jnp.any(a != b), after["decoder"], params["decoder"]
  )
  assert all(jax.tree.leaves(moved))


@pytest.mark.long
def test_dead_codes_restart_at_residuals(tiny, batch):
  task = _task(tiny, dead_usage=0.2, usage_decay=0.5)
  states, history = _train(task, batch, 12)
  # 20 x 4 frames of four steady tones need a few codes of the 32.
  assert sum(float(m["dead_codes"]) for m in history) > 0
  before, after = (
    state.params["quantizer"]["stage_0"]["codebook"]
    for state in (states[0], states[-1])
  )
  moved = jnp.linalg.norm(after - before, axis=-1) > 0.5
  assert 0 < moved.sum()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["spectral", "dac"])
def test_the_adversary_joins_at_its_step(tiny, batch, kind):
  task = _task(
    tiny if kind == "spectral" else DAC,
    adversarial=0.1,
    adversarial_start=2,
    discriminator_windows=(64,),
    discriminator_width=4,
  )
  short = {"audio_BxS": batch["audio_BxS"][:, : 4 * tiny.hop]}
  states, history = _train(task, short, 8)
  start, waited, joined = (  # The first step has rate 0.
    jax.tree.leaves(states[i].extra["adversary"]) for i in (0, 2, 4)
  )
  for a, b, c in zip(start, waited, joined):
    np.testing.assert_array_equal(a, b)
    assert (b != c).any()
  judged = [float(m["judge"]) for m in history]
  assert judged[:2] == [0, 0] and 0 < judged[-1] < judged[2]


@pytest.mark.long
def test_the_dac_is_trained_by_the_same_task(batch):
  task = _task(DAC, swing=0.0)
  short = {"audio_BxS": batch["audio_BxS"][:, :2000]}
  states, history = _train(task, short, 30)
  assert history[-1]["mel_distance"] < 0.7 * history[0]["mel_distance"]
  assert np.isfinite(_distance(task, states[-1], short))


def test_energy_distance_prefers_noise_to_its_average():
  """A plain distance is least for a blur; this one for a fresh draw."""
  spectra = jax.jit(losses.spectra, static_argnums=1)
  key = jax.random.key(0)
  noise = 0.1 * jax.random.normal(key, (3, 8, 16000))
  target, one, other = (spectra(x, 16000) for x in noise)
  drawn = losses.energy_distance(target, one, other)
  for gain in (0.5, 0.8, 1.25, 2.0):
    one, other = (spectra(gain * x, 16000) for x in noise[1:])
    assert losses.energy_distance(target, one, other) > drawn
  time = jnp.arange(16000) / 16000
  tone = jnp.broadcast_to(0.1 * jnp.sin(2000 * time), (8, 16000))
  tone = spectra(tone, 16000)
  assert losses.energy_distance(target, tone, tone) > 1.5 * drawn


def test_sounds_are_recordings_and_their_reconstructions(tiny, batch, params):
  state = TrainState(jnp.int32(0), params, opt_state=None)
  sounds = _task(tiny).sounds
  sounds_by_name = jax.jit(sounds.make, static_argnums=2)(state, batch, 2)
  recording_BxS = batch["audio_BxS"][:2]
  np.testing.assert_array_equal(sounds_by_name["recording"], recording_BxS)
  model = codec.Codec(tiny, params)
  decoded_BxS = model.decode(model.encode(recording_BxS))
  np.testing.assert_allclose(
    sounds_by_name["reconstruction"], decoded_BxS, atol=1e-4
  )
  assert sounds.sample_rate == tiny.sample_rate


def test_shares_of_the_same_examples_are_at_most_one():
  with pytest.raises(UserError, match="full_depth=1.0, bypass=0.2: shares"):
    CodecLossConfig(full_depth=1.0)
  assert CodecLossConfig(full_depth=1.0, bypass=0.0).full_depth == 1
