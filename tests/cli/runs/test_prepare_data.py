"""`siren-jax prepare-data`: its flags, and what it shows of a set."""

import dataclasses

import numpy as np
import pytest

from siren_jax.audio import sound_files
from siren_jax.cli.main import main
from siren_jax.data import encoding
from siren_jax.data.preparation import audio
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.sets import contents


def test_a_set_is_shown(tmp_path, capsys):
  clips, out = tmp_path / "clips", tmp_path / "out"
  rng = np.random.default_rng(0)
  for name in ("kick drum/bd_klub", "kick drum/DSC12", "a bell"):
    path = clips / f"{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    sound_files.write_audio(path, rng.normal(0, 0.1, 8000).astype("f4"), 8000)
  (clips / "dog.m4a").write_bytes(b"x")
  argv = ["prepare-data", clips, "--out", out, "--sample-rate", "8000"]
  assert main([*map(str, argv), "--seconds", "1"]) == 0
  printed = capsys.readouterr().out
  assert "skipped: 1" in printed
  assert "1 .m4a file left out" in (out / audio.SKIPPED).read_text()
  shown = printed.partition("captions, for example:\n")[2]
  assert "  clips/a bell.wav: a bell\n" in shown
  assert "klub" not in shown.replace("bd_klub.wav", "")
  assert main(["inspect", str(out)]) == 0
  inspected = capsys.readouterr().out
  assert inspected.startswith(next(contents.counts(out)))
  assert "labels: kick drum 2, (none) 1\n" in inspected
  assert all(f"  {line}\n" in inspected for line in contents.examples(out))


class Reached(Exception):
  """Holds the config that preparation was called with."""


def _config(monkeypatch, module, name, argv):
  def reach(*args, **_):
    raise Reached(args)

  monkeypatch.setattr(module, name, reach)
  with pytest.raises(Reached) as reached:
    main([str(a) for a in argv])
  return next(
    x for x in reached.value.args[0] if dataclasses.is_dataclass(x)
    and type(x).__name__ in ("AudioConfig", "CodesConfig")
  )  # fmt: skip


def test_every_flag_of_audio_reaches_its_config(tmp_path, monkeypatch):
  expected = AudioConfig(
    sample_rate=8000, seconds=3.0, captions=7, synthetic=6, mixtures=5,
    sequences=4, layouts=True, balance=3, loudness=-30.0, validation_fold="2",
    every_kind=True, max_seconds=60.0, strict=True, seed=9,
  )  # fmt: skip
  argv = ["prepare-data", tmp_path, "--out", tmp_path / "out"]
  for name, value in dataclasses.asdict(expected).items():
    assert value != getattr(AudioConfig(), name), name
    flag = f"--{name.replace('_', '-')}"
    argv += [flag] if value is True else [f"{flag}={value}"]
  assert _config(monkeypatch, audio, "prepare_audio", argv) == expected


def test_every_flag_of_codes_reaches_its_config(
  tmp_path, tiny_bundle, monkeypatch
):
  expected = encoding.CodesConfig(
    seconds=3.0, views=2, batch_records=5, batch_captions=6, seed=9
  )
  argv = ["prepare-data", tmp_path, "--out", tmp_path / "out"]
  argv += ["--codec", tiny_bundle, "--clap", tiny_bundle]
  for name in ("seconds", "views", "batch_records", "batch_captions", "seed"):
    argv += [f"--{name.replace('_', '-')}={getattr(expected, name)}"]
  assert _config(monkeypatch, encoding, "prepare_codes", argv) == expected


@pytest.mark.parametrize(
  "flags",
  [
    ["--codec", "c", "--clap", "c", "--mixtures", "3"],
    ["--views", "3"],
  ],
)
def test_flags_of_the_other_form_are_refused(flags, tmp_path, user_error):
  argv = ["prepare-data", tmp_path, "--out", tmp_path / "out", *flags]
  message = user_error(argv)
  assert message.startswith(f"{flags[-2]}: this command form")
