"""A figure of the model, with the sizes of a bundle.

python -m benchmarks.figure --out docs/model.svg
"""

import argparse
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from siren_jax.weights import bundle as bundles

WIDTH, HEIGHT = 12.0, 7.8  # units of the drawing
INCHES = 0.8  # of a unit
LEFT, RIGHT = 0.4, 11.6
BLUE, GREEN, YELLOW, GREY = "#cfe0f5", "#d5ecd4", "#fbe7b5", "#e6e6e6"
PAPER = "#ffffff"


def box(
  axis: Axes, x: float, y: float, w: float, h: float, text: str, color: str
) -> None:
  """A box with text in its middle."""
  axis.add_patch(
    FancyBboxPatch(
      (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08",
      facecolor=color, edgecolor="#444444", linewidth=0.8,
    )
  )  # fmt: skip
  axis.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=9)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]):
  style = {"arrowstyle": "-|>", "color": "#444444", "lw": 0.9}
  axis.annotate("", end, start, arrowprops=style)


def layers(count: int) -> str:
  return f"{count} layer{'s' * (count > 1)}"


def top(axis: Axes, bundle: Any) -> None:
  """From words to prompt tokens."""
  text = bundle.clap.config.text
  axis.text(LEFT, 7.6, "“a dog barking”", va="center", fontsize=10)
  arrow(axis, (2.1, 7.6), (2.7, 7.6))
  sizes = f"text tower of CLAP\n{layers(text.layers)}, width {text.width}"
  box(axis, 2.7, 7.25, 2.6, 0.7, sizes, BLUE)
  arrow(axis, (5.3, 7.6), (5.9, 7.6))
  tokens = (
    f"at most {text.max_tokens} prompt tokens"
    f" of {bundle.config.prompt_dim} values"
  )
  box(axis, 5.9, 7.25, RIGHT - 5.9, 0.7, tokens, BLUE)
  box(
    axis, LEFT, 6.35, RIGHT - LEFT, 0.4,
    "every expert reads the prompt tokens, and all codes of the frames before",
    GREY,
  )  # fmt: skip
  arrow(axis, (8.75, 7.25), (8.75, 6.75))


def experts(axis: Axes, bundle: Any) -> None:
  """Each expert with its two paths, and the codebooks that it predicts."""
  config = bundle.config
  own = config.num_codebooks // config.num_experts
  pitch = (RIGHT - LEFT) / config.num_experts
  wide, cell = pitch - 0.24, (pitch - 0.24) / own
  for k in range(config.num_experts):
    x = LEFT + k * pitch + 0.12
    middle = x + wide / 2
    arrow(axis, (middle, 6.35), (middle, 6.0))
    box(axis, x, 3.35, wide, 2.65, "", PAPER)
    axis.text(
      middle, 5.78, f"expert {k}", ha="center", va="center", fontsize=10
    )
    temporal = f"{layers(config.temporal_layers)}\nwidth {config.dim}"
    depth = f"depth path\n{layers(config.depth_layers)}"
    box(
      axis, x + 0.1, 4.6, wide - 0.2, 0.95, f"temporal path\n{temporal}", GREEN
    )
    box(axis, x + 0.1, 3.5, wide - 0.2, 0.75, depth, GREEN)
    arrow(axis, (middle, 4.6), (middle, 4.25))
    arrow(axis, (middle, 3.35), (middle, 3.0))
    for u in range(own):
      box(axis, x + u * cell, 2.5, cell, 0.5, str(k * own + u), YELLOW)
    if k + 1 < config.num_experts:  # to the depth path of the next one
      arrow(axis, (x + wide - cell / 2, 3.0), (x + wide + 0.34, 3.6))


def bottom(axis: Axes, bundle: Any) -> None:
  """From the codes of a frame to sound."""
  config, codec = bundle.config, bundle.codec.config
  codes = (
    f"a frame: {config.num_codebooks} codes, one of {config.codebook_size:,}"
    " in each codebook; coarse on the left, fine on the right"
  )
  axis.text(
    (LEFT + RIGHT) / 2, 2.22, codes, ha="center", va="center", fontsize=9
  )
  arrow(axis, (4.0, 2.0), (4.0, 1.45))
  decoder = f"decoder of the codec\n{codec.frame_rate:g} frames a second"
  box(axis, 2.7, 0.75, 2.6, 0.7, decoder, BLUE)
  arrow(axis, (5.3, 1.1), (5.9, 1.1))
  time = np.linspace(0, 1, 400)
  wave = np.exp(-5 * time) * np.sin(2 * np.pi * 24 * time)
  axis.plot(6.0 + 3.0 * time, 1.1 + 0.45 * wave, color="#33658a", lw=1)
  axis.text(
    9.3, 1.1, f"sound, {codec.sample_rate:,} samples\na second, mono",
    va="center", fontsize=9,
  )  # fmt: skip


def draw(bundle: Any) -> Figure:
  """The model from words to sound."""
  figure = pyplot.figure(figsize=(INCHES * WIDTH, INCHES * HEIGHT))
  axis = figure.add_axes((0, 0, 1, 1))
  axis.set(xlim=(0, WIDTH), ylim=(0.4, 0.4 + HEIGHT))
  axis.axis("off")
  for part in (top, experts, bottom):
    part(axis, bundle)
  return figure


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", help="bundle (default: the built-in one)")
  parser.add_argument("--out", required=True, help="an .svg or a .png")
  args = parser.parse_args()
  with matplotlib.rc_context({"svg.hashsalt": "model"}):
    figure = draw(bundles.load(args.model))
    stamp = {"Date": None} if args.out.endswith(".svg") else None
    figure.savefig(args.out, dpi=110, metadata=stamp, facecolor=PAPER)


if __name__ == "__main__":
  main()
