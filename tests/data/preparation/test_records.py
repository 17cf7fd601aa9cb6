import numpy as np
import pytest

from siren_jax.data.preparation import composed, records
from siren_jax.data.preparation.config import AudioConfig


def test_windows_cover_the_recording():
  audio_S = np.arange(350)
  windows = records.cut(audio_S, 100)
  assert [w.size for w in windows] == [100] * 4
  assert set(np.concatenate(windows)) == set(range(350))
  assert [w.size for w in records.cut(audio_S[:120], 100)] == [100]
  assert [w.size for w in records.cut(audio_S[:70], 100)] == [70]


def test_the_sounds_of_a_mixture_overlap():
  """Equally loud where they are audible; the second is lowered afterwards."""
  config = AudioConfig(sample_rate=8000, seconds=5.0)
  noise = np.random.default_rng(0)
  click_S, hum_S = (
    noise.normal(0, level, size).astype("f4")
    for level, size in ((0.5, 800), (0.01, 24000))
  )
  starts = set()
  for seed in range(20):
    rng = np.random.default_rng(seed)
    windows = composed._at_once([click_S, hum_S], rng, config)
    assert {len(x) for x in windows} == {config.size}
    active = [np.flatnonzero(x) for x in windows]
    assert active[1][0] <= active[0][0] and active[0][-1] <= active[1][-1]
    levels = [np.sqrt(np.mean(x[i] ** 2)) for x, i in zip(windows, active)]
    assert levels[0] == pytest.approx(levels[1], rel=0.1)
    starts.add(active[0][0])
  assert len(starts) > 15
  assert max(composed.BACKGROUND_DB) < 0
