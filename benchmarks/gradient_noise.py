"""How much of an alignment's gradient is signal, parameter by parameter.

  python -m benchmarks.gradient_noise --prompts runs/audio --seconds 1.25

Gradients of independent batches at the start of an alignment: what they have
in common is signal, the rest is noise. `share` is signal over both, in squares
(the mean cosine of two batches); at a share s, about (1 - s) / s batches make
a direction worth taking. Every parameter of the policy counts, whatever
`alignment.tuned` says. Batches hold the same number of frames at any length,
so shares at different --seconds cost the same to have.
"""

import argparse

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

import siren_jax
from siren_jax.alignment import AlignConfig
from siren_jax.experiments.align import AlignDataConfig, AlignExperiment, build
from siren_jax.sampling import SamplingConfig
from siren_jax.training import TrainConfig


def gradients(task, state, batches, count: int) -> list[dict]:
  """Gradient of each of `count` batches, arrays [policy, size] by name."""

  @jax.jit
  def gradient(state, batch, key):
    rows, _ = task.experience(state, batch, key)
    grad = jax.grad(task.loss, has_aux=True)
    return grad(state.params, state.extra["experts"], rows)[0]

  flattened = []
  for i in range(count):
    tree = gradient(state, next(batches), jax.random.key(i))
    flat = flax.traverse_util.flatten_dict(jax.device_get(tree), sep="/")
    flattened.append({k: v.reshape(len(v), -1) for k, v in flat.items()})
  return flattened


def share(gram: np.ndarray) -> tuple[float, float]:
  """Signal over signal and noise, and its standard error (jackknife).

  `gram` has the inner products of all pairs of batches.
  """
  count = len(gram)

  def of(kept):
    part = gram[np.ix_(kept, kept)]
    own = np.trace(part)
    common = (part.sum() - own) / (len(kept) - 1)
    return common / own if own else 0.0

  left_out = [of(np.delete(np.arange(count), i)) for i in range(count)]
  error = np.std(left_out) * np.sqrt(count - 1)
  return of(np.arange(count)), error


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("--prompts", required=True, help="text file or prepared data set")
  add("--model", default="siren-small")
  add("--policy", type=int, nargs="*", default=[0, 1])
  add("--reward", default="contrast")
  add("--seconds", type=float, default=1.25)
  add("--guidance", type=float, default=3.0)
  add("--temperature", type=float, default=0.9)
  add("--rollout-seconds", type=float, default=320.0, help="of a batch")
  add("--batches", type=int, default=14)
  args = parser.parse_args()
  model = siren_jax.load(args.model).bundle
  group = AlignConfig.group_size
  experiment = AlignExperiment(
    alignment=AlignConfig(
      policy=tuple(args.policy),
      rewards=(args.reward,),
      advantage="leave_one_out",
      seconds=args.seconds,
      sampling=SamplingConfig(
        guidance=args.guidance, temperature=args.temperature
      ),
      minibatches=1,
    ),
    train=TrainConfig(
      batch_size=round(args.rollout_seconds / args.seconds / group)
    ),
    data=AlignDataConfig(path=args.prompts),
  )
  task, batches, _ = build(
    experiment, model.models, model.all_params, model.clap.tokenizer
  )
  state = nn.unbox(task.init(jax.random.key(0), model.all_params))
  grads = gradients(task, state, batches, args.batches)
  for i, expert in enumerate(args.policy):
    grams = {}
    for name in grads[0]:
      vectors = np.stack([g[name][i] for g in grads]).astype(np.float64)
      grams[name] = vectors @ vectors.T
    print(
      "expert {}: {:.3f} +- {:.3f}".format(expert, *share(sum(grams.values())))
    )
    for name in sorted(grams, key=lambda n: -share(grams[n])[0]):
      size = grads[0][name].shape[1]
      own, error = share(grams[name])
      print(f"  {name:36}{size:8}  {own:6.3f} +- {error:.3f}")


if __name__ == "__main__":
  main()
