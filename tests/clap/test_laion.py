"""LAION's front end for clips of any length; its numbers: tests/oracle."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.clap import laion
from siren_jax.clap.htsat import HtsatConfig
from siren_jax.clap.laion import LaionConfig, LaionModel

encode_audio = jax.jit(clap.encode_audio, static_argnames="config")
features = jax.jit(laion.features, static_argnames="config")

# Hears 800 samples, 41 frames.
UNFUSED = HtsatConfig(
  sample_rate=8000,
  window=64,
  hop=20,
  num_mels=8,
  high=3500.0,
  seconds=0.1,
  picture=32,
  width=16,
  blocks=(1, 1),
  heads=(2, 4),
  grid=4,
)
FUSED = dataclasses.replace(UNFUSED, fusion=True)
WANTED, FRAMES = 800, 41
AUDIO_BxS = np.random.default_rng(0).normal(0, 0.1, (2, 2000)).astype("f4")
# Around what is repeated, what is cut, and one frame more.
SIZES = [1, 399, 400, 401, 800, 801, 820, 1337, 2000]


@pytest.mark.parametrize("audio", [UNFUSED, FUSED], ids=["one", "fused"])
def test_one_program_embeds_any_length(audio, clap_config, compilations):
  """As the cropped audio is embeddings, whatever follows."""
  config = LaionConfig(text=clap_config.text, audio=audio, embed_dim=8)
  shapes = jax.eval_shape(lambda key: clap.init(key, config), jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(0, 0.3, x.shape).astype("f4"), nn.unbox(shapes)
  )

  @jax.jit
  def embed(mel_BxIxTxM, longer_B):
    return LaionModel(config).apply(
      {"params": params}, mel_BxIxTxM, longer_B, method="embed_mel"
    )

  cropped = [embed(*features(AUDIO_BxS[:, :n], audio)) for n in SIZES]
  encode_audio(params, config, AUDIO_BxS, num_samples=7)
  compilations.clear()
  embeddings = [
    encode_audio(params, config, AUDIO_BxS, num_samples=n) for n in SIZES
  ]
  assert not compilations
  expected = np.stack(cropped)
  expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
  np.testing.assert_allclose(embeddings, expected, atol=1e-5)
  assert np.ptp(expected, 0).max() > 1e-2


@pytest.mark.parametrize("size", [267, 400, 799])
def test_a_short_clip_is_repeated_whole(size):
  repeated = np.zeros((2, WANTED), "f4")
  for start in range(0, WANTED - size + 1, size):
    repeated[:, start : start + size] = AUDIO_BxS[:, :size]
  short, longer = features(AUDIO_BxS[:, :size], UNFUSED)
  np.testing.assert_allclose(short, features(repeated, UNFUSED)[0], atol=1e-4)
  assert not longer.any()


def test_a_long_clip_is_cut_to_its_middle():
  mel, longer = features(AUDIO_BxS[:, :1337], UNFUSED)
  middle, _ = features(AUDIO_BxS[:, 268 : 268 + WANTED], UNFUSED)
  np.testing.assert_allclose(mel, middle, atol=1e-4)
  assert longer.all()


@pytest.mark.parametrize("size", [820, 860, 2000])
def test_fusion_squeezes_the_whole_and_takes_three_parts(size):
  mel_BxIxTxM, longer = features(AUDIO_BxS[:, :size], FUSED)
  assert mel_BxIxTxM.shape == (2, 4, FRAMES, 8) and longer.all()
  full_length = dataclasses.replace(FUSED, seconds=size / FUSED.sample_rate)
  frames_BxTxM = features(AUDIO_BxS[:, :size], full_length)[0][:, 0]
  total = frames_BxTxM.shape[1]
  place = (np.arange(FRAMES) + 0.5) * total / FRAMES - 0.5
  expected = [
    np.stack([np.interp(place, np.arange(total), x) for x in x_TxM.T], -1)
    for x_TxM in frames_BxTxM
  ]
  np.testing.assert_allclose(mel_BxIxTxM[:, 0], expected, atol=1e-3)
  ranges = np.array_split(np.arange(total - FRAMES + 1), 3)
  for i, places in enumerate(ranges):
    start = places[len(places) // 2] if len(places) else 0
    part = frames_BxTxM[:, start : start + FRAMES]
    np.testing.assert_allclose(mel_BxIxTxM[:, i + 1], part, atol=1e-4)


@pytest.mark.parametrize("size", [400, 800, 819])
def test_fusion_needs_at_least_one_frame_more(size):
  mel_BxIxTxM, longer = features(AUDIO_BxS[:, :size], FUSED)
  assert not longer.any()
  for i in range(1, 4):
    np.testing.assert_array_equal(mel_BxIxTxM[:, i], mel_BxIxTxM[:, 0])
