"""The interface of Python users."""

import dataclasses
import zlib

import jax
import numpy as np
import pytest

import siren_jax as sj
from siren_jax import codec, sampling
from siren_jax.audio import loudness
from siren_jax.common import tuning
from siren_jax.common.errors import UserError

PROMPTS = ["a dog barking", "rain on a tin roof", "two short beeps"]


@pytest.fixture(scope="module")
def siren(tiny_bundle):
  return sj.load(tiny_bundle)


def test_the_package_exports_the_names_it_lists():
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


@pytest.mark.parametrize(
  "candidates", [1, 2, pytest.param(3, marks=pytest.mark.long)]
)
def test_company_does_not_change_a_bit_of_a_sound(siren, candidates):
  """Alone, at the head or the end of a batch, in a full one or not."""
  options = dict(seconds=0.2, key=5, candidates=candidates)
  crowd = siren.generate(PROMPTS, num_samples=3, **options)
  turned = siren.generate(PROMPTS[::-1], num_samples=3, **options)
  for i, prompt in enumerate(PROMPTS):
    for n in range(3):
      alone = siren.generate(prompt, sample=n, **options)[0]
      np.testing.assert_array_equal(crowd[3 * i + n], alone)
      np.testing.assert_array_equal(turned[3 * (2 - i) + n], alone)


def test_sounds_of_one_text_are_its_samples(siren):
  """However its letters are composed, and with blanks around it."""
  twice = ["caf\u00e9", " cafe\u0301 ", "rain", "caf\u00e9"]
  generated = siren.generate(twice, 0.2, key=5)
  samples = siren.generate("caf\u00e9", 0.2, key=5, num_samples=3)
  np.testing.assert_array_equal(generated[[0, 1, 3]], samples)
  sounds = list(siren.sounds(twice, 0.2, key=5, sample=4, num_samples=2))
  assert [s.sample for s in sounds] == [4, 5, 6, 7, 4, 5, 8, 9]


def test_prompts_do_not_share_their_randomness(siren):
  """Words that mean nothing to the model: only the key can tell them apart."""
  one, other = siren.generate(["\u4e00", "\u4e01"], 0.2, key=5)
  assert np.abs(one - other).max() > 0


def test_sounds_reach_the_requested_loudness(siren):
  rate = siren.sample_rate

  def sound(**options):
    return siren.generate(PROMPTS[0], 1.0, key=5, **options)[0]

  for target in (-30.0, -23.0):
    audio_S = sound(loudness=target)
    reached = loudness.integrated(audio_S, rate)
    assert reached == pytest.approx(target, abs=3)
    assert loudness.true_peak(audio_S) < 0.9
    assert max(abs(audio_S[0]), abs(audio_S[-1])) < 0.01
  np.testing.assert_array_equal(sound(), audio_S)
  assert len(sound(loudness=None)) == len(audio_S)


