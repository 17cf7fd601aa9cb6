"""A signal that comes twice at once is one signal."""

import signal
import types

from siren_jax.common import signals


def test_a_key_held_down_is_a_second_signal_in_the_end(monkeypatch):
  times = iter((0.0, 0.5, 0.9, 1.3, 1.8))
  clock = types.SimpleNamespace(monotonic=lambda: next(times))
  monkeypatch.setattr(signals, "time", clock)
  repeats = signals.Repeats()
  received = [repeats.is_repeat(signal.SIGINT) for _ in range(5)]
  assert received == [False, True, True, False, True]


def test_other_signals_are_none_and_clear_forgets():
  repeats = signals.Repeats()
  assert not repeats.is_repeat(signal.SIGINT)
  assert not repeats.is_repeat(signal.SIGTERM)
  assert repeats.is_repeat(signal.SIGINT)
  repeats.clear()
  assert not repeats.is_repeat(signal.SIGINT)
