"""Starts one command as several processes on this machine.

  python launch/local.py --processes 2 -- train --config=configs/nano.py \\
    --workdir=runs/experts --config.data.path=runs/codes

They find each other over loopback and have `--devices` CPU devices each. When
one fails the others are killed, and the same command goes on from the last
checkpoint. SIGTERM and Ctrl-C are passed on: all save at one step and exit 0.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time


def main() -> int:
  parser = argparse.ArgumentParser(
    description=__doc__.split("\n")[0],
    epilog="then `--` and the arguments of siren-jax",
  )
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--devices", type=int, default=1, help="a process")
  parser.add_argument("command", nargs="+", help=argparse.SUPPRESS)
  args = parser.parse_args()
  if min(args.processes, args.devices) < 1:
    parser.error("--processes and --devices must be at least 1")
  started, stopped = [], []

  def stop(*_) -> None:
    stopped.append(True)
    pass_on(started)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
  started += start(args.command, args.processes, args.devices)
  if stopped:  # While they were being started.
    pass_on(started)
  return wait(started)


def start(
  command: list[str], processes: int, devices: int
) -> list[subprocess.Popen]:
  """The processes, each with its number; Ctrl-C reaches them through us."""
  flags = f"--xla_force_host_platform_device_count={devices}"
  env = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
  }
  address = f"127.0.0.1:{_free_port()}"
  return [
    subprocess.Popen(
      [
        *(sys.executable, "-m", "siren_jax", *command),
        f"--distributed={address},{processes},{index}",
      ],
      env=env,
      start_new_session=True,
    )
    for index in range(processes)
  ]


def wait(started: list[subprocess.Popen]) -> int:
  """0 when all are done; the code of the first that fails, others killed."""
  while True:
    codes = [process.poll() for process in started]
    failed = [code for code in codes if code]
    if failed:
      for process in started:
        process.kill()
        process.wait()
      # Killed by a signal: as a shell reports it.
      return failed[0] if failed[0] > 0 else 128 - failed[0]
    if None not in codes:
      return 0
    time.sleep(0.1)


def pass_on(started: list[subprocess.Popen]) -> None:
  for process in started:
    if process.poll() is None:
      process.terminate()


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


if __name__ == "__main__":
  sys.exit(main())
