"""Seconds from opening the page of `siren-jax demo` to its first sound.

python -m benchmarks.demo
python -m benchmarks.demo --picture docs/demo.png

Serves the page, opens it in headless Chromium, types words and listens; then
for two visitors at once. The first run compiles, and may keep the page waiting:
run it twice. The picture is of the page when its sounds are made.
"""

import argparse
import contextlib
import io
import shutil
import signal
import subprocess
import sys
import time

from PIL import Image
from playwright import sync_api

FLAGS = (
  "--no-sandbox --disable-gpu --disable-quic --no-first-run"
  " --disable-background-networking --disable-component-update --disable-sync"
)
WORDS = "a dog barking", "rain"
WAIT = 300_000  # ms
# Remembers when sound is first handed to the loudspeaker.
LISTEN = """
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...when) {
  window.firstSound ||= performance.timeOrigin + performance.now();
  return start.apply(this, when);
};
"""
MADE = """
document.querySelectorAll('figure.best').length == 1
&& [...document.images].every(image => image.complete)
"""


@contextlib.contextmanager
def served(model):
  """The address of a page that another process serves."""
  flags = ["--model", model] if model else []
  process = subprocess.Popen(
    [sys.executable, "-m", "siren_jax", "demo", *flags],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield process.stdout.readline().split()[0]
  finally:
    process.send_signal(signal.SIGTERM)
    process.wait()


def visit(browser, url):
  """A tab of one more visitor, and when it was opened."""
  context = browser.new_context(
    viewport={"width": 1100, "height": 680}, device_scale_factor=1
  )
  tab = context.new_page()
  tab.set_default_timeout(WAIT)
  tab.add_init_script(LISTEN)
  begin = time.time()
  tab.goto(url)
  tab.get_by_label("Words").wait_for()
  return tab, begin


def submit(tab, words):
  """Types words and asks for sounds."""
  tab.get_by_label("Words").fill(words)
  tab.get_by_role("button", name="Make sounds").click()


def first_sound(tab):
  """When the first sound was played."""
  tab.wait_for_function("window.firstSound")
  return tab.evaluate("window.firstSound") / 1000


def all_sounds(tab):
  """When all sounds were there."""
  tab.wait_for_function(MADE)
  return time.time()


def save(screenshot, path):
  """Writes a PNG of 128 colours, which takes a third of the bytes."""
  picture = Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(128)
  picture.save(path, optimize=True)


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", help="bundle (default: the built-in one)")
  parser.add_argument("--picture", help="a PNG file to write")
  args = parser.parse_args()
  start = time.time()
  with served(args.model) as url, sync_api.sync_playwright() as playwright:
    print(f"the page is served after {time.time() - start:.1f} s")
    browser = playwright.chromium.launch(
      executable_path=shutil.which("chromium"), args=FLAGS.split()
    )
    tab, begin = visit(browser, url)
    print(f"it is open after {time.time() - begin:.1f} s")
    submit(tab, WORDS[0])
    print(
      f"from opening it to the first sound: {first_sound(tab) - begin:.1f} s"
    )
    print(f"to four sounds of 5 s: {all_sounds(tab) - begin:.1f} s")
    if args.picture:
      save(tab.screenshot(), args.picture)
    tabs = [visit(browser, url) for _ in WORDS]
    for (tab, _), words in zip(tabs, WORDS):
      submit(tab, words)
    for (tab, begin), words in zip(tabs, WORDS):
      print(
        f"two at once, {words}: first sound {first_sound(tab) - begin:.1f} s,"
        f" all {all_sounds(tab) - begin:.1f} s"
      )
    browser.close()


if __name__ == "__main__":
  main()