def test_without_a_loudness_a_sound_is_what_the_codec_gives(siren):
  """Beyond full scale, too."""
  bundle = siren.bundle
  drawn = list(siren.sounds(PROMPTS[0], 0.2, key=5, loudness=None))[0].audio_S
  key = jax.random.fold_in(
    jax.random.fold_in(jax.random.key(5), zlib.crc32(PROMPTS[0].encode())), 0
  )
  tokens, mask, _ = bundle.clap.encode_text(PROMPTS[:1])
  frames = -(-len(drawn) // bundle.codec.config.hop)
  codes = sampling.sample(
    bundle.params, bundle.config, bundle.sampling, tokens, mask, key[None],
    frames,
  ).codes_BxNxT  # fmt: skip
  decoded = bundle.codec.decode(codes)[0]
  np.testing.assert_allclose(decoded[: len(drawn)], drawn, atol=1e-4)
  louder = dict(bundle.codec.params)
  bands = louder["decoder"]["bands"]
  louder["decoder"] = louder["decoder"] | {
    "bands": bands | {"bias": bands["bias"] + 9}
  }
  loud = codec.Codec(bundle.codec.config, louder)
  assert np.abs(loud.decode(codes)).max() > 2


@pytest.mark.parametrize(
  "dtype", ["bfloat16", pytest.param("int8", marks=pytest.mark.long)]
)
def test_precision_is_given_at_load(tiny_bundle, siren, dtype):
  rounded = sj.load(tiny_bundle, dtype=dtype)
  assert rounded.bundle.execution == sj.Execution(dtype=dtype)
  audio_BxS = rounded.generate(PROMPTS[0], 2.0, key=5)
  assert np.isfinite(audio_BxS).all()
  exact_BxS = siren.generate(PROMPTS[0], 2.0, key=5)
  assert not np.array_equal(audio_BxS, exact_BxS)


def test_devices_choose_the_precision_that_nobody_asks_for(
  tiny_bundle, monkeypatch
):
  def precision(**options):
    return sj.load(tiny_bundle, **options).bundle.execution.dtype

  assert precision() == "float32"
  as_on_gpu = dataclasses.replace(tuning.CPU, dtype="bfloat16")
  monkeypatch.setattr(tuning, "current", lambda: as_on_gpu)
  assert precision() == "bfloat16"
  assert precision(dtype="float32") == "float32"
  assert precision(execution=sj.Execution()) == "float32"


def test_more_prompts_than_the_batch_size_are_all_made(tiny_bundle):
  with pytest.raises(UserError, match="batch_size 0"):
    sj.load(tiny_bundle, batch_size=0)
  siren = sj.load(tiny_bundle, batch_size=2)
  assert siren.generate(PROMPTS, 0.1).shape[0] == 3


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


@pytest.mark.long
def test_of_candidates_the_one_nearest_to_the_words_is_kept(siren):
  bundle = siren.bundle
  chosen = siren.generate(PROMPTS, 0.2, key=7, candidates=3, loudness=None)
  scores = [
    s.clap_score for s in siren.sounds(PROMPTS, 0.2, key=7, candidates=3)
  ]
  frames = -(-chosen.shape[1] // bundle.codec.config.hop)
  best = []
  for prompt, audio_S, score in zip(PROMPTS, chosen, scores):
    key = jax.random.fold_in(jax.random.key(7), zlib.crc32(prompt.encode()))
    keys = jax.random.split(jax.random.fold_in(key, 0), 3)
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
    similarity = np.asarray(bundle.clap.similarity([prompt], drawn)[0])
    best.append(int(similarity.argmax()))
    assert score == pytest.approx(similarity.max(), abs=1e-4)
    np.testing.assert_allclose(
      drawn[best[-1], : len(audio_S)], audio_S, atol=1e-4
    )
  assert set(best) != {0}, "the first of all would do: a weak test"


@pytest.mark.long
def test_a_mesh_makes_the_same_sounds(siren, tiny_bundle):
  """In two batches, of which the last is filled up."""
  sizes = sj.MeshConfig(data=2, expert=2, fsdp=2)
  spread = sj.load(tiny_bundle, mesh=sizes)
  gate = spread._model._params["experts"].temporal[0]["ffn"]["gate"]
  assert gate.sharding.spec[0] == "expert"
  generated, expected = (
    s.generate(PROMPTS, 0.2, key=5, num_samples=3, candidates=3)
    for s in (spread, siren)
  )
  np.testing.assert_allclose(generated, expected, atol=1e-4)


@pytest.mark.parametrize(
  ("sizes", "message"),
  [({"data": 3}, "does not fill 8"), ({"model": 2}, "evenly over the 2")],
)
def test_a_mesh_that_does_not_fit(tiny_bundle, sizes, message):
  with pytest.raises(sj.UserError, match=message):
    sj.load(tiny_bundle, mesh=sj.MeshConfig(**sizes))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"prompts": []}, "no prompt"),
    ({"prompts": "  "}, "empty"),
    ({"prompts": ["a", ""]}, "prompt 2"),
    ({"seconds": 0}, "seconds 0"),
    ({"seconds": -1}, "seconds -1"),
    ({"seconds": float("nan")}, "seconds nan"),
    ({"seconds": 86401}, "at most 86400"),
    ({"prompts": None}, "no prompt"),
    ({"continue_from": np.zeros((2, 9))}, r"shape \[2, 9\]"),
    ({"continue_from": np.zeros(0)}, r"shape \[0\]"),
    ({"continue_from": np.full(9, np.nan)}, "NaN"),
    ({"continue_from": np.full(9, 7, np.int16)}, "int16.*divided by 32768"),
    ({"continue_from": np.full(9, 1j)}, "complex128"),
    ({"continue_from": "clip.wav"}, "audio of type"),
    ({"prompts": ["a", None]}, "prompt 2, None: not text"),
    ({"sample": -1}, "sample -1"),
    ({"sample": 2**31}, "sample 2147483648"),
    ({"loudness": 3.0}, "loudness 3.0 LUFS"),
    ({"loudness": float("nan")}, "loudness nan"),
    ({"prompts": ["a", "\udcff"]}, "prompt 2.*Unicode"),
    ({"num_samples": 0}, "num_samples 0"),
    ({"candidates": 0}, "candidates 0"),
    ({"candidates": 65}, "1 to 64"),
    ({"key": -1}, "seed -1"),
    ({"temperature": -1.0}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"warmth": 3}, "warmth"),
  ],
)
def test_impossible_arguments_are_refused(arguments, message, siren):
  with pytest.raises(sj.UserError, match=message):
    siren.clips(**({"prompts": "a dog", "seconds": 0.2} | arguments))


def test_encode_and_decode_take_one_clip_or_a_batch(siren):
  hop, rate = siren.bundle.codec.config.hop, siren.sample_rate
  audio_S = np.sin(np.arange(rate // 5) * 0.2).astype(np.float32) / 2
  codes = siren.encode(audio_S)
  frames = -(-len(audio_S) // hop)
  assert codes.shape == (1, siren.bundle.codec.config.num_codebooks, frames)
  assert np.issubdtype(codes.dtype, np.integer)
  np.testing.assert_array_equal(siren.encode(audio_S[None]), codes)
  np.testing.assert_array_equal(codes, siren.bundle.codec.encode(audio_S[None]))
  audio = siren.decode(codes)
  assert audio.shape == (1, frames * hop)
  np.testing.assert_array_equal(siren.decode(codes[0]), audio)
  np.testing.assert_allclose(audio, siren.bundle.codec.decode(codes), atol=1e-5)


def test_codes_are_checked(siren):
  config = siren.bundle.codec.config
  good = np.zeros((1, config.num_codebooks, 2), np.int32)
  for bad, message in [
    (good + config.codebook_size, f"0 to {config.codebook_size - 1}"),
    (good - 1, "from -1"),
    (good.astype(np.float32), "integers"),
    (good[:, :3], f"N = {config.num_codebooks}"),
    (good[..., :0], "shape"),
  ]:
    with pytest.raises(sj.UserError, match=message):
      siren.decode(bad)
