"""What was prepared is shown: captions for example, and again by inspect."""

import numpy as np

from siren_jax.audio import sound_files
from siren_jax.cli.main import main
from siren_jax.data.preparation import audio
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
