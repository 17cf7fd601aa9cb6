"""`siren-jax kinds`, and what `generate` says of prompts that are far."""

import dataclasses
import gc
import json
import re
import shutil
import weakref

import numpy as np
import pytest
import soundfile

from siren_jax import api
from siren_jax.cli.main import main
from siren_jax.cli.page.endpoints import Endpoints
from siren_jax.cli.page.gate import Gate
from siren_jax.cli.page.making import Studio
from siren_jax.common.errors import UserError
from siren_jax.weights import bundle, repertoire, survey

ROWS = (
  ("dog bark", "Ada", "CC0", "a", "1"),
  ("dog bark", "Ada", "CC0", "a", "1"),
  ("dog_bark", "Bo", "CC-BY", "https://www.freesound.org/people/Bo/", "1"),
  ("rain", "Ada", "CC0", "a", "1"),
  ("hail", "Cy", "CC0", "", "2"),
  ("", "", "https://cc.org/by/3.0/", "http://freesound.org/people/Dee/", "1"),
)


@pytest.fixture(scope="module")
def knowing(tiny_bundle, tmp_path_factory):
  """A bundle exported with a manifest: dogs and rain; hail is held out."""
  folder = tmp_path_factory.mktemp("knowing")
  lines = ["file,category,author,license,source,fold,seconds,title"]
  for number, row in enumerate(ROWS):
    soundfile.write(folder / f"{number}.wav", np.full(80, 0.1), 16000)
    lines.append(",".join([f"{number}.wav", *row, "2.5", "a kick"]))
  (folder / "clips.csv").write_text("\n".join(lines))
  (folder / "quality.json").write_text('{"rain": 0.5}')
  argv = ["export", "--experts", tiny_bundle, "--out", folder / "out"]
  argv += ["--manifest", folder / "clips.csv"]
  argv += ["--quality", folder / "quality.json", "--far-threshold", "0.2"]
  assert main([str(a) for a in argv]) == 0
  return folder / "out"


def test_an_export_keeps_what_was_trained_on(knowing):
  known = bundle.load(knowing).repertoire
  dogs, rain = known.kinds
  assert (dogs.name, dogs.clips, dogs.seconds) == ("dog bark", 3, 7.5)
  assert dogs.quality is None and rain.quality == 0.5
  assert known.far_threshold == 0.2
  assert [(c.author, c.license, c.source, c.clips) for c in known.credits] == [
    ("Ada", "CC0", "a", 3),
    ("Bo", "CC-BY", "freesound.org", 1),
    ("Dee", "cc.org/by/3.0/", "freesound.org", 1),
  ]
  card = (knowing / "README.md").read_text()
  assert "dog bark (3)" in card and "hail" not in card


def test_kinds_are_listed_by_group_with_a_prompt(knowing, capsys):
  assert main(["kinds", "--model", str(knowing)]) == 0
  out = capsys.readouterr().out
  assert re.search(r"^  dog bark +\w", out, re.M)
  assert "2 of 2 kinds" in out
  assert f"--model {knowing}" in out.splitlines()[-1]
  assert max(map(len, out.splitlines()[:-1])) < 80


def test_words_and_groups_choose(knowing, capsys, user_error):
  model = ["--model", str(knowing)]
  assert main(["kinds", "BARK", "--json", *model]) == 0
  (dogs,) = json.loads(capsys.readouterr().out)
  assert dogs["name"] == "dog bark" and dogs["clips"] == 3
  assert main(["kinds", "--group", dogs["group"], *model]) == 0
  out = capsys.readouterr().out
  assert "dog bark" in out and "rain" not in out
  assert "'zebra'" in user_error(["kinds", "zebra", *model])
  assert dogs["group"] in user_error(["kinds", "--group", "none", *model])


def test_a_model_that_does_not_say_is_named(tiny_bundle, user_error):
  message = user_error(["kinds", "--model", tiny_bundle])
  assert "export --manifest" in message
  with pytest.raises(UserError, match="export --manifest"):
    api.load(tiny_bundle).closest("rain")


def _with_threshold(folder, threshold):
  content = json.loads((folder / "kinds.json").read_text())
  content["far_threshold"] = threshold
  (folder / "kinds.json").write_text(json.dumps(content))


