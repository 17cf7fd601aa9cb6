"""What models are known by."""

from siren_jax.common import fingerprint


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
