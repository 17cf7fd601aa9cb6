"""serve a web page for generating sounds

  siren-jax demo
  siren-jax demo --model my-siren --port 8000

Sounds generated from a prompt are streamed: they play as they are generated.
There are several candidates to choose from, and you can continue or vary a
recording, or regenerate part of it. Every sound comes with a JSON file, from
which `siren-jax generate --again` reproduces it.

Only this machine can reach the page; --host 0.0.0.0 opens it to everybody on
the network. Nothing is sent anywhere else. docs/demo.md lists the request
limits and describes the API.
"""

import argparse
import contextlib
import threading

from siren_jax.cli import runtime
from siren_jax.cli.sounds import flags
from siren_jax.common.errors import UserError

EXTRA = "demo"
_HIGHEST_PORT = 65535
_IDLE_SECONDS = 10.0
INTERRUPTED = (
  "the page is closed, its sounds and uploads are removed; the same command"
  " opens it again"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "--host", type=str, default="127.0.0.1",
    help="address to listen on (default: 127.0.0.1, this machine only)",
  )  # fmt: skip
  add(
    "--port", type=int, help="port (default: first free one, starting at 7860)"
  )
  flags.add_loading(parser)


def run(args: argparse.Namespace) -> None:
  from siren_jax import api
  from siren_jax.cli.page import limits, making, serving
  from siren_jax.cli.page.gate import Closed, Gate
  from siren_jax.storage import folders

  if args.port is not None and not 1 <= args.port <= _HIGHEST_PORT:
    raise UserError(f"--port {args.port}: must be 1 to {_HIGHEST_PORT}")
  batch_size = api.BATCH_SIZE if args.batch_size is None else args.batch_size
  siren = api.load(
    args.model,
    flags.mesh(args.mesh),
    batch_size,
    dtype=args.dtype,
    expand=not args.no_expand,
  )
  fingerprint = folders.model_fingerprint(folders.find(args.model or None))
  studio = making.Studio(siren, args.model, fingerprint, args.mesh, batch_size)
  runtime.print_status("getting ready; the first time, programs compile ...")
  method = siren.bundle.sampling
  request = limits.check_request(
    "rain", 1.0, 0, 1, method.temperature, method.top_k, method.guidance
  )
  making.warm_up_prompts(studio, request)
  gate = Gate()

  def warm() -> None:
    # Compiling would make the first visitor wait twice as long.
    gate.wait_until_idle(_IDLE_SECONDS)
    with contextlib.suppress(Closed):
      steps = making.warm_up_recordings(studio, request)
      for _ in gate.steps(steps, when_idle=True):
        pass
      runtime.print_status("ready for recordings, too")

  with serving.served(studio, gate, args.host, args.port) as url:
    print(f"{url}  (Ctrl-C to stop)", flush=True)
    threading.Thread(target=warm, daemon=True).start()
    serving.wait()
