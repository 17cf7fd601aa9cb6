"""What bfloat16 and int8 change: KL(float32 || other) of the next code.

  python -m benchmarks.precision

Codes are drawn by the built-in model, in float32; each precision gives the
distribution of every one of them, without temperature, top-k or guidance. In
nats, mean and largest over codes, and the share of codes whose most likely
value is another.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import siren_jax
from benchmarks.quality import PLAIN
from siren_jax import clap, experts, sampling
from siren_jax.clap import tokenizer
from siren_jax.sampling import state
from siren_jax.weights.bundle import Bundle

ROWS = 4  # prompts at a time


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", help="bundle (default: the built-in one)")
  parser.add_argument("--prompts", type=int, default=len(PLAIN))
  args = parser.parse_args()
  bundle = siren_jax.load(args.model).bundle
  prompts = list(PLAIN.values())[: args.prompts]
  frames = int(bundle.max_seconds * bundle.codec.config.frame_rate)
  divergence: dict[str, list[np.ndarray]] = {"bfloat16": [], "int8": []}
  changed: dict[str, list[np.ndarray]] = {"bfloat16": [], "int8": []}
  for i in range(0, len(prompts), ROWS):
    tokens, mask = encode(bundle, prompts[i : i + ROWS])
    keys = jax.random.split(jax.random.key(i), len(tokens))
    codes = sampling.sample(
      bundle.params, bundle.config, bundle.sampling, tokens, mask, keys, frames
    ).codes_BxNxT
    exact = log_probs(bundle, "float32", codes, tokens, mask)
    for dtype in divergence:
      other = log_probs(bundle, dtype, codes, tokens, mask)
      terms = jnp.exp(exact) * (exact - other)
      divergence[dtype].append(np.asarray(jnp.sum(terms, -1)))
      other_best = jnp.argmax(exact, -1) != jnp.argmax(other, -1)
      changed[dtype].append(np.asarray(other_best))
  for dtype, of_batches in divergence.items():
    kl = np.concatenate(of_batches)
    print(
      f"{dtype:8} KL mean {kl.mean():.5f}, largest {kl.max():.3f}; another"
      f" most likely code {np.concatenate(changed[dtype]).mean():.2%}"
      f" ({kl.size:,} codes)"
    )


def encode(bundle: Bundle, prompts: list[str]) -> tuple[jax.Array, jax.Array]:
  """Prompt tokens [B, P, C] and their mask."""
  text = bundle.clap.config.text
  ids, mask = tokenizer.tokenize(
    bundle.clap.tokenizer, prompts, text.max_tokens
  )
  params = bundle.all_params["clap"]
  return clap.encode_text(params, bundle.clap.config, ids, mask)[0], mask


def log_probs(
  bundle: Bundle,
  dtype: str,
  codes: jax.Array,
  tokens: jax.Array,
  mask: jax.Array,
) -> jax.Array:
  """Teacher-forced, [B, N, T, V]."""
  execution = experts.Execution(dtype=dtype)
  params = bundle.params
  if dtype == "int8":
    params = rounded(params, bundle.config, execution)
  whole = jnp.ones((len(codes), codes.shape[2]), bool)
  logits = experts.logits(
    params, bundle.config, codes, tokens, whole, mask, execution=execution
  )
  return jax.nn.log_softmax(logits)


def rounded(
  params: Mapping[str, Any],
  config: experts.ExpertConfig,
  execution: experts.Execution,
) -> Mapping[str, Any]:
  """Parameters of which the kernels were in eight bits."""
  weights = state.prepare_weights(params, config, execution).unpacked()
  stack = dict(params["params"])
  stack["temporal"] = stacked(weights.temporal)
  depth = [stacked(layers) for layers in weights.depth]
  heads = [jnp.stack(kernels, 1) for kernels in weights.heads]
  stack["depth"] = jax.tree.map(lambda *x: jnp.concatenate(x), *depth)
  stack["heads"] = jnp.concatenate(heads)
  return {**params, "params": stack}


def stacked(layers: list) -> dict:
  """Layers on axis 1, behind the experts."""
  return jax.tree.map(lambda *x: jnp.stack(x, 1), *layers)


if __name__ == "__main__":
  main()
