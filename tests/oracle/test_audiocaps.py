"""The commands of docs/audiocaps.md, on clips and weights that are made up.

Layouts and sizes are the published ones; the experts are smaller.
"""

import json
import pathlib
import re
import shlex

import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers, processors, trainers

from siren_jax.audio import sound_files
from siren_jax.cli.main import main
from siren_jax.evaluation import networks

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.oracle
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "audiocaps.md"
CONFIGS = PAGE.parents[1] / "configs"
CLIPS = {"train": 4, "val": 2, "test": 3}
HUB = {
  "hub:descript/dac_16khz": "published/dac",
  "hub:laion/clap-htsat-unfused": "published/clap",
}
SMALLER = {
  "train": {
    "experts.dim": 64,
    "experts.heads": 4,
    "experts.kv_heads": 4,
    "experts.temporal_layers": 1,
    "experts.depth_layers": 1,
    "train.batch_size": 8,
    "train.steps": 2,
    "optimizer.steps": 2,
    "optimizer.warmup_steps": 1,
  },
  "align": {
    "train.batch_size": 8,
    "train.steps": 1,
    "optimizer.steps": 1,
    "optimizer.warmup_steps": 0,
    "alignment.group_size": 2,
    "alignment.seconds": 0.5,
  },
}


def commands() -> list[list[str]]:
  """Every `siren-jax` command of the page, in order."""
  blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.M | re.S)
  lines = "".join(blocks).replace("\\\n", " ").splitlines()
  return [shlex.split(x)[1:] for x in lines if x.startswith("siren-jax ")]


def _clips(root: pathlib.Path) -> None:
  """One clip of each split is missing, but for validation."""
  rng = np.random.default_rng(0)
  time = np.arange(32000 * 10) / 32000
  for split, count in CLIPS.items():
    rows = ["audiocap_id,youtube_id,start_time,caption"]
    for i in range(count):
      name = f"{split}-{i}"
      rows.append(f'{i},{name},{30 * i},"A {split} sound, number {i}"')
      if split != "val" and i == count - 1:
        continue
      wave = np.sin(2 * np.pi * 200 * (i + 1) * time) + rng.normal(
        size=len(time)
      )
      path = root / "wavs" / split / f"Y{name}.wav"
      sound_files.write_audio(path, 0.1 * wave.astype("f4"), 32000)
    (root / f"{split}.csv").write_text("\n".join(rows) + "\n")


def _weights(root: pathlib.Path, published, monkeypatch) -> None:
  published.dac().save_pretrained(root / "published" / "dac")
  model, extractor = published.clap(fused=False)
  for part in (model, extractor):
    part.save_pretrained(root / "published" / "clap")
  words = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
  words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
  trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special)
  words.train_from_iterator(["a train sound"], trainer)
  words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
  words.save(str(root / "published" / "clap" / "tokenizer.json"))
  torch.save(
    published.vggish(monkeypatch).state_dict(), root / "vggish-10086976.pth"
  )
  tagger = published.cnn14(networks.CNN14_16K, monkeypatch, root)
  state = {"model": tagger.state_dict()}
  # As PANNs' own, of torch before 1.6.
  torch.save(
    state,
    root / "Cnn14_16k_mAP=0.438.pth",
    _use_new_zipfile_serialization=False,
  )


def test_the_commands_of_the_page_run(tmp_path, published, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  (tmp_path / "configs").symlink_to(CONFIGS)
  _clips(tmp_path / "audiocaps")
  _weights(tmp_path, published, monkeypatch)
  for command in commands():
    changes = SMALLER.get(command[0], {})
    argv = [HUB.get(word, word) for word in command]
    argv += [f"--config.{name}={value}" for name, value in changes.items()]
    assert main(argv) == 0, argv
  skipped = (tmp_path / "runs" / "audio" / "skipped.txt").read_text()
  assert "train-3" in skipped and len(skipped.splitlines()) == 1
  generated = sorted((tmp_path / "runs" / "generated").glob("*.wav"))
  assert [path.stem for path in generated] == ["Ytest-0", "Ytest-1"]
  figures = json.loads((tmp_path / "figures.json").read_text())
  assert set(figures["rows"]["generated (2)"]) == {
    "fad", "fd", "is", "kl", "clap",
  }  # fmt: skip
  assert "VGGish" in figures["scorers"]["fad"]
  assert (tmp_path / "their-siren" / "experts.safetensors").exists()
