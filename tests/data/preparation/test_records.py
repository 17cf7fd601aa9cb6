import numpy as np

from siren_jax.data.preparation import records


def test_windows_cover_the_recording():
  audio_S = np.arange(350)
  windows = records.cut(audio_S, 100)
  assert [w.size for w in windows] == [100] * 4
  assert set(np.concatenate(windows)) == set(range(350))
  assert [w.size for w in records.cut(audio_S[:120], 100)] == [100]
  assert [w.size for w in records.cut(audio_S[:70], 100)] == [70]
