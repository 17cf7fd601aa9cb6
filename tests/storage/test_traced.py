"""Shapes that were traced once are read, unless something has changed."""

import jax
import pytest

from siren_jax.storage import traced


@pytest.fixture
def kept(tmp_path):
  """`traced.kept` in a folder of its own; and how often it traced."""
  calls = []
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(tmp_path))

  def kept(*values):
    def trace():
      calls.append(values)
      return {
        "params": {"w": jax.ShapeDtypeStruct((len(calls), 2), "float32")},
        "n": jax.ShapeDtypeStruct((), "bfloat16"),
      }

    return traced.kept(trace, *values), len(calls)

  yield kept
  jax.config.update("jax_compilation_cache_dir", before)


def test_shapes_are_traced_once_for_the_same_values(kept):
  first, again = kept("experts", {"dim": 3}), kept("experts", {"dim": 3})
  assert again == first and first[1] == 1
  assert again[0]["params"]["w"].shape == (1, 2)
  assert kept("experts", {"dim": 4})[1] == 2


def test_shapes_of_other_code_are_traced_again(kept, monkeypatch):
  kept("experts")
  monkeypatch.setattr(traced, "_code", lambda: ["other"])
  assert kept("experts")[1] == 2


def test_a_broken_file_is_traced_again_and_mended(kept, tmp_path):
  first, _ = kept("experts")
  (path,) = (tmp_path / "shapes").iterdir()
  for broken in ("", "[]", '{"a": 1}'):
    path.write_text(broken)
    assert kept("experts")[0] != first
  assert kept("experts")[1] == kept("experts")[1] == 4


def test_nothing_is_kept_where_the_cache_is_off(kept, tmp_path):
  jax.config.update("jax_enable_compilation_cache", False)
  try:
    assert [kept("x")[1], kept("x")[1]] == [1, 2]
  finally:
    jax.config.update("jax_enable_compilation_cache", True)
  assert not list(tmp_path.iterdir())
