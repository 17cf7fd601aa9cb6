import json
from pathlib import Path

import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.sources import recordings
from siren_jax.data.sources.problems import Problems

SHARED = Path(__file__).parents[4] / "shared" / "data"


def touch(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")  # sources never open the audio


def by_id(results):
  return {r.id: r for r in results}


def test_captions_of_a_folder_come_from_names_and_text_files(tmp_path):
  touch(tmp_path, "dog-bark_02.wav", "b.FLAC", "rain/0001.ogg", ".hidden.wav")
  touch(tmp_path, "notes.md", "rain/heavy rain on a roof.mp3")
  (tmp_path / "b.txt").write_text("a bell rings\n\nchurch bells\n")
  results = by_id(recordings.find(tmp_path))
  assert set(results) == {
    "dog-bark_02.wav",
    "b.FLAC",
    "rain/0001.ogg",
    "rain/heavy rain on a roof.mp3",
  }
  assert results["dog-bark_02.wav"].captions == ("dog bark",)
  assert results["b.FLAC"].captions == ("a bell rings", "church bells")
  assert results["rain/0001.ogg"].captions == ()
  assert results["rain/0001.ogg"].category == "rain"
  assert results["rain/heavy rain on a roof.mp3"].captions == (
    "heavy rain on a roof",
  )


def test_columns_of_a_csv_are_known_by_their_names(tmp_path):
  touch(tmp_path, "a.wav", "b.wav", "c.wav")
  (tmp_path / "clips.csv").write_text(
    "\ufeffAudio,caption_1,caption_2,label,split,fold,colour\n"
    "a.wav,a dog,,dog,train,1,red\n"
    'b.wav,"a cat, loud",a cat,cat,val,2,\n'
    "c.wav,,,owl,,3,blue\n",
    "utf-8",
  )
  a, b, c = recordings.find(tmp_path / "clips.csv")
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
  (recording,) = recordings.find(manifest)
  assert recording.captions == ("one", "two")
  assert recording.path == tmp_path / "x/a.wav"


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
  problems = Problems()
  results = recordings.find(tmp_path / "m.jsonl", problems)
  assert [r.id for r in results] == ["a.wav"]
  assert len(problems.messages) == 7
  assert ":2: not a JSON object" in problems.messages[0]
  for text in ("missing.wav", "no path", "listed twice", "holdout", "no cap"):
    assert any(text in m for m in problems.messages), text
  with pytest.raises(UserError, match="strict"):
    recordings.find(tmp_path / "m.jsonl", Problems(strict=True))


def test_esc50_gives_category_and_fold(tmp_path):
  touch(tmp_path, "audio/1-100-A-0.wav", "meta/esc50.csv")
  (tmp_path / "meta/esc50.csv").write_text(
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-100-A-0.wav,1,0,dog,True,100,A\n"
  )
  (recording,) = recordings.find(tmp_path)
  assert recording.path == tmp_path / "audio/1-100-A-0.wav"
  assert (recording.category, recording.fold, recording.captions) == (
    "dog",
    "1",
    (),
  )


def test_a_source_without_a_usable_recording_is_refused(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    recordings.find(tmp_path / "nowhere")
  with pytest.raises(UserError, match="no usable recording"):
    recordings.find(tmp_path)
  (tmp_path / "m.csv").write_text("path,caption\nmissing.wav,a dog\n")
  with pytest.raises(UserError, match=r"missing\.wav"):
    recordings.find(tmp_path / "m.csv")
  (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe\x00")
  with pytest.raises(UserError, match="UTF-8"):
    recordings.find(tmp_path / "m.csv")


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_the_manifests_of_esc10_and_sonic_pi_are_read_whole():
  esc10 = recordings.find(SHARED / "esc10", Problems(strict=True))
  assert len(esc10) == 318
  assert {r.fold for r in esc10} == {"1", "2", "3", "4"}
  assert len({r.category for r in esc10}) == 10 and all(r.title for r in esc10)
  sonic = recordings.find(SHARED / "sonic_pi" / "manifest.csv")
  assert len(sonic) == 195
  assert by_id(sonic)["ambi_choir.flac"].title == "ambi_choir"
  assert by_id(sonic)["ambi_choir.flac"].section == "Ambient"
  assert not any(r.captions for r in sonic)  # all come from the phrasebook


def results_and_problems(source):
  problems = Problems()
  return recordings.find(source, problems), problems.messages


def test_captions_are_whole_whatever_is_in_them(tmp_path):
  touch(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
  (tmp_path / "m.csv").write_bytes(
    'Path;Caption;split\na.wav;"a dog,\r\n barks";\nb.wav;rain\u2028falls;\n'
    "c.wav;w\x0cx\x85y;val\nd.wav;;\n".encode("utf-16")
  )
  results, problems = results_and_problems(tmp_path / "m.csv")
  assert [r.captions for r in results] == [
    ("a dog, barks",),
    ("rain\u2028falls",),
    ("w x y",),
  ]
  assert len(problems) == 1 and "m.csv:6: d.wav: no caption" in problems[0]


def test_captions_that_may_not_be_trained_on(tmp_path):
  touch(tmp_path, "a.wav", "b.wav", "c.wav")
  rows = [
    {"path": "a.wav", "captions": ["rain", 5, "x" * 1001, {"a": 1}]},
    {"path": "b.wav", "caption": "a\x1b[31mdog", "label": "dog"},
    {"path": 7, "caption": "seven"},
    {"path": "c.wav", "caption": "wind", "label": ["a"]},
  ]
  (tmp_path / "m.jsonl").write_text("\r\n".join(map(json.dumps, rows)))
  results, problems = results_and_problems(tmp_path / "m.jsonl")
  assert [(r.id, r.captions) for r in results] == [("a.wav", ("rain",))]
  messages = [p.removeprefix(f"{tmp_path}/m.jsonl:") for p in problems]
  assert [p.split(";")[0] for p in messages] == [
    "1: caption 5 is not text but int",
    f"1: caption '{'x' * 40}...' has 1001 characters, limit 1000",
    "1: caption {'a': 1} is not text but dict",
    "2: caption 'a\\x1b[31mdog' has the control character \\x1b",
    "3: path 7 is not text",
    "4: label ['a'] is not text but list",
  ]


def test_columns_that_are_no_captions(tmp_path):
  touch(tmp_path, "a.wav")
  (tmp_path / "m.csv").write_text("path,caption_id,Caption 2\na.wav,17,rain\n")
  (recording,) = recordings.find(tmp_path / "m.csv")
  assert recording.captions == ("rain",)


def test_paths_are_read_as_meant(tmp_path):
  nfd, nfc = "cafe\u0301.wav", "caf\u00e9.wav"
  touch(
    tmp_path, "x/a.wav", "b.wav", "c d.wav", nfd, "e.wav", "back\\slash.wav"
  )
  lines = [
    "path,caption",
    "x\\a.wav,a",
    " ./b.wav ,b",
    f"file://{tmp_path}/c%20d.wav,c",
    f"{nfc},d",
    f"{tmp_path}/e.wav,e",
    "back\\slash.wav,f",
    "x/../b.wav,b again",
    "https://x.org/a.wav,url",
    "http://[,url",
    "x,folder",
    f"{'y' * 300}.wav,long",
    '"two\nlines.wav",gone',
  ]
  (tmp_path / "m.csv").write_text("\n".join(lines))
  results, problems = results_and_problems(tmp_path / "m.csv")
  names = ["x/a.wav", "b.wav", "c d.wav", nfd, "e.wav", "back\\slash.wav"]
  assert [r.id for r in results] == names
  assert all(r.path == tmp_path / r.id for r in results)
  assert len(problems) == 6 and all(p.isprintable() for p in problems)
  ends = ["listed twice", "give its path", "give its path", "a folder", "", ""]
  for problem, end in zip(problems, ends):
    assert end in problem


def test_a_table_without_paths_says_what_it_has(tmp_path):
  (tmp_path / "m.csv").write_text("a.wav|a dog\nb.wav|rain\n")
  with pytest.raises(UserError, match=r"no path / file / audio; it has a\.wav"):
    recordings.find(tmp_path / "m.csv")
  touch(tmp_path, "a.wav")
  with pytest.raises(UserError, match="a sound file; give its folder"):
    recordings.find(tmp_path / "a.wav")


def test_folders_are_walked_and_what_is_left_is_named(tmp_path):
  touch(tmp_path, "rain.wav", "._rain.wav", "dog.m4a", "DSC12.wav", "rain.flac")
  (tmp_path / "loop").symlink_to(".")
  results, problems = results_and_problems(tmp_path)
  assert [r.id for r in results] == ["rain.flac", "rain.wav"]
  assert [p.removeprefix(f"{tmp_path}/").split(":")[0] for p in problems] == [
    "loop",
    f"1 .m4a file left out, such as {tmp_path}/dog.m4a",
    "DSC12.wav",
  ]
  assert ".txt" in problems[2] and "manifest" in problems[2]


def test_folders_name_the_kind(tmp_path):
  touch(tmp_path, "kick drum/bd_klub.wav", "metal door/DSC12.wav")
  touch(tmp_path, "bell/one.wav", "bell/two.wav", "bell/three.wav")
  (tmp_path / "bell/one.txt").write_bytes("a b\u00e9ll".encode("utf-16"))
  (tmp_path / "bell/two.txt").write_bytes("a b\u00e9ll".encode("cp1252"))
  (tmp_path / "bell/three.txt").write_text(" \n")
  results, problems = results_and_problems(tmp_path)
  assert [(r.id, r.captions, r.category) for r in results] == [
    ("bell/one.wav", ("a b\u00e9ll",), "bell"),
    ("kick drum/bd_klub.wav", (), "kick drum"),
    ("metal door/DSC12.wav", (), "metal door"),
  ]
  assert len(problems) == 2
  assert "three.txt: no caption" in problems[0]
  assert "two.txt:1: not UTF-8 text, probably Windows-1252" in problems[1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_corpus_is_known_in_any_encoding(tmp_path, encoding):
  touch(tmp_path, "wavs/abc.wav")
  (tmp_path / "train.csv").write_bytes(
    "audiocap_id;YouTube_ID;start_time;caption\n1;abc;0;caf\u00e9\n".encode(
      encoding
    )
  )
  if encoding == "cp1252":
    with pytest.raises(UserError, match=r"train\.csv:2: not UTF-8"):
      recordings.find(tmp_path)
    return
  (recording,) = recordings.find(tmp_path)
  assert recording.captions == ("caf\u00e9",) and recording.split == "train"


def test_tables_that_are_not_read_are_reported(tmp_path, caplog):
  touch(tmp_path, "rain.wav")
  (tmp_path / "clips.csv").write_text("path,caption\nrain.wav,a storm\n")
  (recording,) = recordings.find(tmp_path)
  assert recording.captions == ("rain",)
  assert "clips.csv is not read; rename it to manifest.csv" in caplog.text
  (tmp_path / "clips.csv").rename(tmp_path / "manifest.csv")
  (recording,) = recordings.find(tmp_path)
  assert recording.captions == ("a storm",)


def test_folders_of_splits_are_no_kinds(tmp_path):
  touch(tmp_path, "train/rain/1.wav", "test/dog bark.wav")
  results = by_id(recordings.find(tmp_path))
  rain, dog = results["train/rain/1.wav"], results["test/dog bark.wav"]
  assert (rain.category, rain.split) == ("rain", "train")
  assert (dog.captions, dog.category) == (("dog bark",), "")
  assert dog.split == "validation"
  (tmp_path / "test").rename(tmp_path / "car")
  results = by_id(recordings.find(tmp_path))
  assert results["car/dog bark.wav"].captions == ("car, dog bark",)
  assert not any(r.split for r in results.values())


@pytest.mark.parametrize(
  "text", ["a\u0308.txt", "\u00e4.txt", "\u00e4.TXT", "\u00e4.wav.txt"]
)
def test_a_text_is_found_however_its_name_is_spelled(text, tmp_path):
  (tmp_path / "\u00e4.wav").touch()
  (tmp_path / text).write_text("a dog barking")
  (recording,) = recordings.find(tmp_path)
  assert recording.captions == ("a dog barking",)


def test_a_table_without_a_caption_column_is_reported(tmp_path, caplog):
  (tmp_path / "dog_bark.wav").touch()
  table = tmp_path / "manifest.csv"
  table.write_text("path,text\ndog_bark.wav,a cat\n")
  recordings.find(table)
  assert "no caption, category or title in columns path, text" in caplog.text


def test_a_table_without_rows_says_so(tmp_path):
  table = tmp_path / "manifest.csv"
  table.write_text("path,caption\n")
  with pytest.raises(UserError, match="no rows below the header"):
    recordings.find(table)


def test_title_author_and_licence_are_kept(tmp_path):
  touch(tmp_path, "a.wav")
  (tmp_path / "manifest.csv").write_text(
    "file,category,title,source,author,license,seconds,fold\n"
    "a.wav,door_bell,a bell (C4),somewhere,Ann,CC-BY-3.0,2.5,3"
  )
  (bell,) = recordings.find(tmp_path)
  assert (bell.category, bell.title) == ("door_bell", "a bell (C4)")
  assert (bell.author, bell.license, bell.fold) == ("Ann", "CC-BY-3.0", "3")


@pytest.mark.parametrize(
  ("row", "caption"),
  [
    ({"section": "Pads"}, "warm pad"),
    ({"section": ""}, "warm pad"),
    ({"section": "", "title": "Dog_bark_02.wav"}, "dog bark"),
    ({"section": "Hi-hats"}, None),
    ({"section": "", "title": "bd_haus"}, None),
    ({"caption": " ", "category": "rain"}, None),
    ({"caption": ["", " "]}, "warm pad"),
  ],
)
def test_rows_without_a_caption_keep_what_else_they_say(row, caption, tmp_path):
  touch(tmp_path, "warm_pad.wav")
  line = json.dumps({"path": "warm_pad.wav", **row})
  (tmp_path / "manifest.jsonl").write_text(line)
  (found,) = recordings.find(tmp_path)
  assert found.captions == ((caption,) if caption else ())
  assert found.section == row.get("section", "")


@pytest.mark.parametrize(
  ("author", "source", "expected"),
  [
    ("", "https://freesound.org/people/A%20Bell/sounds/7/", "A Bell"),
    ("", "http://www.Freesound.Org/People/bo", "bo"),
    ("Ann", "https://freesound.org/people/bo/sounds/7/", "Ann"),
    ("", "https://example.org/people/bo", ""),
  ],
)
def test_an_address_at_freesound_names_the_author(
  author, source, expected, tmp_path
):
  touch(tmp_path, "a.wav")
  (tmp_path / "manifest.csv").write_text(
    f"file,category,author,source\na.wav,rain,{author},{source}"
  )
  (rain,) = recordings.find(tmp_path)
  assert rain.author == expected


def test_a_category_without_a_word_costs_no_other_row(tmp_path):
  touch(tmp_path, "a.wav", "b.wav")
  (tmp_path / "manifest.csv").write_text("file,category\na.wav,--\nb.wav,rain")
  problems = Problems()
  (rain,) = recordings.find(tmp_path, problems)
  assert rain.category == "rain"
  assert "manifest.csv:2: category '--' holds no word" in problems.messages[0]
