"""Averages of models that were tuned from the same start."""

import dataclasses

import jax
import numpy as np
import pytest

import siren_jax
from siren_jax.cli.main import main
from siren_jax.common.errors import UserError
from siren_jax.weights import bundle
from siren_jax.weights.average import average


def tuned(model, seed, size=0.1):
  """`model` after a random step of all that is tuned."""
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda x: (x + size * rng.standard_normal(x.shape)).astype(x.dtype),
    model.params["params"],
  )
  return dataclasses.replace(model, params=dict(model.params, params=params))


def close(one, other, **bounds):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, **bounds), one, other
  )


def test_averaging_one_model_gives_that_model(tiny_model):
  one = tuned(tiny_model, 0)
  averaged, agreement = average(tiny_model, [one])
  close(averaged.params, one.params, atol=1e-6)
  assert agreement == 1


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_the_mean_and_shares_of_it(tiny_model, share):
  runs = [tuned(tiny_model, seed) for seed in range(3)]
  trees = [run.params["params"] for run in runs]
  mean = jax.tree.map(lambda *x: np.mean(x, 0), *trees)
  averaged, _ = average(tiny_model, runs, share)
  start = tiny_model.params
  expected = jax.tree.map(
    lambda x, m: x + share * (m - x), start["params"], mean
  )
  close(averaged.params["params"], expected, atol=1e-6)
  close(averaged.params["frozen"], start["frozen"])


def test_agreement_is_the_mean_cosine_of_pairs(tiny_model):
  """Of ways of any length: 1 with itself, -1 with its opposite."""

  def agreement(*sizes):
    runs = [tuned(tiny_model, 0, size) for size in sizes]
    return average(tiny_model, runs)[1]

  np.testing.assert_allclose(agreement(0.1, 0.3), 1, atol=1e-3)
  np.testing.assert_allclose(agreement(0.1, -0.2), -1, atol=1e-3)
  np.testing.assert_allclose(agreement(0.1, -0.2, 0.3), -1 / 3, atol=1e-3)
  runs = [tuned(tiny_model, seed) for seed in range(3)]
  assert abs(average(tiny_model, runs)[1]) < 0.05


@pytest.mark.parametrize("part", ["codec", "clap", "config"])
def test_what_has_another_start_is_refused(tiny_model, part):
  if part == "config":
    other = dataclasses.replace(tiny_model.config, dropout=0.5)
  else:
    whole = getattr(tiny_model, part)
    params = jax.tree.map(lambda x: x + 1, whole.params)
    other = dataclasses.replace(whole, params=params)
  model = dataclasses.replace(tiny_model, name="mine", **{part: other})
  with pytest.raises(UserError, match="mine was not tuned from tiny"):
    average(tiny_model, [tuned(tiny_model, 0), model])


def test_the_start_itself_is_refused(tiny_model):
  with pytest.raises(UserError, match="tiny has the same experts as tiny"):
    average(tiny_model, [tuned(tiny_model, 0), tiny_model])


def test_from_the_command_line(tiny_model, tiny_bundle, tmp_path, capsys):
  runs = [tmp_path / "a", tmp_path / "b"]
  for seed, run in enumerate(runs):
    bundle.save(run, tuned(tiny_model, seed), "# run\n\n## Data\n\nBells.\n")
  out = tmp_path / "mine"
  argv = ["average", *runs, "--start", tiny_bundle, "--share", 0.5]
  assert main([str(x) for x in [*argv, "--out", out]]) == 0
  assert "cosine" in capsys.readouterr().out
  written = siren_jax.load(out).bundle
  assert written.name == "mine"
  expected, _ = average(
    bundle.load(tiny_bundle), [bundle.load(run) for run in runs], 0.5
  )
  close(written.params, expected.params, rtol=1e-3, atol=1e-3)
  card = (out / "README.md").read_text()
  assert "0.5 times the mean weight update" in card and "Bells." in card


@pytest.mark.parametrize("share", ["-1", "0", "nan", "inf"])
def test_a_share_that_is_none_is_refused(
  share, tiny_bundle, tmp_path, user_error
):
  argv = ["average", tiny_bundle, "--start", tiny_bundle, "--share", share]
  message = user_error([*argv, "--out", tmp_path / "out"])
  assert f"share {share}" in message and not (tmp_path / "out").exists()
