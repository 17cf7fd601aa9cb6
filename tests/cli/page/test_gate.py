"""Work of the page ends before the page does."""

import threading

import pytest

from siren_jax.cli.page.gate import Closed, Gate


def test_closing_waits_for_the_running_step_and_starts_no_other():
  gate, started, proceed = Gate(), threading.Event(), threading.Event()
  done = []

  def values():
    started.set()
    proceed.wait(60)
    yield "first"
    yield "second"

  def work():
    with pytest.raises(Closed, match="the page is closed"):
      for value in gate.steps(values()):
        done.append(value)

  worker = threading.Thread(target=work)
  closer = threading.Thread(target=gate.close)
  worker.start()
  assert started.wait(60)
  closer.start()
  closer.join(0.2)
  assert closer.is_alive() and done == []
  proceed.set()
  closer.join(60)
  worker.join(60)
  assert not closer.is_alive() and done == ["first"]


def test_values_pass_an_open_gate():
  gate = Gate()
  assert list(gate.steps([1, None, 3])) == [1, None, 3]
  gate.close()
  with pytest.raises(Closed):
    next(gate.steps([1]))


def test_idle_work_runs_when_no_other_work_does():
  gate, done = Gate(), threading.Event()

  def work():
    list(gate.steps([1], when_idle=True))
    done.set()

  with gate.inside():
    threading.Thread(target=work).start()
    assert not done.wait(0.2)
    assert list(gate.steps([1, 2])) == [1, 2]
  assert done.wait(60)


def test_waiting_until_idle_lasts_until_no_request_comes():
  gate, quiet = Gate(), threading.Event()

  def wait(seconds):
    gate.wait_until_idle(seconds)
    quiet.set()

  with gate.inside():
    threading.Thread(target=wait, args=[0.1]).start()
    assert not quiet.wait(0.5)
  assert quiet.wait(60)
  quiet.clear()
  threading.Thread(target=wait, args=[3600]).start()
  assert not quiet.wait(0.2)
  gate.close()
  assert quiet.wait(60)
