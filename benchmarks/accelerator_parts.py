"""What `benchmarks.accelerator` measures: each part in a process of its own.

A part is a generator. All that it compiles is compiled when it first yields;
from then on it yields what it has measured, one dictionary after another. As a
program, `python -m benchmarks.accelerator_parts NAME SIZE` prints those as
lines of JSON, and after the first one waits for a line of its input.
"""

import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.accelerator_sizes import SIZES, Size
from benchmarks.sampling import bytes_a_frame
from benchmarks.shapes import tables
from benchmarks.speeds import (
  compiled,
  copy_speed,
  matmul_speed,
  median,
  read_speed,
)
from siren_jax import codec, experts, sampling
from siren_jax.experts import Execution, ExpertConfig
from siren_jax.experts.task import Stage1Task
from siren_jax.sampling import SamplingConfig, methods
from siren_jax.scaling import flops
from siren_jax.training import OptimizerConfig

Figures = Iterator[dict[str, Any]]
TOP_K = 64


EXECUTION = Execution(dtype="bfloat16", scan_layers=True, remat=True)


class Part(NamedTuple):
  """A part by its name; `flags` are XLA's, for its process alone."""

  run: Callable[[], Figures]
  flags: str = ""


def parts(size: Size) -> dict[str, Part]:
  """All of them, what matters most first."""
  first, *others = size.batches
  named: dict[str, Part] = {"device": Part(functools.partial(device, size))}

  def add(name: str, function: Callable, *args, flags: str = "", **kwargs):
    run = functools.partial(function, size, *args, **kwargs)
    named[name] = Part(run, flags)

  for batch in size.batches[:2]:
    add(f"sample batch {batch}", sample, batch)
  add(f"train batch {size.train_batches[0]}", train, size.train_batches[0])
  for batch in others[1:]:
    add(f"sample batch {batch}", sample, batch)
  add(f"sample batch {first}, guidance 3", sample, first, guidance=3.0)
  for batch in size.batches:
    add(f"sample batch {batch}, int8", sample, batch, dtype="int8")
  shallow = {"batch": first, "layers": size.layers}
  for name, flags in FLAGS.items():
    add(f"flags {name}", sample, flags=flags, **shallow)
  add("without top-k", sample, **shallow, top_k=None)
  for dtype in ("float32", "bfloat16"):
    add(f"sampler and scorer {dtype}", mismatch, dtype)
  add("codec DAC", coding, size.dac)
  add("codec spectral", coding, size.spectral)
  for batch in size.train_batches[1:]:
    add(f"train batch {batch}", train, batch)
  return named


_WHILE = "--xla_gpu_enable_command_buffer=+WHILE"
FLAGS = {
  "default": "",
  "off": "--xla_gpu_enable_command_buffer=",
  "+WHILE": _WHILE,
  "+WHILE, SKIP_TEMP": (
    f"{_WHILE} --xla_gpu_command_buffer_update_mode=SKIP_TEMP"
  ),
  "CONCURRENT_REGIONS": (
    "--xla_gpu_command_buffer_scheduling_mode=CONCURRENT_REGIONS"
  ),
  "without Triton": "--xla_gpu_enable_triton_gemm=false",
}
# A part that fails is tried again so: some products have no Triton kernel.
SECOND_TRY = FLAGS["without Triton"]


def device(size: Size) -> Figures:
  """The card's own limits."""
  yield {}
  card = jax.devices()[0]
  yield {
    "platform": card.platform,
    "kind": card.device_kind,
    "jax": jax.__version__,
    "platform_version": card.client.platform_version,
    "memory_limit_GB": _memory("bytes_limit"),
  }
  yield {
    "copy_GB_per_s": copy_speed(size.elements) / 1e9,
    "read_GB_per_s": read_speed(size.elements) / 1e9,
    "bfloat16_TFLOP_per_s": matmul_speed(size.width) / 1e12,
  }


