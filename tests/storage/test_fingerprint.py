"""What is not the same has not the same fingerprint."""

import numpy as np

from siren_jax.storage import fingerprint


def test_numbers_differ_behind_the_point():
  values = (0, 0.2, 0.9, np.float64(1.5), 1, np.int64(2))
  elements = {fingerprint.of_element({"x": value}) for value in values}
  assert len(elements) == len(values)
  of = fingerprint.of_element
  assert of({"x": 0.5}) == of({"x": np.float32(0.5)})
  assert of({"x": 2}) == of({"x": np.int32(2)})


def test_a_checkpoint_that_is_not_whole_is_passed_over(tmp_path):
  def save(step, sums):
    path = tmp_path / "checkpoints" / str(step) / "sums" / "metadata"
    path.parent.mkdir(parents=True)
    path.write_text(sums)

  save(0, "none")
  first = fingerprint.of_model(tmp_path)
  assert first != fingerprint.of_values({})
  save(9, "nine")
  ninth = fingerprint.of_model(tmp_path)
  assert ninth != first
  (tmp_path / "checkpoints" / "10").mkdir()
  assert fingerprint.of_model(tmp_path) == ninth


def test_a_work_directory_is_known_by_its_newest_step_and_tokenizer(tmp_path):
  def write(name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return fingerprint.of_model(tmp_path)

  values = [
    write("checkpoints/1/sums/metadata", "a"),
    write("checkpoints/2/sums/metadata", "b"),
    write("tokenizer.json", "words"),
    write("tokenizer.json", "other words"),
  ]
  assert len(set(values)) == 4
  assert write("metrics.csv", "step") == values[-1]
  assert write("checkpoints/1/sums/metadata", "c") == values[-1]
