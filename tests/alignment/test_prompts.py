"""Where prompts come from, and the order they come in."""

import numpy as np
import pytest

from siren_jax.alignment import prompts
from siren_jax.clap import tokenizer
from siren_jax.common.errors import UserError
from siren_jax.common.shards import Shard


def test_lines_of_a_file(tmp_path):
  path = tmp_path / "prompts.txt"
  path.write_text("a dog barking\n\n  rain  \na dog barking\n")
  lines = prompts.read(path, "train")
  assert lines == [prompts.Prompt("a dog barking"), prompts.Prompt("rain")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path, encoding):
  path = tmp_path / "prompts.txt"
  path.write_bytes("a dog\u2028barks\r\nrain".encode(encoding))
  texts = [prompt.text for prompt in prompts.read(path, "train")]
  assert texts == ["a dog\u2028barks", "rain"]


@pytest.mark.parametrize(
  "content, message",
  [(b"\n  \n", "no prompts"), (b"\xff\xfe\x00", "not UTF-8")],
)
def test_a_file_without_prompts(tmp_path, content, message):
  path = tmp_path / "prompts.txt"
  path.write_bytes(content)
  with pytest.raises(UserError, match=message):
    prompts.read(path, "train")


def test_a_table_is_refused(tmp_path):
  path = tmp_path / "prompts.csv"
  path.write_text("caption\nrain\n")
  with pytest.raises(UserError, match="a table, not a list of prompts"):
    prompts.read(path, "train")


def test_a_path_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match="nowhere"):
    prompts.read(tmp_path / "nowhere", "train")


def test_synthetic_prompts_have_truths():
  claims = prompts.synthetic_prompts(5, 0, 16000, 1.0)
  assert len({id(p.truth) for p in claims}) == 5
  assert all(p.text and p.truth["kind"] for p in claims)
  assert claims == prompts.synthetic_prompts(5, 0, 16000, 1.0)
  assert claims != prompts.synthetic_prompts(5, 1, 16000, 1.0)


@pytest.fixture(scope="module")
def batches():
  words = tokenizer.train(["one two three four five"], 64)

  def make(**options):
    texts = [prompts.Prompt(t) for t in ("one", "two two")]
    texts += [prompts.Prompt(t, {"kind": t}) for t in ("three", "four")]
    defaults = dict(max_tokens=4, batch_size=3, seed=0)
    return prompts.PromptBatches(texts, words, **(defaults | options))

  return make


def test_truths_are_numbered(batches):
  for first in (0, 7):
    stream = batches(batch_size=4, first_truth=first)
    batch = next(stream)
    assert sorted(batch["truth_B"]) == [-1, -1, first, first + 1]
    assert batch["ids_BxP"].shape == batch["mask_BxP"].shape == (4, 4)


def test_every_prompt_comes_and_none_twice_in_a_batch(batches):
  stream, seen = batches(), set()
  for _ in range(10):
    rows = [tuple(row) for row in next(stream)["ids_BxP"]]
    assert len(set(rows)) == 3
    seen |= set(rows)
  assert len(seen) == 4
  assert len(next(batches(batch_size=9))["truth_B"]) == 9


def test_the_order_follows_from_the_seed_and_resumes(batches):
  def ids(stream, count):
    return [next(stream)["ids_BxP"].tolist() for _ in range(count)]

  straight = ids(batches(), 6)
  stopped = batches()
  ids(stopped, 3)
  resumed = batches()
  resumed.set_state(stopped.get_state())
  assert ids(resumed, 3) == straight[3:]
  assert ids(batches(seed=1), 6) != straight


def test_no_two_prompts_of_a_stream_have_one_place(batches):
  stream = batches(batch_size=4)
  places = [next(stream)["place_B"].tolist() for _ in range(3)]
  assert sum(places, []) == list(range(12))
  resumed = batches(batch_size=4)
  resumed.set_state({"step": 2})
  assert next(resumed)["place_B"].tolist() == places[2]


def test_processes_share_a_batch(batches):
  whole = next(batches(batch_size=4))
  parts = [next(batches(batch_size=4, shard=Shard((p,), 2))) for p in (0, 1)]
  for name, value in whole.items():
    joined = np.concatenate([part[name] for part in parts])
    np.testing.assert_array_equal(joined, value)
