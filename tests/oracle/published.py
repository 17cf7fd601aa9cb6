"""The published networks in PyTorch, with random weights that keep a signal."""

import sys
import types

import numpy as np
import pytest
import torch
import transformers


def dac() -> torch.nn.Module:
  """Descript's 16 kHz codec, of transformers."""
  torch.manual_seed(0)
  model = transformers.DacModel(
    transformers.DacConfig(downsampling_ratios=[2, 4, 5, 8], n_codebooks=12)
  )
  for name, value in model.named_parameters():
    if "alpha" in name:
      value.data.uniform_(0.5, 1.5)
    elif value.dim() == 1:
      value.data.normal_(0, 0.05)
    elif "codebook" not in name:
      fan_in = value.shape[1] * value.shape[2]
      if "conv_t" in name:
        fan_in = 2 * value.shape[0]
      gain = 0.3 if "unit" in name and "conv2" in name else 1.0
      value.data.normal_(0, gain * fan_in**-0.5)
  return model.eval()


def clap(fused: bool) -> tuple[torch.nn.Module, object]:
  """LAION's CLAP, of transformers, and its feature extractor."""
  torch.manual_seed(0)
  audio = {"enable_fusion": fused}
  audio |= {"fusion_type": "aff_2d"} if fused else {}
  model = transformers.ClapModel(transformers.ClapConfig(audio_config=audio))
  for name, value in model.named_parameters():
    if "norm" in name.lower() and "weight" in name:
      value.data.uniform_(0.8, 1.2)
    elif value.dim() < 2:
      value.data.normal_(0, 0.1)
    elif "embeddings" not in name:
      value.data.normal_(0, np.prod(value.shape[1:]) ** -0.5)
  for name, value in model.named_buffers():
    if "running_var" in name:
      value.uniform_(200, 400)
    elif "running_mean" in name:
      value.normal_(-30, 3)
  extractor = transformers.ClapFeatureExtractor(
    frequency_min=50,
    frequency_max=14000,
    truncation="fusion" if fused else "rand_trunc",
  )
  return model.eval(), extractor


def vggish(monkeypatch) -> torch.nn.Module:
  """Of torchvggish, with its last ReLU."""
  # It resamples, which is not asked for here.
  monkeypatch.setitem(sys.modules, "resampy", types.ModuleType("resampy"))
  module = pytest.importorskip("torchvggish.torchvggish")
  return _tagger(module._vgg())


def cnn14(config, monkeypatch, home) -> torch.nn.Module:
  """Of PANNs, with the front end of `config`."""
  # At import it fetches labels with wget; it fails quietly without a network.
  monkeypatch.setenv("HOME", str(home))
  module = pytest.importorskip("panns_inference.models")
  return _tagger(
    module.Cnn14(
      config.sample_rate, config.window, config.hop, 64,
      config.low, config.high, 527,
    )
  )  # fmt: skip


def _tagger(model: torch.nn.Module) -> torch.nn.Module:
  torch.manual_seed(0)
  for name, value in model.named_parameters():
    if "extractor" in name:
      continue
    if value.dim() > 1:
      value.data.normal_(0, (2 / np.prod(value.shape[1:])) ** 0.5)
    elif "bn" in name and "weight" in name:
      value.data.uniform_(0.8, 1.2)
    else:
      value.data.normal_(0, 0.05)
  for name, value in model.named_buffers():
    if "running_var" in name:
      value.uniform_(0.5, 1.5)
    elif "running_mean" in name:
      value.normal_(0, 0.1)
  return model.eval()