def sample(
  size: Size,
  batch: int,
  layers: int | None = None,
  top_k: int | None = TOP_K,
  guidance: float | None = None,
  dtype: str = "bfloat16",
) -> Figures:
  """The sampler with random weights, prepared as `load` does."""
  layers = layers or size.experts.temporal_layers
  config = dataclasses.replace(size.experts, temporal_layers=layers)
  method = SamplingConfig(top_k=top_k, guidance=guidance)

  def make(key: jax.Array) -> sampling.Weights:
    variables = _weights(key, config, jnp.float32)
    return sampling.prepare_weights(variables, config, Execution(dtype=dtype))

  def init_state(weights: sampling.Weights) -> tuple[Any, Any]:
    prompted = sampling.prepare(weights, method, *prompts)
    return prompted, sampling.start(prompted, size.frames)

  init = compiled(jax.jit(make), _key(0))
  prompts = _prompts(config, batch, size.prompt_tokens)
  keys = jax.random.split(_key(2), batch)
  begin = time.perf_counter()
  shapes = jax.eval_shape(init_state, jax.eval_shape(make, _key(0)))
  run = sampling.advance.lower(*shapes, keys, num_frames=size.frames).compile()
  yield {
    "layers": f"{layers} + {config.depth_layers}",
    "compile_s": time.perf_counter() - begin,
    **_program_memory(run),
  }
  prompted, _ = init_state(init.run(_key(0)))

  def drawn() -> Any:
    return run(prompted, sampling.start(prompted, size.frames), keys)

  drawn()  # Compiles `start`.
  a_frame = median(drawn, size.repeats) / size.frames
  read = bytes_a_frame(config, 1 if dtype == "int8" else 2)
  rows = batch * (2 if guidance else 1)
  yield {
    "ms_a_frame": 1e3 * a_frame,
    "frames_per_s": batch / a_frame,
    "weights_MB_a_frame": read / 1e6,
    "cache_MB_a_frame": _cache_bytes(config, size, rows) / 1e6,
    "peak_GB": _memory("peak_bytes_in_use"),
  }
  # Last: its own array would count in the peak.
  speed = copy_speed(size.elements)
  yield {
    "copy_GB_per_s": speed / 1e9,
    "share_of_bandwidth": read / speed / a_frame,
  }


def train(size: Size, batch: int) -> Figures:
  """A Stage-1 step: AdamW's state in float32, products in bfloat16."""
  config, frames = size.experts, size.clip_frames
  task = _task(config)
  init = compiled(jax.jit(lambda key: nn.unbox(task.init(key))), _key(0))
  prompt, mask = _prompts(config, batch, size.prompt_tokens)
  shape = (batch, config.num_codebooks, frames)
  data = {
    "codes_BxNxT": jax.random.randint(_key(1), shape, 0, config.codebook_size),
    "prompt_BxPxC": prompt,
    "frame_mask_BxT": jnp.ones((batch, frames), bool),
    "prompt_mask_BxP": mask,
  }
  shapes = jax.eval_shape(init.function, _key(0))
  begin = time.perf_counter()
  step = jax.jit(task.step, donate_argnums=0).lower(shapes, data, _key(0))
  step = step.compile()
  compile_s = time.perf_counter() - begin
  # What remat computes again is not counted.
  plain = _task(config, remat=False)
  useful = flops.count(plain.step, shapes, data, _key(0))
  yield {
    "compile_s": compile_s,
    **_program_memory(step),
    "TFLOP": useful / 1e12,
  }
  peak = matmul_speed(size.width)
  state = init.run(_key(0))
  losses = []

  def run():
    nonlocal state
    state, metrics = step(state, data, _key(len(losses)))
    losses.append(float(metrics["loss"]))
    return state

  seconds = median(run, size.repeats)
  yield {
    "s_a_step": seconds,
    "codes_per_s": data["codes_BxNxT"].size / seconds,
    "frames_per_s": batch * frames / seconds,
    "TFLOP_per_s": useful / seconds / 1e12,
    "matmul_TFLOP_per_s": peak / 1e12,
    "share_of_peak": useful / seconds / peak,
    "loss": [losses[0], losses[-1]],
    "peak_GB": _memory("peak_bytes_in_use"),
  }


