"""The page, as visitors use it: in a browser."""

import json
import pathlib

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.pages
RATE = 16000
WAIT = 90_000  # ms; a test may be the first to compile something
SETTLE = 1_500  # ms


@pytest.fixture
def visit(browser, served):
  """Opens the page for one more visitor; gives the tab."""
  contexts = []

  def visit():
    context = browser.new_context(
      viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    contexts.append(context)
    tab = context.new_page()
    tab.set_default_timeout(WAIT)
    tab.requested, tab.failed = [], []
    tab.on("request", lambda request: tab.requested.append(request.url))
    tab.on("pageerror", lambda error: tab.failed.append(str(error)))
    tab.on(
      "response",
      lambda answer: (
        answer.ok or tab.failed.append(f"{answer.status} {answer.url}")
      ),
    )
    tab.goto(served.url)
    tab.get_by_label("Words").wait_for()
    return tab

  yield visit
  for context in contexts:
    for tab in context.pages:
      assert tab.failed == []
      for url in tab.requested:
        assert url.startswith((served.url, "data:", "blob:")), url
    context.close()


@pytest.fixture
def tab(visit):
  return visit()


def set_(tab, label, value):
  """Changes a setting, once the page takes it."""
  box = tab.get_by_label(label).first
  if not box.is_visible():
    tab.get_by_role("button", name="Settings").click()
    box.wait_for()
    tab.wait_for_timeout(SETTLE)  # Gradio sets the values that it opens with.
  for _ in range(5):
    box.fill(str(value))
    box.press("Tab")
    tab.wait_for_timeout(SETTLE / 5)
    if float(box.input_value()) == value:
      return
  raise AssertionError(f"{label} stays {box.input_value()}")


def make(tab, words, count=4):
  """Types words, and waits for the cards of all sounds."""
  tab.get_by_label("Words").fill(words)
  tab.get_by_role("button", name="Make sounds").click()
  finished(tab, count)


def point(picture, share):
  """Moves the mouse to a share of a picture's width, once it stands still."""
  width = picture.bounding_box()["width"]
  picture.hover(position={"x": share * width, "y": 20})


def drag(tab, picture, start, end):
  """Marks a part of a picture of 2 s; again, if the page moved meanwhile.

  The recording's own player above the picture grows when it has loaded.
  """
  marked = (
    "start => [...document.querySelectorAll('input[type=number]')]"
    ".some(input => Math.abs(input.value - start) < 0.02)"
  )
  for wait in (1_000, 3_000, 10_000, 30_000):
    point(picture, start)
    tab.mouse.down()
    point(picture, (start + end) / 2)
    point(picture, end)
    tab.mouse.up()
    tab.wait_for_timeout(wait)
    if tab.evaluate(marked, 2 * start):
      return
  raise AssertionError("the part was not marked")


def finished(tab, count):
  """Waits until so many sounds are there, and no other."""
  tab.wait_for_function(
    "count => document.querySelectorAll('figure a[download$=json]').length"
    " == count && /^((closest|prompt) .*)?$/.test("
    "[...document.querySelectorAll('.status')].at(-1).textContent)",
    arg=count,
  )


def facts(tab, index=0):
  """What a card says of its sound."""
  return json.loads(tab.locator("figure pre").nth(index).text_content())


def test_sounds_are_made_played_and_downloaded(tab, tmp_path):
  set_(tab, "Seconds", 1)
  tab.evaluate("""() => {
    window.started = 0;
    window.waits = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when) {
      window.started += this.buffer.duration;
      window.waits.push(when - this.context.currentTime);
      return start.call(this, when);
    };
  }""")
  make(tab, "wind")
  assert tab.evaluate("window.started") == pytest.approx(1.0)
  # A stream begins at once after another, and a card that is there stays.
  tab.get_by_label("Words").fill("rain")
  tab.get_by_role("button", name="Make sounds").click()
  tab.wait_for_function("window.started > 1")
  tab.wait_for_selector("figure a[download^=rain]")
  tab.locator("figure").first.evaluate("figure => (figure.id = 'marked')")
  finished(tab, 4)
  assert tab.evaluate("window.started") == pytest.approx(2.0)
  first, second = tab.evaluate("[waits[0], waits[waits.length / 2]]")
  assert max(first, second) < 0.2
  assert tab.locator("figure").first.get_attribute("id") == "marked"
  assert tab.locator("figure.best").count() == 1
  # The playhead follows the player.
  card = tab.locator("figure").first
  card.locator("audio").evaluate("audio => audio.play()")
  tab.wait_for_function(
    "parseFloat(document.querySelector('.playhead').style.left) > 20"
  )
  picture = card.locator("img")
  assert picture.evaluate("img => img.naturalHeight") == 96
  for kind in ("WAV", "JSON"):
    with tab.expect_download() as download:
      card.get_by_role("link", name=kind).click()
    name = f"rain-seed0.{kind.lower()}"
    assert download.value.suggested_filename == name
    download.value.save_as(tmp_path / name)
  assert (tmp_path / "rain-seed0.json").read_text() == (
    card.locator("pre").text_content()
  )
  assert soundfile.info(tmp_path / "rain-seed0.wav").frames == RATE


def test_a_setting_changes_the_sound(tab):
  set_(tab, "Seconds", 0.5)
  set_(tab, "Candidates, to choose from", 2)
  make(tab, "rain", 2)
  first = facts(tab)
  set_(tab, "Seed", 7)
  tab.get_by_role("button", name="Make sounds").click()
  tab.wait_for_function(
    "document.querySelector('figure pre')?.textContent.includes('\"seed\": 7')"
  )
  finished(tab, 2)
  assert (first["seed"], first["seconds"]) == (0, 0.5)
  changed = facts(tab, 1)
  assert {k for k in first if first[k] != changed[k]} == {
    "seed", "sample", "command"
  }  # fmt: skip


def test_an_example_is_typed_for_the_visitor(tab):
  tab.get_by_role("button", name="a clock ticking").click()
  tab.wait_for_function(
    "document.querySelector('textarea, input[type=text]').value"
    " == 'a clock ticking'"
  )


def test_an_error_is_one_line(tab):
  tab.get_by_role("button", name="Make sounds").click()
  error = tab.get_by_text("prompt 1 is empty; describe a sound")
  error.wait_for()
  assert tab.locator("figure").count() == 0


def test_a_recording_is_filled_where_it_is_marked(tab, tmp_path):
  clip_S = np.random.default_rng(0).normal(0, 0.05, 2 * RATE)
  soundfile.write(tmp_path / "clip.wav", clip_S, RATE)
  set_(tab, "Candidates, to choose from", 1)
  tab.get_by_role("button", name="From a recording").click()
  tab.locator("input[type=file]").set_input_files(tmp_path / "clip.wav")
  picture = tab.locator(".picture").first
  picture.locator("img").wait_for()
  drag(tab, picture, 0.25, 0.5)
  tab.get_by_role("button", name="Fill").click()
  finished(tab, 1)
  recording = facts(tab)["recording"]
  assert (recording["verb"], recording["path"]) == ("fill", "clip.wav")
  assert recording["hole"] == pytest.approx([0.5, 1.0], abs=0.02)
  # The sound is the next recording.
  tab.get_by_role("button", name="Use as the recording").click()
  tab.get_by_text("clip-filled-seed0.wav", exact=True).first.wait_for()
  tab.get_by_role("button", name="Vary").click()
  tab.wait_for_function(
    "document.querySelectorAll('figure pre').length == 1 &&"
    " document.querySelector('figure pre')?.textContent.includes('vary')"
  )
  assert facts(tab)["recording"]["path"] == "clip-filled-seed0.wav"


def test_two_at_once_are_both_answered(visit):
  tabs = visit(), visit()
  for tab, words in zip(tabs, ("wind", "a dog barking")):
    set_(tab, "Seconds", 1)
    tab.get_by_label("Words").fill(words)
  for tab in tabs:
    tab.get_by_role("button", name="Make sounds").click()
  for tab, words in zip(tabs, ("wind", "a dog barking")):
    finished(tab, 4)
    assert facts(tab, 3)["prompt"] == words


def test_the_api_has_four_endpoints(served, tmp_path):
  gradio_client = pytest.importorskip("gradio_client")
  client = gradio_client.Client(
    served.url, verbose=False, download_files=tmp_path
  )
  endpoints = client.view_api(return_format="dict")["named_endpoints"]
  assert set(endpoints) == {"/generate", "/continue", "/fill", "/vary"}
  names = [p["parameter_name"] for p in endpoints["/generate"]["parameters"]]
  assert names == [
    "words", "seconds", "seed", "candidates", "temperature", "top_k", "guidance"
  ]  # fmt: skip
  value = client.predict(
    "rain", seconds=0.5, candidates=1, api_name="/generate"
  )
  (sound,) = value["sounds"]
  clip = pathlib.Path(sound["audio"])
  assert soundfile.info(clip).frames == RATE // 2
  value = client.predict(
    gradio_client.handle_file(clip),
    words="",
    seconds=0.5,
    candidates=1,
    api_name="/continue",
  )
  (sound,) = value["sounds"]
  facts = json.loads(sound["facts"])
  assert facts["recording"]["path"] == "rain-seed0.wav"
  assert soundfile.info(sound["audio"]).frames == RATE
