"""Players and pictures in a notebook, and files."""

import base64
import io
import logging
import sys
import types
import wave

import IPython
import numpy as np
import pytest

import siren_jax as sj
from siren_jax.api.sounds import Sound
from siren_jax.audio import spectrogram
from siren_jax.common.errors import UserError

RATE = 16_000
BEEP_S = (0.5 * np.sin(np.arange(4000))).astype("f4")


@pytest.fixture(scope="module")
def siren(tiny_bundle):
  return sj.load(tiny_bundle)


@pytest.fixture
def shown(monkeypatch):
  """What a notebook would show."""
  cells = []
  kernel = types.SimpleNamespace(kernel=object())
  monkeypatch.setattr(IPython, "get_ipython", lambda: kernel)
  monkeypatch.setattr(IPython.display, "display", cells.append)
  return cells


def played(player):
  """Samples of a player, and their rate."""
  with wave.open(io.BytesIO(player.data)) as file:
    data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2") / 32767, file.getframerate()


def test_a_player_has_the_sound_at_its_own_level(shown):
  sj.play(BEEP_S)
  (player,) = shown
  audio_S, rate = played(player)
  assert rate == RATE
  np.testing.assert_allclose(audio_S, BEEP_S, atol=1e-4)


def test_rows_and_rates(shown):
  sj.play(np.stack([BEEP_S, 3 * BEEP_S]), 44_100)
  (_, rate), (loud_S, _) = map(played, shown)
  assert rate == 44_100
  assert np.abs(loud_S).max() == 1


def test_pictures(shown, monkeypatch):
  drawn, save = [], spectrogram.save

  def spy(file, audio_S, rate, title):
    drawn.append((rate, title))
    save(file, audio_S, rate, title)

  monkeypatch.setattr(spectrogram, "save", spy)
  sj.show(Sound(BEEP_S, "a beep", 0, None))
  sj.show([BEEP_S, BEEP_S], 8000, title="beeps")
  assert len(shown) == 3
  assert drawn == [(RATE, "a beep"), (8000, "beeps"), (8000, "beeps")]
  for picture in shown:
    assert picture.data.startswith(b"\x89PNG")
    assert base64.b64decode(picture._repr_png_()) == picture.data


@pytest.mark.parametrize("name", ["play", "show"])
def test_elsewhere_a_file_is_what_there_is(name, monkeypatch):
  with pytest.raises(UserError, match=f"^{name}: .*siren_jax.save"):
    getattr(sj, name)(BEEP_S)
  monkeypatch.delitem(sys.modules, "IPython")
  with pytest.raises(UserError, match=f"^{name}: .*siren_jax.save"):
    getattr(sj, name)(BEEP_S)


def test_what_is_no_sound(shown):
  for audio in ([], np.zeros((2, 2, 2))):
    with pytest.raises(UserError, match="give samples"):
      sj.play(audio)
  assert shown == []


def test_a_sound_is_saved(siren, tmp_path, caplog):
  siren.save(BEEP_S, tmp_path / "beep.wav")
  with wave.open(str(tmp_path / "beep.wav")) as file:
    assert (file.getframerate(), file.getnframes()) == (RATE, 4000)
  assert caplog.messages == []
  sj.save(Sound(3 * BEEP_S, "a beep", 0, None), tmp_path / "beep.flac", 44_100)
  assert "beyond full scale clipped" in caplog.messages[0]
  assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
  ("rows", "name", "message"),
  [(2, "two.wav", "2 sounds for one file"), (1, "one.xyz", "cannot write")],
)
def test_what_is_no_file(rows, name, message, tmp_path):
  with pytest.raises(UserError, match=message):
    sj.save(np.stack([BEEP_S] * rows), tmp_path / name)
  assert list(tmp_path.iterdir()) == []


def test_a_siren_has_a_readable_repr(siren):
  text, table = repr(siren), siren._repr_html_()
  for fact in ("tiny", "16000 Hz", "2 s", "temperature=1", "cpu", "float32"):
    assert fact in text and fact in table
  assert "kinds" not in text  # This bundle does not say.