@pytest.mark.parametrize("is_far", [True, False])
def test_generate_warns_of_far_prompts(is_far, knowing, tmp_path, capsys):
  _with_threshold(knowing, 10 if is_far else -10)
  argv = ["generate", " a walrus", "--seconds", "0.2", "--out", str(tmp_path)]
  assert main([*argv, "--model", str(knowing)]) == 0
  captured = capsys.readouterr()
  assert "closest sounds" not in captured.out
  said = [line for line in captured.err.splitlines() if "closest" in line]
  (path,) = tmp_path.glob("*.json")
  facts = json.loads(path.read_text())
  if not is_far:
    assert said == [] and facts["closest"] is None
    return
  (line,) = said
  assert line.startswith("closest sounds I know: ") and '"a walrus"' in line
  assert len(facts["closest"]) == 2
  assert all(example in line for example in facts["closest"])
  again = ["generate", "--again", str(path), "--out", str(tmp_path / "again")]
  assert main([*again, "--model", str(knowing)]) == 0


def test_the_page_warns_of_far_prompts(knowing, tmp_path, monkeypatch):
  _with_threshold(knowing, 10)
  monkeypatch.chdir(tmp_path)
  siren = api.load(knowing)
  studio = Studio(siren, str(knowing), "ab12", None, api.BATCH_SIZE)
  page = Endpoints(studio, tmp_path, Gate())
  *_, value = page.generate("a walrus", 0.2, 0, 1, 0.9, None, None)
  facts = json.loads(value["sounds"][0]["facts"])
  assert "closest sounds I know: " in value["status"]
  assert all(example in value["status"] for example in facts["closest"])


RIDDLE = "the best friend of man"


@pytest.fixture
def riddled(knowing, tmp_path):
  """The bundle with a description of dogs, and nothing else near it."""
  folder = tmp_path / "riddled"
  shutil.copytree(knowing, folder)
  model = bundle.load(folder)
  text_1xE = survey.embed(model.clap, [RIDDLE])
  known = dataclasses.replace(
    model.repertoire,
    known_IxE=repertoire.stored(-text_1xE.repeat(2, 0)),
    kind_I=np.array([0, 1], np.int32),
    described_IxE=repertoire.stored(text_1xE),
    described_kind_I=np.array([0], np.int32),
    several_IxE=repertoire.stored(-text_1xE),
  )
  repertoire.save(folder, known)
  return folder


def test_all_ways_to_make_a_sound_expand_the_prompt(riddled):
  siren, plain = api.load(riddled), api.load(riddled, expand=False)
  example = siren.bundle.repertoire.kinds[0].example
  assert siren.expanded(f" {RIDDLE} ") == example
  assert plain.expanded(RIDDLE) == RIDDLE
  noise_S = np.random.default_rng(0).normal(0, 0.1, 6400).astype(np.float32)
  ways = (
    lambda siren: siren.generate(RIDDLE, 0.2),
    lambda siren: siren.generate(RIDDLE, 0.2, continue_from=noise_S),
    lambda siren: np.concatenate(list(siren.stream(RIDDLE, 0.2))),
    lambda siren: siren.fill(noise_S, 0.1, 0.3, RIDDLE),
    lambda siren: siren.vary(noise_S, 1, RIDDLE),
    lambda siren: siren.clap_score(noise_S, RIDDLE),
  )
  for way in ways:
    assert not np.array_equal(way(siren), way(plain))
  # Of an example, and without a prompt, nothing changes.
  for prompt in (example, None):
    sounds = [s.vary(noise_S, 1, prompt) for s in (siren, plain)]
    np.testing.assert_array_equal(*sounds)


def test_expansion_does_not_keep_a_model_alive(riddled):
  siren = api.load(riddled)
  siren.expanded(RIDDLE)
  model = weakref.ref(siren._model)
  gc.disable()
  try:
    del siren
    assert model() is None
  finally:
    gc.enable()


def test_the_score_of_a_sound_is_that_of_the_expanded_prompt(riddled):
  siren = api.load(riddled)
  (sound,) = siren.sounds(RIDDLE, 0.2, candidates=2, loudness=None)
  score = siren.clap_score(sound.audio_S, RIDDLE)
  assert score == pytest.approx(sound.clap_score, abs=1e-4)


def test_what_would_be_cut_is_not_expanded(riddled):
  known = bundle.load(riddled).repertoire
  long = dataclasses.replace(known.kinds[0], example="a dog " * 20)
  kinds = (long, *known.kinds[1:])
  repertoire.save(riddled, dataclasses.replace(known, kinds=kinds))
  assert api.load(riddled).expanded(RIDDLE) == RIDDLE


def test_a_prompt_too_long_for_the_experts_is_expanded_whole(riddled, caplog):
  siren = api.load(riddled)
  long = f"{RIDDLE} {'zork ' * 20}"
  caplog.clear()
  assert siren.expanded(long) == siren.bundle.repertoire.kinds[0].example
  siren.generate(long, 0.2)
  assert caplog.records == []  # nothing is cut


