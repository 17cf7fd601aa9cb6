"""Model cards: the README.md of a bundle."""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
from typing import Any

import jax

import siren_jax
from siren_jax.common import text
from siren_jax.common.errors import UserError
from siren_jax.weights.bundle import Bundle
from siren_jax.weights.repertoire import Kind, Repertoire


def notes(folder: str | os.PathLike) -> str | None:
  """The notes on data and licences of the card in `folder`, without its head.

  Raises:
    UserError: the card is not a text file.
  """
  path = pathlib.Path(folder) / "README.md"
  if not path.is_file() or not path.stat().st_size:
    return None
  card = "\n".join(text.lines(text.read_text(path)))
  marked = re.search(f"{_NOTES}\n(.*?)\n{_NOTES_END}", card, re.DOTALL)
  if marked:
    return _unless_missing(marked[1].strip())
  # Cards of earlier versions have no marks around their notes.
  card = re.sub(f"\n?{_BEGIN}.*?{_END}\n?", "", card, flags=re.DOTALL)
  _, heading, rest = card.partition("\n## ")
  return _unless_missing(f"{heading.strip()} {rest}" if rest else "")


def _unless_missing(notes: str) -> str | None:
  """Notes that somebody has written; None for none."""
  return None if notes.strip() in ("", NO_NOTES) else notes


def license_of(folder: str | os.PathLike) -> str | None:
  """The licence in the card of `folder`; None if there is none.

  Raises:
    UserError: the card is not text, or its front matter is not YAML.
  """
  path = pathlib.Path(folder) / "README.md"
  if not path.is_file():
    return None
  import huggingface_hub  # slow to import
  import yaml

  text.read_text(path)
  try:
    values = huggingface_hub.metadata_load(path) or {}
  except (yaml.YAMLError, ValueError) as error:
    raise UserError(
      f"{path}: its front matter is not YAML"
      f" ({' '.join(str(error).split())}); fix it"
    ) from error
  return values.get("license")


def render(
  model: Bundle,
  notes: str | None,
  license: str | None = None,
  address: str | None = None,
) -> str:
  """The model card of a bundle: front matter of the hub, and Markdown.

  Args:
    notes: its sections on data, licences and limits; None: unknown.
    license: identifier of the weights' licence on the hub; None: unknown.
    address: argument of `--model`, if not the bundle's name.
  """

  def size(tree: Any) -> str:
    return f"{sum(x.size for x in jax.tree.leaves(tree)) / 1e6:.1f} M"

  settings = dataclasses.asdict(model.sampling)
  return _front_matter(model, license) + _CARD.format(
    name=model.name,
    address=address or model.name,
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
    notes=(notes or ("" if model.repertoire else NO_NOTES)).strip(),
    known=_known(model.repertoire) if model.repertoire else "",
  )


def _front_matter(model: Bundle, license: str | None) -> str:
  """Metadata for the hub, in YAML."""
  import huggingface_hub  # slow to import

  examples = _EXAMPLES
  if model.repertoire:
    groups = model.repertoire.groups.values()
    examples = [kinds[0].example for kinds in groups][: len(_EXAMPLES)]
  data = huggingface_hub.ModelCardData(
    license=license or "unknown",
    library_name="siren-jax",
    pipeline_tag="text-to-audio",
    tags=["text-to-audio", "audio-generation", "jax", "flax"],
    widget=[{"text": example} for example in examples],
  )
  return f"---\n{data.to_yaml()}\n---\n\n"


def _known(repertoire: Repertoire) -> str:
  """The sections on kinds and on recordists."""
  kinds, credits = repertoire.kinds, repertoire.credits
  measured = any(kind.quality is not None for kind in kinds)
  lines = [
    _BEGIN,
    "## Kinds of sound",
    "",
    f"{len(kinds)} kinds in {len(repertoire.groups)} groups, of"
    f" {sum(kind.clips for kind in kinds):,} clips: the name of each with the"
    f" number of its clips{_MEASURED if measured else ''}. A prompt for each:"
    " `siren-jax kinds`.",
  ]
  for group, members in repertoire.groups.items():
    listed = ", ".join(map(_counted, members))
    lines += ["", f"**{_escaped(group)}**: {listed}."]
  lines += ["", "## Recordings", "", _RECORDINGS]
  licenses = collections.Counter[str]()
  for credit in credits:
    licenses[credit.license or _NOT_NAMED] += credit.clips
  for license, clips in licenses.most_common():
    lines.append(f"| {_escaped(license)} | {clips:,} |")
  lines += ["", "### Authors", ""]
  by_source = itertools.groupby(credits, key=lambda credit: credit.source)
  for source, of_source in by_source:
    listed = ", ".join(
      f"{_escaped(c.author or _NOT_NAMED)}"
      f" ({_escaped(c.license or _NOT_NAMED)}, {c.clips})"
      for c in of_source
    )
    lines.append(f"- **{_escaped(source or 'no source named')}**: {listed}")
  return "\n".join(["", *lines, _END, ""])


def _counted(kind: Kind) -> str:
  quality = "" if kind.quality is None else f", {kind.quality:.0%}"
  return f"{_escaped(kind.name)} ({kind.clips}{quality})"


def _escaped(text: str) -> str:
  """Text that Markdown shows as it is, on one line."""
  return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


# For models without a repertoire.
_EXAMPLES = ["a dog barking", "rain on a tin roof", "a clock ticking"]

_NOT_NAMED = "not named"
_MEASURED = (
  ", and the share of its generated clips that a classifier recognises"
)
_RECORDINGS = """This folder contains no recordings. The model was trained on \
these, by licence:

| licence | clips |
|---|---:|"""

# The text between these is read from a card for the next one.
_NOTES, _NOTES_END = "<!-- begin of notes -->", "<!-- end of notes -->"

# The text between these is regenerated with each card.
_BEGIN, _END = "<!-- begin of kinds.json -->", "<!-- end of kinds.json -->"

NO_NOTES = """## Data and licences

Whoever made this bundle has not said what it was trained on. Ask before you
use or share what it makes."""

_CARD = """# {name}

A Siren model: words to sound. Made with siren-jax {version}.

    siren-jax generate "a dog barking" --model {address}

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

<!-- begin of notes -->
{notes}
<!-- end of notes -->
{known}"""
