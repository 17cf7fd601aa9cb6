"""What a folder or a name is, and how messages call it."""

import json

import pytest

from siren_jax import codec
from siren_jax.common.errors import UserError
from siren_jax.data.sets import reader
from siren_jax.storage import fingerprint, folders
from siren_jax.storage.folders import FolderKind, identify
from siren_jax.weights import assembly, bundle


def write(folder, **contents):
  """A folder of files, `config` being the JSON of its config.json."""
  folder.mkdir(exist_ok=True)
  if "config" in contents:
    text = json.dumps(contents.pop("config"))
    (folder / folders.CONFIG).write_text(text)
  for name in contents.pop("names", ()):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  return folder


@pytest.mark.parametrize(
  ("contents", "kind", "components"),
  [
    (
      dict(config={"format": 1, "codec": {}, "clap": {}, "experts": {}}),
      FolderKind.BUNDLE,
      ("codec", "clap", "experts"),
    ),
    (
      dict(
        config={"kind": "clap", "clap": {}},
        names=["checkpoints/1/sums/metadata"],
      ),
      FolderKind.WORKDIR,
      ("clap",),
    ),
    (
      dict(config={"vggish": {}}, names=["vggish.safetensors"]),
      FolderKind.IMPORTED,
      ("vggish",),
    ),
    (dict(names=["dataset_info.json"]), FolderKind.AUDIO_SET, ()),
    (
      dict(config={"codec": {}, "clap": {}}, names=["dataset_info.json"]),
      FolderKind.CODE_SET,
      ("codec", "clap"),
    ),
    (
      dict(config={"n_heads": 8}, names=["expert_0.safetensors"]),
      FolderKind.STAGE1_FILES,
      (),
    ),
    (dict(config=[1]), FolderKind.OTHER, ()),
  ],
)
def test_the_files_of_a_folder_determine_its_kind(
  contents, kind, components, tmp_path
):
  folder = identify(write(tmp_path / "folder", **contents))
  assert (folder.kind, folder.components) == (kind, components)
  assert folder.experiment == ("clap" if kind is FolderKind.WORKDIR else None)
  assert not folder.is_shipped


def test_no_name_is_the_default_bundle_and_ships():
  folder = identify(None)
  assert folder == identify(folders.DEFAULT)
  assert folder.kind is FolderKind.BUNDLE and folder.is_shipped
  assert folder.components == ("codec", "clap", "experts")


def test_a_broken_config_is_one_line(tmp_path):
  (tmp_path / folders.CONFIG).write_text("half of it")
  with pytest.raises(UserError, match="config.json: not JSON.*; give a bundle"):
    identify(tmp_path)


def test_the_wrong_folder_is_named_with_what_it_is(
  tmp_path, user_error, monkeypatch
):
  """Whoever asks: what it is, and what was expected."""
  monkeypatch.chdir(tmp_path)
  write(tmp_path / "audio", names=["dataset_info.json"])
  write(
    tmp_path / "clap",
    config={"kind": "clap", "clap": {}},
    names=["checkpoints/1/sums/metadata"],
  )
  write(tmp_path / "dac", config={"codec": {}})
  run = r"clap is a training work directory \(kind='clap'\)"
  errors = {
    "audio holds no codec: it is an audio set": lambda: codec.load("audio"),
    f"expected a bundle; {run}": lambda: bundle.load("clap"),
    r"expected a bundle; dac is an imported model \(codec\)": lambda: (
      bundle.load("dac")
    ),
    "dac holds no experts: it is an imported model": lambda: (
      assembly.load_experts("dac")
    ),
    "no prepared data set here, but an imported model": lambda: reader.splits(
      "dac"
    ),
    "no prepared data set here, but a training work directory": lambda: (
      reader.open_source("clap", "train")
    ),
  }
  for message, load in errors.items():
    with pytest.raises(UserError, match=message):
      load()
  message = user_error(["generate", "rain", "--model", "audio"])
  assert "expected a bundle; audio is an audio set; make one" in message


def test_neither_a_folder_nor_a_name_lists_the_names():
  with pytest.raises(UserError, match="'nano'.*siren-small"):
    codec.load("nano")


def test_a_checkpoint_that_is_not_whole_is_passed_over(tmp_path):
  def save(step, sums):
    path = tmp_path / "checkpoints" / str(step) / "sums" / "metadata"
    path.parent.mkdir(parents=True)
    path.write_text(sums)

  save(0, "none")
  first = folders.model_fingerprint(tmp_path)
  assert first != fingerprint.of_values({})
  save(9, "nine")
  ninth = folders.model_fingerprint(tmp_path)
  assert ninth != first
  (tmp_path / "checkpoints" / "10").mkdir()
  assert folders.model_fingerprint(tmp_path) == ninth


def test_a_work_directory_is_known_by_its_newest_step_and_tokenizer(tmp_path):
  def write(name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folders.model_fingerprint(tmp_path)

  values = [
    write("checkpoints/1/sums/metadata", "a"),
    write("checkpoints/2/sums/metadata", "b"),
    write("tokenizer.json", "words"),
    write("tokenizer.json", "other words"),
  ]
  assert len(set(values)) == 4
  assert write("metrics.csv", "step") == values[-1]
  assert write("checkpoints/1/sums/metadata", "c") == values[-1]
