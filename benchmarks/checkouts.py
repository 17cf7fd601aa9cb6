"""Is one checkout as fast as another? In turns, so that load falls on both.

  python -m benchmarks.checkouts OLD
  python -m benchmarks.checkouts OLD --candidates 4
  python -m benchmarks.checkouts OLD --shape peer --batch 8

Seconds of whole sounds by the built-in model, of this checkout and of the
one in the folder OLD; with --shape, of the sampler alone with random weights.
One process each; a pair is a call of both, first the one, then the other,
and the ratio is the median of the pairs' ratios.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

import siren_jax
from benchmarks.sampling import copy_speed
from benchmarks.shapes import SHAPES, variables
from siren_jax import sampling

HERE = pathlib.Path(__file__).parents[1]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("old", type=pathlib.Path, help="the other checkout")
  parser.add_argument("--seconds", type=float, default=5.0)
  parser.add_argument("--candidates", type=int, default=1)
  parser.add_argument("--shape", choices=SHAPES)
  parser.add_argument("--batch", type=int, default=1)
  parser.add_argument("--frames", type=int, default=300)
  parser.add_argument("--repeats", type=int, default=9, help="pairs")
  parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.child:
    answer(sampler(args) if args.shape else sounds(args))
    return
  print(f"memory {copy_speed() / 1e9:.1f} GB/s")
  trees = {"old": args.old.resolve(), "new": HERE}
  children = {name: start(tree) for name, tree in trees.items()}
  times: dict[str, list[float]] = {name: [] for name in trees}
  for i in range(args.repeats + 1):  # The first pair compiles.
    for name in list(trees)[:: 1 - 2 * (i % 2)]:
      seconds = request_seconds(children[name])
      if i:
        times[name].append(seconds)
  for child in children.values():
    child.communicate()
  for name, seconds in times.items():
    print(f"{name}: median {statistics.median(seconds):.3f} s")
  ratios = sorted(
    new / old for old, new in zip(times["old"], times["new"], strict=True)
  )
  print(
    f"new to old, time: {statistics.median(ratios):.3f}"
    f" ({ratios[0]:.3f} to {ratios[-1]:.3f}); of the fastest"
    f" {min(times['new']) / min(times['old']):.3f}"
  )


def start(tree: pathlib.Path) -> subprocess.Popen:
  """This script with the packages of a checkout, which are found first."""
  return subprocess.Popen(
    [sys.executable, "-P", __file__, *sys.argv[1:], "--child"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree,
    env=os.environ | {"PYTHONPATH": str(tree)},
  )  # fmt: skip


def request_seconds(child: subprocess.Popen) -> float:
  assert child.stdin is not None and child.stdout is not None
  child.stdin.write("\n")
  child.stdin.flush()
  return float(child.stdout.readline())


def answer(run: Callable[[], object]) -> None:
  for _ in sys.stdin:
    begin = time.perf_counter()
    run()
    print(time.perf_counter() - begin, flush=True)


def sounds(args: argparse.Namespace) -> Callable[[], object]:
  siren = siren_jax.load()
  return lambda: siren.generate(
    "a dog barking", args.seconds, candidates=args.candidates
  )


def sampler(args: argparse.Namespace) -> Callable[[], object]:
  config = SHAPES[args.shape]
  params, batch = variables(config), args.batch
  method = sampling.SamplingConfig(top_k=64)
  prompt = jax.random.normal(jax.random.key(1), (batch, 16, config.prompt_dim))
  mask = jnp.ones(prompt.shape[:2], bool)
  keys = jax.random.split(jax.random.key(2), batch)
  return lambda: jax.block_until_ready(
    sampling.sample(params, config, method, prompt, mask, keys, args.frames)
  )


if __name__ == "__main__":
  main()
