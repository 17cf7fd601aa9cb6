"""The toy run, importable although tests are no package."""

import importlib.util
import pathlib
import sys

import pytest

PATH = pathlib.Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy():
  spec = importlib.util.spec_from_file_location("toy", PATH)
  module = importlib.util.module_from_spec(spec)
  sys.modules["toy"] = module
  spec.loader.exec_module(module)
  return module