def mismatch(size: Size, dtype: str) -> Figures:
  """Log-probs of drawn codes: the sampler's less the scorer's."""
  config, run = size.exact, {"execution": Execution(dtype=dtype)}
  batch, frames = 4, min(size.frames, 32)
  prompts = _prompts(config, batch, size.prompt_tokens)
  inputs = *prompts, jax.random.split(_key(2), batch), frames
  make = functools.partial(_weights, config=config, dtype=dtype)
  weights = jax.jit(make)(_key(0))

  @jax.jit
  def again(weights, method, codes):
    """The scorer's log-probs, and how many codes it might have drawn."""
    scores = sampling.score(weights, config, method, codes, *prompts, **run)
    whole = jnp.ones((batch, frames), bool)
    with_prompt, without = (
      experts.logits(weights, config, codes, prompt, whole, mask, **run)
      for prompt, mask in (prompts, experts.null_prompt(*prompts))
    )
    guided = methods.guide(with_prompt, without, method.guidance)
    kept = jnp.isfinite(methods.log_probs(guided, method))
    return scores.log_probs_BxNxT, jnp.sum(kept, -1)

  def compare(guidance: float) -> dict[str, float]:
    method = SamplingConfig(top_k=TOP_K, guidance=guidance)
    drawn = sampling.sample(weights, config, method, *inputs, **run)
    scored, kept = again(weights, method, drawn.codes_BxNxT)
    possible = jnp.isfinite(scored)
    apart = jnp.where(possible, abs(drawn.log_probs_BxNxT - scored), 0)
    name = f"guidance {guidance:g}"
    return {
      f"{name}, max": float(jnp.max(apart)),
      f"{name}, mean": float(jnp.sum(apart) / jnp.sum(possible)),
      f"{name}, ruled out by the scorer": int(jnp.sum(~possible)),
      f"{name}, codes": scored.size,
      f"{name}, most kept": int(jnp.max(kept)),
    }

  compare(1.0)  # Guidance is data: this compiles for all.
  yield {}
  yield compare(1.0)
  yield compare(3.0)


def coding(size: Size, config: codec.CodecConfig) -> Figures:
  """Encoding and decoding, float32."""
  params = jax.jit(functools.partial(codec.init, config=config))(_key(0))
  samples = round(size.codec_seconds * config.sample_rate)
  encoder = jax.jit(functools.partial(codec.encode, config=config))
  decoder = jax.jit(functools.partial(codec.decode, config=config))
  runs, seconds = {}, {}
  for batch in size.codec_batches:
    audio = 0.1 * jax.random.normal(_key(1), (batch, samples))
    encode = compiled(encoder, params, audio_BxS=audio)
    codes = encode.run(params, audio_BxS=audio)
    decode = compiled(decoder, params, codes_BxNxT=codes)
    runs[f"encode batch {batch}"] = functools.partial(
      encode.run, params, audio_BxS=audio
    )
    runs[f"decode batch {batch}"] = functools.partial(
      decode.run, params, codes_BxNxT=codes
    )
    seconds[f"compile batch {batch}, s"] = encode.seconds + decode.seconds
  yield seconds
  for name, run in runs.items():
    yield {f"{name}, ms": 1e3 * median(run, size.repeats)}


def _key(seed: int) -> jax.Array:
  return jax.random.key(seed)


def _weights(key: jax.Array, config: ExpertConfig, dtype: Any) -> Any:
  """Random variables of all experts, for a jit: born where they stay."""
  variables = nn.unbox(experts.init(key, config, tables(config)))
  return jax.tree.map(lambda x: x.astype(dtype), variables)


def _task(config: ExpertConfig, remat: bool = True) -> Stage1Task:
  optimizer = OptimizerConfig(steps=100, warmup_steps=10)
  execution = dataclasses.replace(EXECUTION, remat=remat)
  return Stage1Task(config, optimizer, tables(config), execution=execution)


def _prompts(config: ExpertConfig, batch: int, tokens: int):
  prompt = jax.random.normal(_key(1), (batch, tokens, config.prompt_dim))
  return prompt, jnp.ones((batch, tokens), bool)


def _cache_bytes(config: ExpertConfig, size: Size, rows: int) -> int:
  """Keys and values that one frame of so many rows reads, in one block."""
  own = config.kv_heads * config.head_dim * (size.frames + 1)
  cross = config.dim * size.prompt_tokens
  layers = config.num_experts * config.temporal_layers
  return 2 * 2 * rows * layers * (own + cross)


def _program_memory(program: Any) -> dict[str, float]:
  """Gigabytes of a program's arguments, results and temporaries."""
  sizes = program.memory_analysis()
  kept = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
  kept -= sizes.alias_size_in_bytes  # Donated arguments become results.
  temporary = sizes.temp_size_in_bytes
  return {
    "program_GB": (kept + temporary) / 1e9,
    "temporary_GB": temporary / 1e9,
  }


def _memory(name: str) -> float | None:
  """Gigabytes, of everything since the start; a CPU keeps no count."""
  stats: Mapping[str, int] = jax.devices()[0].memory_stats() or {}
  return stats[name] / 1e9 if name in stats else None


def main() -> None:
  name, size = sys.argv[1:]
  # What libraries print goes to the errors.
  lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  figures = parts(SIZES[size])[name].run()
  print(json.dumps(next(figures)), file=lines)
  sys.stdin.readline()
  for measured in figures:
    print(json.dumps(measured), file=lines)


if __name__ == "__main__":
  main()
