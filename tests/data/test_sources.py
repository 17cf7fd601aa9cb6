import json
from pathlib import Path

import pytest

from siren_jax.common.errors import UserError
from siren_jax.data import sources

SHARED = Path(__file__).parents[3] / "shared" / "data"


def touch(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")  # sources never open the audio


def by_id(found):
  return {r.id: r for r in found}


def test_folder_captions(tmp_path):
  touch(tmp_path, "dog-bark_02.wav", "b.FLAC", "rain/0001.ogg", ".hidden.wav")
  touch(tmp_path, "notes.md", "rain/heavy rain on a roof.mp3")
  (tmp_path / "b.txt").write_text("a bell rings\n\nchurch bells\n")
  found = by_id(sources.find(tmp_path))
  assert set(found) == {
    "dog-bark_02.wav",
    "b.FLAC",
    "rain/0001.ogg",
    "rain/heavy rain on a roof.mp3",
  }
  assert found["dog-bark_02.wav"].captions == ("dog bark",)
  assert found["b.FLAC"].captions == ("a bell rings", "church bells")
  assert found["rain/0001.ogg"].captions == ()
  assert found["rain/0001.ogg"].category == "rain"
  assert found["rain/heavy rain on a roof.mp3"].captions == (
    "heavy rain on a roof",
  )


def test_csv_columns(tmp_path):
  touch(tmp_path, "a.wav", "b.wav", "c.wav")
  (tmp_path / "clips.csv").write_text(
    "\ufeffAudio,caption_1,caption_2,label,split,fold,colour\n"
    "a.wav,a dog,,dog,train,1,red\n"
    'b.wav,"a cat, loud",a cat,cat,val,2,\n'
    "c.wav,,,owl,,3,blue\n",
    "utf-8",
  )
  a, b, c = sources.find(tmp_path / "clips.csv")
  assert (a.captions, a.category, a.split, a.fold) == (
    ("a dog",),
    "dog",
    "train",
    "1",
  )
  assert b.captions == ("a cat, loud", "a cat") and b.split == "validation"
  assert c.captions == () and c.category == "owl" and c.split == ""


def test_jsonl_list_of_captions_and_absolute_path(tmp_path):
  touch(tmp_path, "x/a.wav")
  rows = [
    {"path": str(tmp_path / "x/a.wav"), "captions": ["one", "two", "one"]},
  ]
  manifest = tmp_path / "clips.jsonl"
  manifest.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
  (found,) = sources.find(manifest)
  assert found.captions == ("one", "two")
  assert found.path == tmp_path / "x/a.wav"


def test_bad_rows_are_collected(tmp_path):
  touch(tmp_path, "a.wav", "b.wav", "123.wav")
  (tmp_path / "m.jsonl").write_text(
    '{"path": "a.wav", "caption": "a"}\n'
    "{broken\n"
    "[1, 2]\n"
    '{"path": "missing.wav", "caption": "m"}\n'
    '{"caption": "no path"}\n'
    '{"path": "a.wav", "caption": "again"}\n'
    '{"path": "b.wav", "caption": "b", "split": "holdout"}\n'
    '{"path": "123.wav"}\n'
  )
  problems = sources.Problems()
  found = sources.find(tmp_path / "m.jsonl", problems)
  assert [r.id for r in found] == ["a.wav"]
  assert len(problems.messages) == 7
  assert ":2: not a JSON object" in problems.messages[0]
  for text in ("missing.wav", "no path", "listed twice", "holdout", "no cap"):
    assert any(text in m for m in problems.messages), text
  with pytest.raises(UserError, match="strict"):
    sources.find(tmp_path / "m.jsonl", sources.Problems(strict=True))


def test_esc50_layout(tmp_path):
  touch(tmp_path, "audio/1-100-A-0.wav", "meta/esc50.csv")
  (tmp_path / "meta/esc50.csv").write_text(
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-100-A-0.wav,1,0,dog,True,100,A\n"
  )
  (found,) = sources.find(tmp_path)
  assert found.path == tmp_path / "audio/1-100-A-0.wav"
  assert (found.category, found.fold, found.captions) == ("dog", "1", ())


def test_nothing_usable(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    sources.find(tmp_path / "nowhere")
  with pytest.raises(UserError, match="no usable recording"):
    sources.find(tmp_path)
  (tmp_path / "m.csv").write_text("path,caption\nmissing.wav,a dog\n")
  with pytest.raises(UserError, match=r"missing\.wav"):
    sources.find(tmp_path / "m.csv")
  (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe\x00")
  with pytest.raises(UserError, match="UTF-8"):
    sources.find(tmp_path / "m.csv")


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_shared_manifests():
  esc10 = sources.find(SHARED / "esc10", sources.Problems(strict=True))
  assert len(esc10) == 318
  assert {r.fold for r in esc10} == {"1", "2", "3", "4"}
  assert len({r.category for r in esc10}) == 10 and all(r.title for r in esc10)
  sonic = sources.find(SHARED / "sonic_pi" / "manifest.csv")
  assert len(sonic) == 195
  assert by_id(sonic)["ambi_choir.flac"].title == "ambi_choir"
  assert by_id(sonic)["ambi_choir.flac"].section == "Ambient"
  assert not any(r.captions for r in sonic)  # all come from the phrasebook
