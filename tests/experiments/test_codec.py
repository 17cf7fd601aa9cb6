"""Starting from a codec that is there already."""

import dataclasses

import numpy as np
import pytest

from siren_jax import codec
from siren_jax.codec.task import CodecLossConfig
from siren_jax.common.errors import UserError
from siren_jax.experiments import codec as experiments


def test_locked_codes_need_a_codec():
  with pytest.raises(UserError, match="give data.start"):
    experiments.CodecExperiment(loss=CodecLossConfig(lock_codes=True))


def test_starts_from_a_bundle_of_the_same_sizes(tiny_bundle):
  start = codec.load(tiny_bundle)
  data = experiments.CodecDataConfig(path="", start=str(tiny_bundle))
  with pytest.raises(UserError, match="differs in size"):
    experiments.start_of(experiments.CodecExperiment(data=data))
  searching = dataclasses.replace(start.config, beam=3)
  params = experiments.start_of(
    experiments.CodecExperiment(codec=searching, data=data)
  )
  np.testing.assert_array_equal(
    params["decoder"]["bands"]["bias"],
    start.params["decoder"]["bands"]["bias"],
  )
