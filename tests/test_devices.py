"""Weights are on the device from `load` on, and only there.

The guard forbids uploads that nobody asked for: of parameters and inputs in
NumPy arrays, of numbers of Python, of indices. On a CPU it sees them all; what
comes back from the device it sees on accelerators alone.
"""

import dataclasses
import gc
import weakref

import jax
import numpy as np
import pytest

import siren_jax as sj
from siren_jax import clap, codec
from siren_jax.audio import sound_files
from siren_jax.data import encoding
from siren_jax.evaluation import clips, scorers
from siren_jax.weights import bundle as bundles

PROMPT = "rain on a tin roof"
SECONDS = 0.3


@pytest.fixture(scope="module")
def siren(tiny_bundle):
  """Of two candidates for each sound: one size of batch, few programs."""
  bundle = dataclasses.replace(bundles.load(tiny_bundle), candidates=2)
  return sj.Siren(bundle, batch_size=2)


@pytest.fixture(scope="module")
def recording(siren):
  time = np.arange(round(SECONDS * siren.sample_rate)) / siren.sample_rate
  return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


@pytest.fixture
def guarded():
  with jax.transfer_guard("disallow"):
    yield


def test_the_guard_detects_implicit_uploads(guarded):
  for value in (np.ones(3), 1):
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed"):
      jax.jit(lambda x: 2 * x)(value)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
  "make",
  [
    lambda siren, _: siren.generate(PROMPT, SECONDS),
    lambda siren, _: np.concatenate(
      list(siren.stream(PROMPT, SECONDS, key=7, guidance=2.0))
    ),
    lambda siren, audio_S: siren.generate(None, SECONDS, continue_from=audio_S),
    lambda siren, audio_S: siren.vary(audio_S, keep=2),
    lambda siren, audio_S: siren.fill(audio_S, 0.1, 0.2, PROMPT),
    lambda siren, audio_S: siren.decode(siren.encode(audio_S)),
  ],
  ids=["generate", "stream", "continue", "vary", "fill", "codec"],
)
def test_nothing_is_uploaded_implicitly(siren, recording, make):
  assert np.isfinite(make(siren, recording)).all()


@pytest.mark.long
def test_nothing_is_transferred_implicitly_over_a_mesh(tiny_bundle, recording):
  siren = sj.load(tiny_bundle, mesh=sj.MeshConfig(data=4, expert=2))
  with jax.transfer_guard("disallow"):
    audio_BxS = siren.generate([PROMPT] * 2, SECONDS, candidates=2)
    assert np.isfinite(audio_BxS).all()
    assert np.isfinite(siren.vary(recording, keep=2)).all()
    assert np.isfinite(siren.decode(siren.encode(recording))).all()


@pytest.mark.usefixtures("guarded")
def test_nothing_is_uploaded_to_judge_clips(tiny_bundle, recording, tmp_path):
  model = clap.load(tiny_bundle)
  rate = model.config.audio.sample_rate
  for name in ("a", "b"):
    audio_S = np.tile(recording, 4)
    sound_files.write_audio(tmp_path / f"{name}.wav", audio_S, rate)
  for judge in (
    scorers.clap_for_all_roles(model, "tiny"),
    scorers.of_clap(tiny_bundle),
  ):
    assert clips.extract(clips.find(tmp_path), judge)[1] is not None
    assert np.isfinite(judge.embed_text([PROMPT])).all()
  assert model.similarity([PROMPT], audio_S[None]).shape == (1, 1)


@pytest.mark.usefixtures("guarded")
def test_nothing_is_uploaded_to_encode_a_data_set(tiny_bundle, recording):
  element = {
    "id": "r0",
    "audio": (recording * 32767).astype(np.int16),
    "sample_rate": codec.load(tiny_bundle).config.sample_rate,
    "captions": [PROMPT],
    "label": "",
  }
  maker = encoding._RecordMaker(
    codec.load(tiny_bundle),
    clap.load(tiny_bundle),
    encoding.CodesConfig(seconds=SECONDS, views=2),
  )
  (record,) = maker.records([element])
  assert len(record["codes"]) == 2 and len(record["prompt"]) == 1


def test_the_stacked_experts_are_kept_nowhere(tiny_bundle):
  """They are taken apart, and the files still have them."""
  before = {id(x) for x in jax.live_arrays()}
  bundle = bundles.load(tiny_bundle)
  stacked = jax.tree.leaves(bundle.params["params"]["temporal"])
  shapes, host = {x.shape for x in stacked}, [weakref.ref(x) for x in stacked]
  siren = sj.Siren(bundle)
  del bundle, stacked
  gc.collect()
  assert [x for x in host if x() is not None] == []
  kept = [x for x in jax.live_arrays() if id(x) not in before]
  assert kept and not shapes & {x.shape for x in kept}
  again = siren.bundle.params["params"]["temporal"]
  assert shapes == {x.shape for x in jax.tree.leaves(again)}


def test_experts_that_no_folder_has_are_kept(tiny_bundle):
  bundle = bundles.load(tiny_bundle)
  params = jax.tree.map(lambda x: x + 1, bundle.params)
  siren = sj.Siren(dataclasses.replace(bundle, params=params))
  assert siren.bundle.params is params
