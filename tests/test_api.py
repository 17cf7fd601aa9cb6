"""The interface of Python users."""

import jax
import numpy as np
import pytest

import siren_jax as sj
from siren_jax import sampling

PROMPTS = ["a dog barking", "rain on a tin roof", "two short beeps"]


@pytest.fixture(scope="module")
def siren(tiny_bundle):
  return sj.load(tiny_bundle)


def test_names():
  from siren_jax.common.mesh import MeshConfig
  from siren_jax.experts import ExpertConfig
  from siren_jax.sampling import SamplingConfig

  assert sj.ExpertConfig is ExpertConfig
  assert sj.MeshConfig is MeshConfig
  assert sj.SamplingConfig is SamplingConfig
  assert callable(sj.experts.logits)
  assert set(sj.__all__) <= set(dir(sj))
  with pytest.raises(AttributeError, match="lod"):
    _ = sj.lod


@pytest.fixture(scope="module")
def together(siren):
  """Three samples of every prompt, made in one call: more than one batch."""
  return siren.generate(PROMPTS, 0.2, key=5, num_samples=3)


def test_shape_type_and_range(siren, together):
  assert together.shape == (9, round(0.2 * siren.sample_rate))
  assert together.dtype == np.float32
  assert np.isfinite(together).all()
  assert np.abs(together).max() <= 1


def test_text_and_list_are_the_same(siren):
  np.testing.assert_array_equal(
    siren.generate(PROMPTS[0], 0.2), siren.generate(PROMPTS[:1], 0.2)
  )


def test_seed_and_key_are_the_same_and_fix_the_sound(siren):
  first = siren.generate(PROMPTS[0], 0.2, key=3)
  for key in (jax.random.key(3), jax.random.PRNGKey(3)):
    np.testing.assert_array_equal(
      first, siren.generate(PROMPTS[0], 0.2, key=key)
    )
  other = siren.generate(PROMPTS[0], 0.2, key=4)
  assert np.abs(first - other).max() > 0


def test_company_does_not_change_a_sound(siren, together):
  for i, prompt in enumerate(PROMPTS):
    alone = siren.generate(prompt, 0.2, key=5)
    np.testing.assert_allclose(together[3 * i], alone[0], atol=1e-4)


def test_samples_and_prompts_differ(together):
  for i in range(9):
    for j in range(i):
      assert np.abs(together[i] - together[j]).max() > 0, (i, j)


def test_settings_reach_the_sampler(siren):
  def sound(**settings):
    return siren.generate(PROMPTS[0], 0.2, **settings)

  greedy = sound(key=1, top_k=1)
  np.testing.assert_array_equal(greedy, sound(key=2, top_k=1))
  assert np.abs(greedy - sound(key=1)).max() > 0
  guided = sound(key=1, top_k=1, guidance=5.0)
  assert np.abs(greedy - guided).max() > 0


def test_of_candidates_the_one_nearest_to_the_words_is_kept(siren):
  bundle = siren.bundle
  chosen = siren.generate(PROMPTS, 0.2, key=7, candidates=3)
  keys = jax.random.split(jax.random.fold_in(jax.random.key(7), 0), 3)
  frames = -(-chosen.shape[1] // bundle.codec.config.hop)
  best = []
  for prompt, audio_S in zip(PROMPTS, chosen):
    tokens, mask, _ = bundle.clap.encode_text([prompt] * 3)
    drawn = bundle.codec.decode(
      sampling.sample(
        bundle.params,
        bundle.config,
        bundle.sampling,
        tokens,
        mask,
        keys,
        frames,
      ).codes_BxNxT
    )
    best.append(int(bundle.clap.similarity([prompt], drawn)[0].argmax()))
    np.testing.assert_allclose(
      drawn[best[-1], : len(audio_S)], audio_S, atol=1e-4
    )
  assert set(best) != {0}, "the first of all would do: a weak test"


def test_a_mesh_makes_the_same_sounds(siren, tiny_bundle):
  """In two batches, of which the last is filled up."""
  sizes = sj.MeshConfig(data=2, expert=2, fsdp=2)
  spread = sj.load(tiny_bundle, mesh=sizes)
  gate = spread._params["experts"]["params"]["temporal"]["ffn"]["gate"]
  assert tuple(gate.sharding.spec) == ("expert", None, "fsdp", "model")
  made, expected = (
    s.generate(PROMPTS, 0.2, key=5, num_samples=3, candidates=3)
    for s in (spread, siren)
  )
  np.testing.assert_allclose(made, expected, atol=1e-4)


@pytest.mark.parametrize(
  ("sizes", "told"),
  [({"data": 3}, "does not fill 8"), ({"model": 2}, "divide among 2")],
)
def test_a_mesh_that_does_not_fit(tiny_bundle, sizes, told):
  with pytest.raises(sj.UserError, match=told):
    sj.load(tiny_bundle, mesh=sj.MeshConfig(**sizes))


@pytest.mark.parametrize(
  ("arguments", "told"),
  [
    ({"prompts": []}, "no prompt"),
    ({"prompts": "  "}, "empty"),
    ({"prompts": ["a", ""]}, "prompt 2"),
    ({"seconds": 0}, "seconds 0"),
    ({"seconds": -1}, "seconds -1"),
    ({"seconds": float("nan")}, "seconds nan"),
    ({"seconds": 1000}, "at most 2 seconds"),
    ({"num_samples": 0}, "num_samples 0"),
    ({"candidates": 0}, "candidates 0"),
    ({"candidates": 65}, "1 to 64"),
    ({"key": -1}, "seed -1"),
    ({"temperature": -1.0}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"warmth": 3}, "warmth"),
  ],
)
def test_bad_arguments(arguments, told, siren):
  with pytest.raises(sj.UserError, match=told):
    siren.clips(**({"prompts": "a dog", "seconds": 0.2} | arguments))


def test_codes_and_back(siren):
  hop, rate = siren.bundle.codec.config.hop, siren.sample_rate
  audio_S = np.sin(np.arange(rate // 5) * 0.2).astype(np.float32) / 2
  codes = siren.encode(audio_S)
  frames = -(-len(audio_S) // hop)
  assert codes.shape == (1, siren.bundle.codec.config.num_codebooks, frames)
  assert np.issubdtype(codes.dtype, np.integer)
  np.testing.assert_array_equal(siren.encode(audio_S[None]), codes)
  audio = siren.decode(codes)
  assert audio.shape == (1, frames * hop)
  np.testing.assert_array_equal(siren.decode(codes[0]), audio)


def test_codes_are_checked(siren):
  config = siren.bundle.codec.config
  good = np.zeros((1, config.num_codebooks, 2), np.int32)
  for bad, told in [
    (good + config.codebook_size, f"0 to {config.codebook_size - 1}"),
    (good - 1, "from -1"),
    (good.astype(np.float32), "integers"),
    (good[:, :3], f"N = {config.num_codebooks}"),
    (good[..., :0], "shape"),
  ]:
    with pytest.raises(sj.UserError, match=told):
      siren.decode(bad)
