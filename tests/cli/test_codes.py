"""`siren-jax encode` and `decode`, in this process."""

import numpy as np
import pytest
import soundfile

from siren_jax.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  wave_S = np.sin(np.arange(8000) * 0.1) / 2
  soundfile.write("mono.wav", wave_S[:5000], 16000)
  soundfile.write("stereo.flac", np.stack([wave_S, wave_S / 2], 1), 44100)
  soundfile.write("silent.wav", 0 * wave_S, 16000)
  soundfile.write("zero.wav", wave_S[:0], 16000)
  (tmp_path / "text.wav").write_text("no sound at all")
  whole = (tmp_path / "mono.wav").read_bytes()
  (tmp_path / "cut.wav").write_bytes(whole[:30])
  return tmp_path


@pytest.fixture
def codec(tiny_bundle):
  return ["--model", str(tiny_bundle)]


def test_encode_and_decode_keep_length_and_rate(
  folder, codec, tiny_model, capsys
):
  config = tiny_model.codec.config
  assert main(["encode", "mono.wav", "--out", "x.npz", *codec]) == 0
  with np.load("x.npz", allow_pickle=False) as file:
    assert file["codes"].shape == (
      config.num_codebooks,
      -(-5000 // config.hop),
    )
    assert file["sample_rate"] == config.sample_rate
    codes_NxT = file["codes"]
  audio_S, rate = soundfile.read("mono.wav", dtype="float32")
  expected_BxNxT = tiny_model.codec.encode(audio_S[None])
  np.testing.assert_array_equal(codes_NxT, expected_BxNxT[0])
  (line,) = (x for x in capsys.readouterr().out.splitlines() if "next" in x)
  assert line == f"try next: siren-jax decode x.npz {' '.join(codec)}"
  assert main(["decode", "x.npz", "--out", "y.wav", *codec]) == 0
  decoded_S, rate = soundfile.read("y.wav", dtype="float32")
  assert (rate, decoded_S.size) == (config.sample_rate, 5000)
  expected_BxS = np.asarray(tiny_model.codec.decode(codes_NxT[None]))
  np.testing.assert_allclose(
    decoded_S, np.clip(expected_BxS[0, :5000], -1, 1), atol=1e-3
  )


def test_folders_rates_and_channels(folder, codec, capsys):
  assert main(["encode", "mono.wav", "stereo.flac", "--out", "o", *codec]) == 0
  output = capsys.readouterr().err
  assert "stereo.flac: resampled 44100 -> 16000 Hz" in output
  assert "stereo.flac: 2 channels mixed down" in output
  recording = (folder / "mono.wav").read_bytes()
  assert main(["decode", "o/mono.npz", "o/stereo.npz", *codec]) == 0
  assert "mono.wav already exists" in capsys.readouterr().err
  assert (folder / "mono.wav").read_bytes() == recording
  assert soundfile.info("mono-2.wav").frames == 5000
  expected = round(8000 * 16000 / 44100)
  assert abs(soundfile.info("stereo.wav").frames - expected) <= 1


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".WAV"])
def test_decode_writes_the_format_of_the_suffix(suffix, folder, codec):
  assert main(["encode", "mono.wav", "--out", "x.npz", *codec]) == 0
  assert main(["decode", "x.npz", "--out", f"y{suffix}", *codec]) == 0
  info = soundfile.info(f"y{suffix}")
  assert info.format == suffix[1:].upper() and info.frames == 5000


def test_a_slash_makes_a_folder(folder, codec):
  assert main(["encode", "mono.wav", "--out", "new.set/", *codec]) == 0
  assert main(["decode", "new.set/mono.npz", "--out", "v0.5", *codec]) == 0
  assert soundfile.info("v0.5/mono.wav").frames == 5000


def test_a_bad_file_costs_no_other(folder, codec, user_error):
  message = user_error(
    ["encode", "text.wav", "mono.wav", "cut.wav", "--out", "o", *codec]
  )
  assert "2 of 3 inputs were skipped, such as text.wav" in message
  assert [p.name for p in (folder / "o").iterdir()] == ["mono.npz"]


