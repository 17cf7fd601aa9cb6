"""convert published weights for use with siren-jax

  siren-jax import-weights dac descript_dac_16khz/ --out weights/dac
  siren-jax import-weights clap hub:laion/clap-htsat-unfused --out weights/clap
  siren-jax import-weights vggish vggish-10086976.pth --out weights/vggish

SOURCE is a folder in Hugging Face Hub layout, a safetensors file, a PyTorch
pickle (which requires torch), or the name of a model on the Hub. CLAP requires
transformers but not torch: pip install 'siren-jax[weights]'. Nothing is written
unless every tensor is used and every parameter is set.
"""

import argparse
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common import extras, files
from siren_jax.common.errors import UserError
from siren_jax.storage import hub

INTERRUPTED = runtime.NOTHING_WRITTEN
_OLD_HUB = "from_hub:"
_PATTERNS = ("*.json", "*.safetensors", "*.txt")
_PICKLES = ("*.bin", "*.pth", "*.pt")
KINDS = ("dac", "clap", "siren-stage1", "vggish", "panns")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("kind", choices=KINDS, help="model type")
  add("source", metavar="SOURCE", help="folder, file, or hub:OWNER/NAME")
  add("--out", required=True, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> None:
  runtime.check_folder(args.out)
  from siren_jax.storage import components
  from siren_jax.weights import bundle, laion_clap

  out = bundle.check_new(args.out)
  if args.kind == "clap":
    extras.check("weights")
  source = _fetched(args.source)
  part, config, params = _read(args.kind, source)
  with files.new_folder(out) as folder:
    components.save(folder, part, config, params)
    if part == "clap":
      words = laion_clap.load_tokenizer(source, config.text.vocab_size)
      words.save(str(folder / "tokenizer.json"))
  print(f"{out}: {part} with {_size(params) / 1e6:.1f} M parameters")
  print(f"try next: {_NEXT[args.kind].format(out=out)}")


def _read(kind: str, source: str | pathlib.Path) -> tuple[str, Any, Any]:
  """Component, config and parameters."""
  from siren_jax.weights import dac, laion_clap, scorers, siren_stage1

  if kind == "dac":
    codec = dac.load(source)
    return "codec", codec.config, codec.params
  if kind == "clap":
    return "clap", *laion_clap.load(source)
  if kind == "siren-stage1":
    return "experts", *siren_stage1.load(source)
  if kind == "vggish":
    return "vggish", *scorers.load_vggish(source)
  return "cnn14", *scorers.load_cnn14(source)


_NEXT = {
  "dac": "siren-jax encode recording.wav --model {out}",
  "clap": "siren-jax evaluate --clap {out} --generated DIR --reference DIR",
  "siren-stage1": "siren-jax inspect {out}",
  "vggish": "siren-jax evaluate --vggish {out} --generated DIR --reference DIR",
  "panns": "siren-jax evaluate --cnn14 {out} --generated DIR --reference DIR",
}


def _fetched(source: str) -> str | pathlib.Path:
  """A local folder or file, downloaded if necessary."""
  if source.startswith(_OLD_HUB):
    name = source.removeprefix(_OLD_HUB)
    raise UserError(
      f"{source}: this prefix is no longer supported; write hub:{name}"
    )
  if not source.startswith(hub.PREFIX):
    return source
  runtime.print_status(f"fetching {source} ...")
  folder = hub.fetch(source, _PATTERNS)
  if not any(folder.glob("*.safetensors")):
    folder = hub.fetch(source, (*_PATTERNS, *_PICKLES))
  return folder


def _size(params: Any) -> int:
  import jax

  return sum(x.size for x in jax.tree.leaves(params))
