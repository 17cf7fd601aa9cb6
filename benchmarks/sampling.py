"""Frames a second of the sampler, beside the limit that memory sets.

  python -m benchmarks.sampling   # the peer shape of benchmarks/README.md
  python -m benchmarks.sampling --shape nano --guidance 3 --frames 125

Random weights. A frame reads every weight of the temporal paths once and of
the depth paths once for each of its codebooks: at batch 1 the memory's speed,
measured in the same run, is the limit.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from benchmarks.shapes import SHAPES, variables
from siren_jax import sampling
from siren_jax.experts import Execution, ExpertConfig


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--shape", choices=SHAPES, default="peer")
  parser.add_argument("--batch", type=int, nargs="*", default=[1, 8])
  parser.add_argument("--frames", type=int, default=300)
  parser.add_argument("--guidance", type=float)
  parser.add_argument("--top-k", type=int, default=64)
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--repeats", type=int, default=3)
  args = parser.parse_args()
  config = SHAPES[args.shape]
  params = jax.tree.map(lambda x: x.astype(args.dtype), variables(config))
  method = sampling.SamplingConfig(top_k=args.top_k, guidance=args.guidance)

  size = bytes_a_frame(config, jnp.dtype(args.dtype).itemsize)
  speed = copy_speed()
  print(f"{jax.devices()[0].device_kind}, {args.shape}: {config}")
  print(
    f"{size / 1e6:.0f} MB of weights a frame; memory {speed / 1e9:.1f} GB/s"
  )
  print(f"limit at batch 1: {speed / size:.0f} frames/s")
  for batch in args.batch:
    first, seconds = time_sampling(params, config, method, batch, args)
    rate = args.frames / seconds
    print(
      f"batch {batch}: {rate:.1f} frames/s a stream, {batch * rate:.1f} in all;"
      f" first call {first:.1f} s, then {seconds:.2f} s for {args.frames}"
    )


def time_sampling(params, config: ExpertConfig, method, batch, args):
  """Seconds of the first call, and the median of the others."""
  prompt = jax.random.normal(jax.random.key(1), (batch, 16, config.prompt_dim))
  mask = jnp.ones(prompt.shape[:2], bool)
  keys = jax.random.split(jax.random.key(2), batch)
  times = []
  for _ in range(args.repeats + 1):
    begin = time.perf_counter()
    jax.block_until_ready(
      sampling.sample(
        params, config, method, prompt, mask, keys, args.frames,
        execution=Execution(dtype=args.dtype),
      )
    )  # fmt: skip
    times.append(time.perf_counter() - begin)
  return times[0], statistics.median(times[1:])


def bytes_a_frame(config: ExpertConfig, itemsize: int) -> int:
  """Weights that one frame of one stream has to read."""
  d, kv = config.dim, config.kv_heads * config.head_dim
  block = 2 * d * d + 2 * d * kv + 3 * d * config.ffn_dim
  temporal = config.temporal_layers * (block + 2 * d * d)
  depth = config.depth_layers * block + d * config.codebook_size
  steps = config.codebooks_per_expert
  return config.num_experts * (temporal + steps * depth) * itemsize


def copy_speed(megabytes: int = 256) -> float:
  """Bytes a second that the device reads: the best of a few sums."""
  x = jnp.ones((megabytes * 2**18,), jnp.float32)
  read = jax.jit(jnp.sum)
  read(x).block_until_ready()
  times = []
  for _ in range(10):
    begin = time.perf_counter()
    read(x).block_until_ready()
    times.append(time.perf_counter() - begin)
  return x.nbytes / min(times)


if __name__ == "__main__":
  main()
