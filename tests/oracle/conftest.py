"""Oracles are PyTorch's; see CONTRIBUTING.md for what to install."""

import importlib.util
import pathlib
import sys
from unittest import mock

import pytest

PUBLISHED = pathlib.Path(__file__).with_name("published.py")

# torchaudio's compiled part wants the libraries of a GPU; nothing asks for it.
sys.modules.setdefault(
  "torchaudio._extension", mock.MagicMock(_IS_TORCHAUDIO_EXT_AVAILABLE=False)
)


@pytest.fixture(scope="session")
def published():
  """published.py, importable although tests are no package."""
  spec = importlib.util.spec_from_file_location("published", PUBLISHED)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
