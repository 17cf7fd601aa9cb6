"""Where products are small and their errors are not, they are of full float32.

On a CPU they are in any case, so the programs are read: an accelerator would
round what goes into a product that does not say otherwise.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from siren_jax import clap, codec, experts
from siren_jax.audio import mel, resample
from siren_jax.clap import audio_tower, htsat, laion, statistics
from siren_jax.clap import model as clap_model
from siren_jax.codec import losses, spectral
from siren_jax.codec.quantizer import Codebook, ResidualQuantizer
from siren_jax.common.precision import exact
from siren_jax.evaluation import networks, scorers
from siren_jax.experts.embedding import CodeEmbedding
from siren_jax.sampling import state

PRODUCTS = ("dot_general", "conv_general_dilated")
HIGHEST = jax.lax.Precision.HIGHEST
SPECTRAL = codec.SpectralCodecConfig(
  hop_length=160, fft_size=320, frame_width=16, code_width=16,
  encoder_frame_layers=1, encoder_code_layers=1, decoder_frame_layers=1,
  decoder_code_layers=1, bands=16, num_codebooks=4, codebook_size=32,
  feature_dim=16,
)  # fmt: skip
DAC = codec.DacConfig(
  encoder_width=4, decoder_width=32, strides=(2, 5), num_codebooks=3,
  codebook_size=16, code_dim=4,
)  # fmt: skip
EXPERTS = experts.ExpertConfig(
  dim=16, heads=2, kv_heads=1, temporal_layers=1, depth_layers=1,
  prompt_dim=8, feature_dim=12, num_codebooks=4, num_experts=2,
  codebook_size=32,
)  # fmt: skip
HTSAT = htsat.HtsatConfig(picture=128, num_mels=32, seconds=1.0, fusion=True)


def _products(jaxpr):
  """Of a program and all that it calls."""
  for equation in jaxpr.eqns:
    if equation.primitive.name in PRODUCTS:
      yield equation
    for value in jax.tree.leaves(
      list(equation.params.values()),
      is_leaf=lambda x: isinstance(x, core.ClosedJaxpr | core.Jaxpr),
    ):
      if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
        yield from _products(getattr(value, "jaxpr", value))


def _rounded(function, *args):
  """The products that may be rounded; None where there is none at all."""
  products = list(_products(jax.make_jaxpr(function)(*args).jaxpr))
  if not products:
    return None
  return [
    str(equation)
    for equation in products
    if equation.params["precision"] != (HIGHEST, HIGHEST)
    or {x.aval.dtype for x in equation.invars} != {jnp.dtype("float32")}
  ]


def _array(*shape, dtype="float32"):
  return jax.ShapeDtypeStruct(shape, dtype)


def _module(module, *args, method=None):
  """A Flax module as a function of its variables, and these."""
  init = functools.partial(module.init, jax.random.key(0), method=method)
  variables = nn.unbox(jax.eval_shape(init, *args))
  return functools.partial(module.apply, method=method), variables, *args


def _gradient(function, variables, *args):
  def total(variables, *args):
    return sum(map(jnp.sum, jax.tree.leaves(function(variables, *args))))

  return jax.grad(total, allow_int=True), variables, *args


def _encode(config):
  params = jax.eval_shape(lambda: codec.init(jax.random.key(0), config))
  audio_BxS = _array(1, 8 * config.hop)
  return lambda p, x: codec.encode(p, config, x), params, audio_BxS


def _quantizer():
  quantizer = ResidualQuantizer(3, 16, 8, 12)
  return _module(quantizer, _array(2, 5, 12), _array(2, dtype="int32"))


def _search():
  apply, variables, latents_BxTxF, _ = _quantizer()
  search = functools.partial(apply, beam=3, method="search")
  return search, variables, latents_BxTxF


def _latents():
  codes_BxNxT = _array(1, 3, 4, dtype="int32")
  apply, variables, *_ = _quantizer()
  return functools.partial(apply, method="embed"), variables, codes_BxNxT


def _total():
  def total(embedding, codes_BxNxT):
    chosen_N = jnp.ones(EXPERTS.num_codebooks, bool)
    return embedding.total(embedding.entries(codes_BxNxT), chosen_N)

  codes_BxNxT = _array(2, EXPERTS.num_codebooks, 5, dtype="int32")
  return _module(CodeEmbedding(EXPERTS), codes_BxNxT, method=total)


AUDIO = _array(2, 16000)
CASES = {
  "embeddings in the sampler": lambda: (
    state.embed,
    _array(4, 8, 16),
    _array(4, 16),
    _array(2, 4, 8),
  ),
  "resampling": lambda: (
    lambda x: resample.resample(x, 16000, 48000),
    AUDIO,
  ),
  "mel spectra in decibels": lambda: (
    lambda x: mel.decibels(x, 16000, 512, 160, 64, 50.0, 8000.0),
    AUDIO,
  ),
  "spectra that codecs are compared by": lambda: (
    lambda x: (losses.spectra(x, 16000), losses.band_levels(x, 640, 16000)),
    AUDIO,
  ),
  "noise shaped by the spectral codec": lambda: (
    lambda x: spectral._to_bins(SPECTRAL, x),
    _array(2, 4, SPECTRAL.bands),
  ),
  "front end of our CLAP": lambda: (
    lambda x: audio_tower.log_mel(x, clap.AudioConfig()),
    AUDIO,
  ),
  "spectral statistics of our CLAP": lambda: (
    lambda x: statistics.statistics(x, np.ones(40, bool)),
    _array(2, 40, 32),
  ),
  "front end of LAION's CLAP": lambda: (
    lambda x: htsat.fold(laion.features(x, HTSAT)[0], HTSAT),
    AUDIO,
  ),
  "cosines of a CLAP": lambda: (
    clap_model._cosines,
    _array(2, 8),
    _array(3, 8),
  ),
  "codes of the spectral codec": lambda: _encode(SPECTRAL),
  "codes of a spectral codec with voices": lambda: _encode(
    dataclasses.replace(SPECTRAL, voices=2)
  ),
  "codes of DAC": lambda: _encode(DAC),
  "the nearest code": lambda: _module(
    Codebook(16, 8, 12), _array(2, 5, 8), method="similarity"
  ),
  "the search for codes": _search,
  "the quantizer": _quantizer,
  "the quantizer's gradient": lambda: _gradient(*_quantizer()),
  "latents of codes": _latents,
  "the fold of the embeddings": lambda: _module(
    CodeEmbedding(EXPERTS), method="folded"
  ),
  "sums of embeddings": _total,
  "their gradient": lambda: _gradient(*_total()),
  "VGGish": lambda: _module(networks.VGGish(), _array(2, 96, 64)),
  "VGGish's front end": lambda: (networks.vggish_patches, AUDIO),
  "Cnn14": lambda: _module(networks.Cnn14(networks.CNN14_16K), AUDIO),
}


@pytest.mark.parametrize("name", CASES)
def test_no_product_is_rounded(name):
  assert _rounded(*CASES[name]()) == []


def test_a_caller_cannot_have_them_rounded():
  with jax.default_matmul_precision("bfloat16"):
    assert _rounded(*CASES["resampling"]()) == []


def test_no_product_of_a_clap_that_judges_is_rounded(
  tiny_model, tiny_bundle, monkeypatch
):
  judges = (
    scorers.clap_for_all_roles(tiny_model.clap, "tiny"),
    scorers.of_clap(tiny_bundle),
  )
  for judge in judges:
    assert _rounded(judge.extract, AUDIO) == []
  precisions = []

  def encode_text(model, texts):
    precisions.append(jax.config.jax_default_matmul_precision)
    return None, None, jnp.zeros((len(texts), model.config.embed_dim))

  monkeypatch.setattr(clap.Clap, "encode_text", encode_text)
  for judge in judges:
    judge.embed_text(["rain"])
  assert precisions == ["highest"] * 2


def test_another_product_is_seen():
  """By the test, where it may be rounded, in a loop too."""

  def power(x):
    return jax.lax.fori_loop(0, 3, lambda _, y: y @ x, x)

  assert len(_rounded(power, _array(4, 4))) == 1
  assert _rounded(exact(power), _array(4, 4)) == []
  assert len(_rounded(exact(power), _array(4, 4, dtype="bfloat16"))) == 1
  assert _rounded(jnp.sin, AUDIO) is None
