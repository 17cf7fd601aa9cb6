"""Model cards: the README.md of a bundle."""

import dataclasses
import os
import pathlib
from typing import Any

import jax

import siren_jax
from siren_jax.common import text
from siren_jax.weights.bundle import Bundle


def notes(folder: str | os.PathLike) -> str | None:
  """What the card in `folder` says of data and licences: all but its head.

  Raises:
    UserError: the card is not text, or something else in its place.
  """
  path = pathlib.Path(folder) / "README.md"
  if not path.is_file() or not path.stat().st_size:
    return None
  card = "\n".join(text.lines(text.read_text(path)))
  _, heading, rest = card.partition("\n## ")
  return heading.strip() + " " + rest if rest else None


def render(model: Bundle, notes: str | None) -> str:
  """The model card of a bundle, in Markdown.

  Args:
    notes: its sections on data, licences and limits; None: nobody said.
  """

  def size(tree: Any) -> str:
    return f"{sum(x.size for x in jax.tree.leaves(tree)) / 1e6:.1f} M"

  settings = dataclasses.asdict(model.sampling)
  return _CARD.format(
    name=model.name,
    version=siren_jax.__version__,
    rate=model.codec.config.sample_rate,
    frames=model.codec.config.frame_rate,
    codebooks=model.config.num_codebooks,
    num_experts=model.config.num_experts,
    codec=size(model.codec.params),
    clap=size(model.clap.params),
    experts=size(model.params),
    settings=", ".join(f"{k} {v}" for k, v in settings.items()),
    seconds=model.max_seconds,
    candidates=model.candidates,
    notes=(notes or NO_NOTES).strip(),
  )


NO_NOTES = """## Data and licences

Whoever made this bundle has not said what it was trained on. Ask before you
use or share what it makes."""

_CARD = """# {name}

A Siren model: words to sound. Made with siren-jax {version}.

    siren-jax generate "a dog barking" --model {name}

| part | parameters | |
|---|---|---|
| codec | {codec} | {rate} Hz mono, {frames:g} frames a second, \
{codebooks} codebooks |
| CLAP | {clap} | reads the words |
| experts | {experts} | {num_experts} residual experts |

Sampling by default: {settings}, candidates {candidates}. Trained on
sounds of up to {seconds:g} seconds; longer ones are drawn in windows of that \
length. Weights are
stored in float16.

{notes}
"""
