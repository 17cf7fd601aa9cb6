"""Oracles are PyTorch's; see CONTRIBUTING.md for what to install."""

import sys
from unittest import mock

# torchaudio's compiled part wants the libraries of a GPU; nothing asks for it.
sys.modules.setdefault(
  "torchaudio._extension", mock.MagicMock(_IS_TORCHAUDIO_EXT_AVAILABLE=False)
)
