"""Results are what was written for that clip and scorer, or computed again."""

import errno

import numpy as np
import pytest

from siren_jax.evaluation.cache import Cache

ARRAYS = {
  "windows": np.arange(6, dtype="f4").reshape(2, 3),
  "clip": np.ones(3, "f4"),
}
NOTES = ("resampled 44100 -> 16000 Hz",)


@pytest.fixture
def entry(tmp_path):
  Cache(tmp_path).put("scorer", "content", ARRAYS, NOTES)
  return tmp_path / "scorer" / "content.npz"


def test_get_returns_what_was_put(entry, tmp_path):
  arrays, notes = Cache(tmp_path).get("scorer", "content")
  np.testing.assert_equal(arrays, ARRAYS)
  assert notes == NOTES
  assert Cache(tmp_path).get("other", "content") is None
  assert Cache(None).get("scorer", "content") is None


def _without_windows(entry):
  del entry["windows"]


def _of_another_shape(entry):
  entry["clip"] = np.ones(4, "f4")


def _not_finite(entry):
  entry["windows"][1, 1] = np.nan


def _no_checksum(entry):
  del entry["_checksum"]


@pytest.mark.parametrize(
  "change", [_without_windows, _of_another_shape, _not_finite, _no_checksum]
)
def test_another_entry_is_none(entry, tmp_path, change):
  arrays = dict(np.load(entry))
  change(arrays)
  np.savez(entry, **arrays)
  assert Cache(tmp_path).get("scorer", "content") is None


def test_an_entry_of_another_scorer_or_clip_is_none(entry, tmp_path):
  for scorer, content in (("scorer", "another"), ("another", "content")):
    path = tmp_path / scorer / f"{content}.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(entry.read_bytes())
    assert Cache(tmp_path).get(scorer, content) is None


def test_half_an_entry_is_none(entry, tmp_path):
  entry.write_bytes(entry.read_bytes()[:100])
  assert Cache(tmp_path).get("scorer", "content") is None


def test_an_unwritable_cache_is_reported_once(tmp_path, caplog):
  (tmp_path / "file").touch()
  cache = Cache(tmp_path / "file" / "cache")
  for content in ("one", "two"):
    cache.put("scorer", content, ARRAYS, NOTES)
    assert cache.get("scorer", content) is None
  assert len(caplog.messages) == 1
  assert "not cached" in caplog.messages[0] and "file" in caplog.messages[0]


def test_a_full_disk_keeps_what_was_there(entry, tmp_path, caplog, monkeypatch):
  def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(np, "savez", full)
  cache = Cache(tmp_path)
  for _ in range(2):
    cache.put("scorer", "new", ARRAYS, NOTES)
  assert len(caplog.messages) == 1 and "No space left" in caplog.messages[0]
  assert [p.name for p in entry.parent.iterdir()] == ["content.npz"]
  assert cache.get("scorer", "content") is not None
