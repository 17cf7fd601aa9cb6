"""The sampler, the codecs and an alignment step, optimized as users have them.

All other tests compile at reduced optimization (conftest.py), which rounds in
other places. XLA's flags are those of a process, so this starts another.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TESTED = (
  "tests/sampling/test_sampler.py",
  "tests/sampling/test_scoring.py",
  "tests/codec/test_chunks.py",
  "tests/alignment/test_task.py",
)


@pytest.mark.slow
def test_programs_as_users_have_them():
  assert "optimization" in os.environ["XLA_FLAGS"]  # of this process
  options = ["-m", "optimized and not long", "-n", "0", "-v"]
  done = subprocess.run(
    [sys.executable, "-m", "pytest", *options, *TESTED],
    cwd=ROOT,
    env=os.environ | {"XLA_FLAGS": ""},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout
  (flags,) = re.findall("^XLA_FLAGS: (.*)$", done.stdout, re.M)
  assert flags.split() == ["--xla_force_host_platform_device_count=8"]
  passed = re.findall(r"^(.*)::.* PASSED", done.stdout, re.M)
  assert set(passed) == set(TESTED)