def test_a_closed_pipe_costs_no_file(folder, codec, monkeypatch):
  def closed(line):
    raise BrokenPipeError

  monkeypatch.setattr("builtins.print", closed)
  assert main(["encode", "mono.wav", "--out", "x.npz", *codec]) == 141
  with np.load("x.npz") as file:
    assert file["num_samples"] == 5000


def test_clipping_is_reported(folder, codec, capsys, monkeypatch):
  assert main(["encode", "mono.wav", "--out", "x.npz", *codec]) == 0
  loud_BxS = np.full((1, 5000), 1.5, "f4")
  monkeypatch.setattr("siren_jax.codec.chunks.decode", lambda *_: loud_BxS)
  assert main(["decode", "x.npz", "--out", "y.wav", *codec]) == 0
  clipped = "y.wav: 5000 samples beyond full scale clipped"
  assert clipped in capsys.readouterr().err


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["encode", "none.wav"], "none.wav"),
    (["encode", "mono.wav", "--out", "x.npy"], "in .npz, a folder"),
    (["decode", "x.npz", "--out", "y.m4a"], "in .wav or .flac or .ogg or .mp3"),
    (["encode", "silent.wav"], "silent"),
    (["encode", "zero.wav"], "zero.wav"),
    (["encode", "text.wav"], "text.wav"),
    (["encode", "cut.wav"], "cut.wav"),
    (["encode", "."], "folder"),
    (["encode", "mono.wav", "--out", "mono.wav/x"], "mono.wav"),
    (["encode", "mono.wav", "--out", "/proc/x.npz"], "/proc"),
    (["encode", "mono.wav", "cut.wav", "--out", "x.npz"], "2 inputs"),
    (["encode", "mono.wav", "a/mono.flac"], "mono.npz"),
    (["decode", "none.npz"], "none.npz"),
    (["decode", "mono.wav"], "mono.wav: not a valid npz"),
  ],
)
def test_files_that_cannot_be_coded_are_refused_and_nothing_is_written(
  args, message, folder, codec, user_error
):
  before = sorted(folder.rglob("*"))
  assert message in user_error([*args, *codec])
  assert sorted(folder.rglob("*")) == before


def good(config):
  codes = np.zeros((config.num_codebooks, 3), np.int32)
  return {"codes": codes, "sample_rate": 16000, "num_samples": 100}


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda v: v["codes"] - 1, "from -1"),
    (lambda v: v["codes"] + 10**6, "1000000"),
    (lambda v: v["codes"] * 1.0, "integers"),
    (lambda v: v["codes"][:2], "shape"),
    (lambda v: v["codes"][0], "shape"),
    (lambda v: np.array([{}], dtype=object), "not a valid npz"),
  ],
)
def test_codes_that_do_not_fit_the_codec_are_refused(
  change, message, folder, codec, tiny_model, user_error
):
  values = good(tiny_model.codec.config)
  np.savez("x.npz", **values | {"codes": change(values)})
  assert message in user_error(["decode", "x.npz", *codec])


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"sample_rate": 44100}, "44100 Hz"),
    ({"num_samples": 0}, "num_samples 0"),
    ({"num_samples": 10**9}, "num_samples 1000000000"),
    ({"num_samples": np.array([1, 2])}, "not a codes file"),
    ({"sample_rate": "x"}, "not a codes file"),
  ],
)
def test_lengths_and_rates_that_do_not_fit_are_refused(
  values, message, folder, codec, tiny_model, user_error
):
  np.savez("x.npz", **good(tiny_model.codec.config) | values)
  assert message in user_error(["decode", "x.npz", *codec])


def test_damaged_npz_never_ends_in_a_traceback(
  folder, codec, tiny_model, user_error
):
  np.savez_compressed("x.npz", **good(tiny_model.codec.config))
  whole = np.fromfile("x.npz", np.uint8)
  rng = np.random.default_rng(0)
  for size in rng.integers(0, len(whole), 20):
    whole[:size].tofile("y.npz")
    assert "y.npz" in user_error(["decode", "y.npz", *codec])
