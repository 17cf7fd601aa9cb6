"""`siren-jax generate --out -`."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import siren_jax
from siren_jax import api
from siren_jax.audio import loudness, wav_stream
from siren_jax.cli.main import main

RATE = 16000


def streamed(siren, gain, *args, **options):
  """The wav of `Siren.stream`, and how many samples were turned down."""
  limiter, file = loudness.Limiter(RATE, gain), io.BytesIO()
  chunks = map(limiter, siren.stream(*args, **options))
  wav_stream.write(file, chunks, RATE)
  return file.getvalue(), limiter.count


def test_a_stream_is_that_of_python(tiny_bundle, tmp_path, capsysbinary):
  """Several windows, with peaks to turn down; and after a recording."""
  siren = siren_jax.load(tiny_bundle)
  clip_S = np.random.default_rng(0).normal(0, 0.05, RATE // 2)
  soundfile.write(tmp_path / "clip.wav", clip_S, RATE)
  clip_S = soundfile.read(tmp_path / "clip.wav", dtype="float32")[0]
  flags = ["--out", "-", "--seed", "3", "--model", str(tiny_bundle)]
  rain = ["rain", "--seconds", "4.3", "--gain", "40", "--candidates", "1"]
  more = ["--continue", str(tmp_path / "clip.wav"), "--seconds", "0.2"]
  streams = [
    streamed(siren, 40, "rain", 4.3, key=3),
    streamed(siren, 0, None, 0.2, key=3, continue_from=clip_S),
  ]
  assert streams[0][1] > 0
  for args, (expected, count) in zip((rain, more), streams):
    assert main(["generate", *args, *flags]) == 0
    out, err = capsysbinary.readouterr()
    assert out == expected
    assert f"{count} samples beyond full scale".encode() in err


def test_mesh_and_dtype_reach_the_model(tiny_bundle, monkeypatch, capsysbinary):
  load, arguments = api.load, []

  def spy(model, mesh=None, *rest, dtype=None, expand=True):
    arguments.append((mesh, dtype, expand))
    return load(model, dtype=dtype)

  monkeypatch.setattr(api, "load", spy)
  argv = ["generate", "rain", "--out", "-", "--seconds", "0.2"]
  argv += ["--mesh", "data=2", "--dtype", "bfloat16", "--no-expand"]
  assert main([*argv, "--model", str(tiny_bundle)]) == 0
  assert arguments == [(siren_jax.MeshConfig(data=2), "bfloat16", False)]
  assert capsysbinary.readouterr().out.startswith(b"RIFF")


def test_a_closed_pipe_ends_it_quietly(tiny_bundle):
  process = subprocess.Popen(
    [sys.executable, "-m", "siren_jax", "generate", "rain", "--seconds", "none",
     "--out", "-", "--model", tiny_bundle],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )  # fmt: skip
  assert process.stdout.read(4) == b"RIFF"
  process.stdout.read(4 * RATE)  # Two seconds: it goes on beyond a window.
  process.stdout.close()
  lines = process.stderr.read().decode().splitlines()
  assert [x for x in lines if not x.startswith("getting ready")] == []
  assert process.wait() == 0


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["rain", "--candidates", "2"], "--candidates with --out -"),
    (["rain", "--num-samples", "2"], "--num-samples with --out -"),
    (["rain", "--loudness", "-23"], "--loudness with --out -"),
    (["rain", "--spectrogram"], "--spectrogram with --out -"),
    (["rain", "--batch-size", "1"], "--batch-size with --out -"),
    (["--fill", "0:1", "x.wav"], "--fill with --out -"),
    (["--vary", "x.wav"], "--vary with --out -"),
    (["--again", "x.json"], "--again with --out -"),
    (["rain", "wind"], "2 prompts with --out -"),
    ([], "no prompt"),
    (["rain", "--gain", "61"], "gain 61.0 dB"),
    (["rain", "--seconds", "0"], "seconds 0.0"),
    (["--continue", "none.wav"], "none.wav"),
  ],
)
def test_what_a_stream_cannot_do_is_refused(args, message, tiny_bundle, capsys):
  model = ["--model", str(tiny_bundle), "--out", "-"]
  assert main(["generate", *args, *model]) == 2
  out, err = capsys.readouterr()
  assert out == "" and message in err.splitlines()[-1]


def test_a_gain_is_for_streams(user_error):
  message = user_error(["generate", "rain", "--gain", "3"])
  assert message.startswith("--gain 3: needs --out -")
