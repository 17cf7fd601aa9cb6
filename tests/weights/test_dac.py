"""The published DAC: transformers' and Descript's answers, and bad files."""

import pathlib
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from siren_jax.codec.dac import Dac
from siren_jax.common.errors import UserError
from siren_jax.weights import dac

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "dac"
PUBLISHERS = ("hugging_face", "descript")


@pytest.fixture(scope="module", params=PUBLISHERS)
def published(request):
  folder = FIXTURES / request.param
  return dac.load(folder), dict(np.load(folder / "expected.npz"))


def test_latents_codes_and_audio_are_theirs(published):
  codec, theirs = published
  latents = Dac(codec.config).apply(
    {"params": codec.params}, theirs["audio"], method=lambda m, x: m.encoder(x)
  )
  np.testing.assert_allclose(
    latents, theirs["latents"].transpose(0, 2, 1), atol=2e-5
  )
  np.testing.assert_array_equal(codec.encode(theirs["audio"]), theirs["codes"])
  audio = codec.decode(theirs["codes"])
  length = theirs["decoded"].shape[1]
  assert length == theirs["audio"].shape[1] - codec.config.rest
  np.testing.assert_allclose(audio[:, :length], theirs["decoded"], atol=2e-5)
  assert audio.shape == theirs["audio"].shape
  assert np.all(audio[:, length:] == 0)


@pytest.fixture(params=PUBLISHERS)
def copy(request, tmp_path):
  """A copy to break, and its tensors."""
  folder = shutil.copytree(FIXTURES / request.param, tmp_path / "copy")
  file = next(folder.glob("*.safetensors"))
  return folder, file, load_file(file)


NAMED = {
  "hugging_face": ("decoder.block.1.conv_t1.bias", "encoder.conv1.weight"),
  "descript": ("decoder.model.2.block.1.bias", "encoder.block.0.weight_v"),
}


def test_a_missing_tensor_is_named(copy, request):
  folder, file, tensors = copy
  name = NAMED[request.node.callspec.params["copy"]][0]
  del tensors[name]
  save_file(tensors, file)
  with pytest.raises(UserError, match=f"lacks tensor '{name}'"):
    dac.load(folder)


def test_a_tensor_too_many_is_named(copy):
  folder, file, tensors = copy
  save_file(tensors | {"decoder.extra": np.zeros(1)}, file)
  with pytest.raises(UserError, match="has tensor 'decoder.extra'"):
    dac.load(folder)


def test_a_misshapen_tensor_is_named(copy, request):
  folder, file, tensors = copy
  name = NAMED[request.node.callspec.params["copy"]][0]
  save_file(tensors | {name: tensors[name][:-1].copy()}, file)
  with pytest.raises(UserError, match=f"tensor '{name}' has shape"):
    dac.load(folder)


def test_nan_is_refused(copy, request):
  folder, file, tensors = copy
  name = NAMED[request.node.callspec.params["copy"]][1]
  save_file(tensors | {name: np.full_like(tensors[name], np.nan)}, file)
  with pytest.raises(UserError, match="not finite"):
    dac.load(folder)


def test_another_model_is_refused(tmp_path):
  save_file({"a": np.zeros(2)}, tmp_path / "model.safetensors")
  with pytest.raises(UserError, match="is not a Descript Audio Codec"):
    dac.load(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 60, -100])
def test_a_truncated_file_is_refused(copy, keep):
  folder, file, _ = copy
  file.write_bytes(file.read_bytes()[:keep])
  with pytest.raises(UserError, match="not a valid safetensors file"):
    dac.load(folder)


def test_an_empty_folder_is_refused(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    dac.load(tmp_path)
  with pytest.raises(UserError, match="no such file"):
    dac.load(tmp_path / "nowhere")


def test_shapes_are_those_of_the_published_model():
  """12 codebooks, 74 million parameters (Descript's 16 kHz release)."""
  tree = dac.shapes(dac.DacConfig())
  count = sum(x.size for x in jax.tree.leaves(tree))
  assert 74.0e6 < count < 74.5e6
  assert dac.DacConfig().hop == 320 and dac.DacConfig().rest == 8


@pytest.mark.parametrize("rate", ["16000", 0, -1, True, 1.5, 10**9])
def test_a_sample_rate_that_is_none_is_named(rate, tmp_path):
  folder = shutil.copytree(FIXTURES / "hugging_face", tmp_path / "copy")
  (folder / "config.json").write_text(f'{{"sampling_rate": {rate!r}}}'.lower())
  if isinstance(rate, str):
    (folder / "config.json").write_text('{"sampling_rate": "16000"}')
  with pytest.raises(UserError, match="config.json: .*sample_rate="):
    dac.load(folder)


@pytest.mark.parametrize(
  ("strides", "books", "rate"),
  [((2, 4, 5, 8), 12, 16000), ((2, 4, 5, 8), 32, 24000),
   ((2, 4, 8, 8), 9, 44100)],
)  # fmt: skip
def test_the_rate_of_a_published_model_is_known_by_its_sizes(
  strides, books, rate
):
  sizes = {"strides": strides, "num_codebooks": books}
  assert dac._published_rate("x", sizes) == rate


def test_a_rate_that_nothing_says_is_asked_for(tmp_path):
  folder = shutil.copytree(FIXTURES / "descript", tmp_path / "copy")
  (folder / "config.json").unlink()
  with pytest.raises(UserError, match="nothing says its sample rate"):
    dac.load(folder)
  assert dac.load(folder, 24000).config.sample_rate == 24000