def test_generate_says_how_a_prompt_is_expanded(riddled, tmp_path, capsys):
  def made(name, *flags):
    folder = tmp_path / name
    argv = ["generate", *flags, "--seconds", "0.2", "--out", str(folder)]
    if "--again" in flags:
      argv = ["generate", *flags, "--out", str(folder)]
    assert main([*argv, "--model", str(riddled)]) == 0
    (sound,) = folder.glob("*.wav")
    (facts,) = folder.glob("*.json")
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if "expanded to" in line]
    return sound.read_bytes(), json.loads(facts.read_text()), lines

  sound, facts, (line,) = made("expanded", RIDDLE)
  example = api.load(riddled).expanded(RIDDLE)
  assert f'prompt "{RIDDLE}" expanded to "{example}"' in line
  assert "--no-expand" in line and "--no-expand" not in facts["command"]
  assert facts["prompt"] == RIDDLE and facts["expanded_prompt"] == example
  plain, plain_facts, lines = made("plain", RIDDLE, "--no-expand")
  assert plain != sound and lines == []
  assert "--no-expand" in plain_facts["command"]
  assert plain_facts["expanded_prompt"] == RIDDLE
  # The JSON file reproduces both, and so does one from before expansion.
  paths = [tmp_path / n / f"{n}.json" for n in ("new", "plain", "old")]
  for path, content in zip(
    paths,
    (
      facts,
      plain_facts,
      {
        k: v
        for k, v in plain_facts.items()
        if k not in ("expand", "expanded_prompt")
      },
    ),
  ):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
  again = [made(f"again{i}", "--again", str(p))[0] for i, p in enumerate(paths)]
  assert again == [sound, plain, plain]


def test_again_says_if_a_prompt_is_expanded_to_something_else(
  riddled, tmp_path, capsys
):
  argv = ["generate", RIDDLE, "--seconds", "0.2", "--out", str(tmp_path)]
  assert main([*argv, "--model", str(riddled)]) == 0
  (path,) = tmp_path.glob("*.json")
  texts = riddled / "kinds.json"
  texts.write_text(texts.read_text().replace("a dog barking", "a hound"))
  assert main(["generate", "--again", str(path), "--out", str(tmp_path)]) == 0
  assert 'was expanded to "a dog barking" before' in capsys.readouterr().err


def test_the_page_says_how_a_prompt_is_expanded(riddled, tmp_path):
  siren = api.load(riddled)
  studio = Studio(siren, str(riddled), "ab12", None, api.BATCH_SIZE)
  page = Endpoints(studio, tmp_path, Gate())
  *_, value = page.generate(RIDDLE, 0.2, 0, 1, 0.9, None, None)
  assert f'expanded to "{siren.expanded(RIDDLE)}"' in value["status"]


def test_the_closest_kind_of_a_phrase_is_its_own(knowing):
  siren = api.load(knowing)
  for kind in siren.bundle.repertoire.kinds:
    near = siren.closest(kind.example, count=1)
    assert near.kinds == (kind,)
  with pytest.raises(UserError, match="empty"):
    siren.closest(" ")


def test_a_bundle_of_another_clap_knows_nothing(knowing, tiny_bundle, tmp_path):
  """The embeddings are those of the CLAP that it had."""
  export = ["export", "--experts", str(knowing), "--out"]
  assert main([*export, str(tmp_path / "same")]) == 0
  other = [str(tmp_path / "other"), "--clap", str(tiny_bundle)]
  assert main([*export, *other]) == 0
  same, other = (bundle.load(tmp_path / n) for n in ("same", "other"))
  assert other.repertoire is None
  assert same.repertoire.kinds == bundle.load(knowing).repertoire.kinds


@pytest.mark.parametrize(
  "flags",
  [["--far-threshold", "1"], ["--validation-fold", "1"], ["--every-kind"]],
)
def test_flags_of_manifests_need_one(flags, tiny_bundle, tmp_path, user_error):
  argv = ["export", "--experts", tiny_bundle, "--out", tmp_path / "out"]
  assert "--manifest" in user_error([*argv, *flags])
  assert not (tmp_path / "out").exists()


def test_a_manifest_without_categories_is_refused(
  tiny_bundle, tmp_path, user_error
):
  for name in "ab":
    soundfile.write(tmp_path / f"{name}.wav", np.full(80, 0.1), 16000)
  rows = "file,caption\na.wav,a dog barks\nb.wav,it rains"
  (tmp_path / "clips.csv").write_text(rows)
  argv = ["export", "--experts", tiny_bundle, "--out", tmp_path / "out"]
  message = user_error([*argv, "--manifest", tmp_path / "clips.csv"])
  assert "category" in message and not (tmp_path / "out").exists()
