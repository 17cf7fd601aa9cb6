"""read published weights into the folders that siren-jax uses

  siren-jax import-weights dac descript_dac_16khz/ --out weights/dac
  siren-jax import-weights clap from_hub:laion/clap-htsat-unfused \\
    --out weights/clap
  siren-jax import-weights vggish vggish-10086976.pth --out weights/vggish

SOURCE is a folder as on the Hugging Face Hub, a safetensors file, or a pickle
of torch (which takes torch); from_hub:NAME downloads it (which takes
huggingface_hub). Every tensor is used and every parameter filled, or nothing is
written.
"""

import argparse
import pathlib
import shutil
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common import files
from siren_jax.common.errors import UserError

INTERRUPTED = runtime.NOTHING_WRITTEN
_HUB = "from_hub:"
KINDS = ("dac", "clap", "siren-stage1", "vggish", "panns")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("kind", choices=KINDS, help="what it is")
  add("source", metavar="SOURCE", help="folder, file, or from_hub:NAME")
  add("--out", required=True, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> None:
  runtime.check_folder(args.out)
  from siren_jax.clap import tokenizer
  from siren_jax.storage import components
  from siren_jax.weights import bundle

  out = bundle.check_new(args.out)
  source = _fetched(args.source)
  part, config, params = _read(args.kind, source)
  with files.new_folder(out) as folder:
    components.save(folder, part, config, params)
    if part == "clap":
      words = pathlib.Path(source) / "tokenizer.json"
      tokenizer.load(words, config.text.vocab_size)
      shutil.copyfile(words, folder / "tokenizer.json")
  print(f"{out}: {part} with {_size(params) / 1e6:.1f} M parameters")
  print(f"try next: {_NEXT[args.kind].format(out=out)}")


def _read(kind: str, source: str) -> tuple[str, Any, Any]:
  """Part, config and parameters."""
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


def _fetched(source: str) -> str:
  """A folder or file on this machine."""
  if not source.startswith(_HUB):
    return source
  name = source.removeprefix(_HUB)
  try:
    import huggingface_hub
  except ImportError as error:
    raise UserError(
      f"{source}: downloading takes huggingface_hub; pip install"
      " huggingface_hub, or give the files"
    ) from error
  runtime.say(f"fetching {name} ...")
  try:
    return huggingface_hub.snapshot_download(
      name, allow_patterns=["*.json", "*.safetensors", "*.txt"]
    )
  except (huggingface_hub.errors.HfHubHTTPError, OSError, ValueError) as error:
    raise UserError(f"{source}: cannot be fetched ({error})") from error


def _size(params: Any) -> int:
  import jax

  return sum(x.size for x in jax.tree.leaves(params))
