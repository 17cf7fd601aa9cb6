"""One part out of whatever folder or name holds it."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import clap, codec
from siren_jax.common.errors import UserError
from siren_jax.storage import components, folders, tensors
from siren_jax.storage.checkpoint import Checkpoints
from siren_jax.training import TrainState


def _write(folder, settings, params):
  tensors.save(folder / "codec.safetensors", params)
  (folder / "config.json").write_text(json.dumps(settings))


def _load(folder):
  return components.load(
    folder, "codec", codec.CodecConfig, lambda key, _: {"w": jnp.zeros(2)}
  )


def test_a_name_that_ships_is_a_folder():
  folder = folders.SHIPPED / "siren-small"
  assert codec.load("siren-small").config == codec.load(folder).config
  assert clap.load("siren-small").tokenizer.get_vocab_size() > 1000


def test_a_local_folder_of_that_name_wins(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "siren-small").mkdir()
  with pytest.raises(UserError, match="^siren-small/config.json: no such"):
    codec.load("siren-small")


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ([], "holds no codec"),
    ({}, "holds no codec"),
    ({"codec": 3}, "config codec=3: expected a group"),
    ({"codec": {"kind": []}}, r"codec\.kind=\[\]"),
    ({"codec": {"hop_length": "abc"}}, "codec.hop_length='abc'"),
    ({"codec": {"hop_length": True}}, "codec.hop_length=True"),
    ({"codec": {"hop_length": 0}}, "hop_length=0: must be at least 1"),
    ({"codec": {"sample_rate": 10**9}}, "sample_rate=1000000000.*at most"),
    ({"codec": {"decoder_code_layers": 10**6}}, "decoder_code_layers=1000000"),
    ({"codec": {"kind": "dac", "strides": []}}, "strides"),
    ({"codec": {"kind": "dac", "strides": [0]}}, "strides"),
  ],
)
def test_nonsense_in_a_config_is_one_line(settings, message, tmp_path):
  _write(tmp_path, settings, {"w": np.zeros(2, "f4")})
  with pytest.raises(
    UserError, match=rf"config\.json.*{message}|{message}.*config"
  ):
    _load(tmp_path)


def test_sizes_that_init_refuses_are_reported(tmp_path):
  _write(tmp_path, {"codec": {}}, {"w": np.zeros(2, "f4")})

  def init(key, config):
    return {"w": jnp.zeros(2).reshape(3)}

  with pytest.raises(UserError, match="config.json: invalid sizes for codec"):
    components.load(tmp_path, "codec", codec.CodecConfig, init)

  def exhausted(key, config):
    raise MemoryError("Unable to allocate 8 TiB")

  with pytest.raises(MemoryError):
    components.load(tmp_path, "codec", codec.CodecConfig, exhausted)


def test_no_name_is_no_folder(tmp_path, monkeypatch):
  _write(tmp_path, {"codec": {}}, {"w": np.zeros(2, "f4")})
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match="no model ''.*siren-small"):
    _load("")
  _load(".")


def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path):
  params = {"w": {"kernel": jnp.array([1.0, math.nan])}}
  state = TrainState(jnp.array(3), params, None, {}, None)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(3, state, {}, {"kind": "codec", "codec": {}})
    checkpoints.wait()
  with pytest.raises(
    UserError, match="checkpoints/3: tensor 'params/w/kernel' is"
  ):
    _load(tmp_path)
