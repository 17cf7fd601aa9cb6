"""Seconds a Stage-1 training step takes.

  python -m benchmarks.stage1_step                  # the peer shape, batch 8
  python -m benchmarks.stage1_step --shape nano --batch 16 --frames 125

Random weights, prompts of 16 tokens. The peers' bar is for one expert; all of
them train in one program here, so the time of one is a share of that.
"""

import argparse
import statistics
import time

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.shapes import SHAPES, tables
from siren_jax import experts
from siren_jax.common import tuning
from siren_jax.experts.task import Stage1Task
from siren_jax.training import OptimizerConfig


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--shape", choices=SHAPES, default="peer")
  parser.add_argument("--batch", type=int, default=8)
  parser.add_argument("--frames", type=int, default=300)
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--expert-loop", default="auto")
  parser.add_argument("--repeats", type=int, default=3)
  args = parser.parse_args()
  config = SHAPES[args.shape]
  first, seconds = time_step(config, args)
  useful = config.num_experts * flops(config, args.batch * args.frames)
  speed = matmul_speed(jnp.dtype(args.dtype))
  print(f"{jax.devices()[0].device_kind}, {args.shape}: {config}")
  print(
    f"batch {args.batch} of {args.frames} frames: {seconds:.2f} s a step,"
    f" {seconds / config.num_experts:.3f} s an expert; first {first:.1f} s"
  )
  print(
    f"{useful / seconds / 1e9:.0f} GFLOP/s of {speed / 1e9:.0f} (1024 x 1024"
    f" products), {args.batch * args.frames / seconds:.0f} frames/s"
  )


def time_step(config: experts.ExpertConfig, args) -> tuple[float, float]:
  """Seconds of the first step with its compilation, and of a later one."""
  task = Stage1Task(
    config,
    OptimizerConfig(steps=100, warmup_steps=10),
    tables(config),
    execution=experts.Execution(dtype=args.dtype, expert_loop=args.expert_loop),
  )
  state = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
  step = jax.jit(
    task.step,
    donate_argnums=0,
    compiler_options=tuning.current().compiler_options,
  )
  batch, tokens, keys = args.batch, 16, jax.random.split(jax.random.key(1))
  shape = (batch, config.num_codebooks, args.frames)
  data = {
    "codes_BxNxT": jax.random.randint(keys[0], shape, 0, config.codebook_size),
    "prompt_BxPxC": jax.random.normal(
      keys[1], (batch, tokens, config.prompt_dim)
    ),
    "frame_mask_BxT": jnp.ones((batch, args.frames), bool),
    "prompt_mask_BxP": jnp.ones((batch, tokens), bool),
  }
  times = []
  for i in range(args.repeats + 1):
    begin = time.perf_counter()
    state, metrics = step(state, data, jax.random.key(i))
    jax.block_until_ready((state, metrics))
    times.append(time.perf_counter() - begin)
  return times[0], statistics.median(times[1:])


def flops(config: experts.ExpertConfig, frames: int) -> float:
  """Of one expert's forward and backward pass; attention left out."""
  d, kv = config.dim, config.kv_heads * config.head_dim
  block = 2 * d * d + 2 * d * kv + 3 * d * config.ffn_dim
  tokens = config.codebooks_per_expert + 1
  weights = (
    config.temporal_layers * (block + 2 * d * d)
    + tokens * config.depth_layers * block
    + config.codebooks_per_expert * d * config.codebook_size
  )
  return 6.0 * weights * frames


def matmul_speed(dtype: jnp.dtype, size: int = 1024) -> float:
  """Operations a second of a square product: the best of a few."""
  x = jnp.ones((size, size), dtype)
  product = jax.jit(jnp.matmul)
  product(x, x).block_until_ready()
  times = []
  for _ in range(10):
    begin = time.perf_counter()
    product(x, x).block_until_ready()
    times.append(time.perf_counter() - begin)
  return 2 * size**3 / min(times)


if __name__ == "__main__":
  main()
