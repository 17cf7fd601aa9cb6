"""Page layout: Gradio components and the endpoint each one calls."""

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from siren_jax.cli.page import limits
from siren_jax.cli.page.endpoints import Endpoints, Value
from siren_jax.cli.page.gate import Gate
from siren_jax.cli.sounds import flags, recordings
from siren_jax.common import extras
from siren_jax.common.errors import UserError

_EXAMPLES = (
  "a dog barking",
  "rain on a tin roof",
  "sea waves",
  "a crackling fire",
  "a clock ticking",
  "a helicopter",
)
_HERE = pathlib.Path(__file__).parent
_FONT = ("ui-sans-serif", "system-ui", "sans-serif")  # no web fonts
_MONO = ("ui-monospace", "monospace")


def build(endpoints: Endpoints) -> Any:
  """The page, a `gradio.Blocks`."""
  gr = extras.load("gradio")
  siren = endpoints.studio.siren
  with _blocks(gr, endpoints.folder) as page:
    gr.Markdown(f"# Siren\nWords in, sound out: the model {siren.bundle.name}.")
    with gr.Row():
      with gr.Column(scale=2):
        words = gr.Textbox(
          label="Words",
          placeholder="a dog barking",
          max_length=limits.LETTERS,
          autofocus=True,
        )
        make = gr.Button("Make sounds", variant="primary")
        gr.Examples(
          [[example] for example in _examples(siren)],
          [words],
          label="For example",
          api_visibility="private",
        )
        source = _Source(gr, endpoints)
        settings = _settings(gr, siren)
      with gr.Column(scale=3):
        sounds = _player(gr, action="Use as the recording")
    events = _Events(gr, endpoints.gate, sounds)
    inputs = [words, *settings]
    triggers = [make.click, words.submit]
    events.add(triggers, endpoints.generate, inputs, "generate")
    source.connect(gr, events, sounds, endpoints, inputs)
  return page


def theme() -> Any:
  """Colours, and fonts of the visitor's system."""
  return extras.load("gradio").themes.Base(font=_FONT, font_mono=_MONO)


class _Source:
  """The source recording and its controls; a prompt is optional."""

  def __init__(self, gr: Any, endpoints: Endpoints):
    longest = limits.RECORDING_SECONDS
    with gr.Accordion("From a recording", open=False):
      self.recording = gr.Audio(
        label=f"Recording, at most {longest:g} s",
        type="filepath",
        sources=["upload", "microphone"],
        editable=False,
      )
      self.view = _player(gr, selects=True)
      with gr.Row():
        self.continue_ = gr.Button("Continue")
      with gr.Row(equal_height=True):
        self.start = gr.Number(1.0, label="Start, s", min_width=80)
        self.end = gr.Number(2.0, label="End, s", min_width=80)
        self.fill = gr.Button("Fill", min_width=80)
      with gr.Row(equal_height=True):
        self.keep = gr.Slider(
          0,
          endpoints.num_codebooks - 1,
          min(recordings.KEEP, endpoints.num_codebooks - 1),
          step=1,
          label="Codebooks to keep",
        )
        self.vary = gr.Button("Vary", min_width=80)

  def connect(
    self,
    gr: Any,
    events: "_Events",
    sounds: Any,
    endpoints: Endpoints,
    inputs: list[Any],
  ) -> None:
    """Connects the buttons to endpoints."""
    here = self.recording
    hole = [here, self.start, self.end, *inputs]
    events.add(
      [self.continue_.click], endpoints.continue_, [here, *inputs], "continue"
    )
    events.add([self.fill.click], endpoints.fill, hole, "fill")
    events.add(
      [self.vary.click], endpoints.vary, [here, self.keep, *inputs], "vary"
    )
    here.change(
      _in_one_line(gr, endpoints.gate, endpoints.preview),
      here,
      self.view,
      preprocess=False,
      api_visibility="private",
      show_progress="hidden",
    )
    used = "(value) => value.used"
    sounds.click(None, sounds, here, js=used)
    part = "(value) => value.part"
    self.view.select(None, self.view, [self.start, self.end], js=part)


class _Events:
  """Adds endpoints that make sounds; a few run at once, others wait."""

  def __init__(self, gr: Any, gate: Gate, sounds: Any):
    self._gr, self._gate, self._sounds = gr, gate, sounds

  def add(
    self,
    triggers: list[Any],
    endpoint: Callable[..., Iterator[Value]],
    inputs: list[Any],
    name: str,
  ) -> None:
    """Calls an endpoint, by its name in the API, when any trigger fires."""
    self._gr.on(
      triggers,
      _in_one_line(self._gr, self._gate, endpoint),
      inputs,
      self._sounds,
      api_name=name,
      preprocess=False,  # `limits` reports errors in one line
      concurrency_limit=limits.AT_ONCE,
      concurrency_id="sounds",
      show_progress="minimal",
    )


def _settings(gr: Any, siren: Any) -> list[Any]:
  """Settings, in the order of `limits.check_request`."""
  method = siren.bundle.sampling
  with gr.Accordion("Settings", open=False):
    default = flags.DEFAULTS
    return [
      gr.Slider(
        0.5, limits.SECONDS, default["seconds"], step=0.5, label="Seconds"
      ),
      gr.Number(default["seed"], precision=0, label="Seed"),
      gr.Slider(
        1, limits.SOUNDS, 4, step=1, label="Candidates, to choose from"
      ),
      gr.Slider(0.1, 2, method.temperature, step=0.05, label="Temperature"),
      gr.Number(method.top_k or 0, precision=0, label="Top-k; 0: all codes"),
      gr.Number(method.guidance or 0, label="Guidance; 0: none"),
    ]


def _player(gr: Any, action: str = "", selects: bool = False) -> Any:
  """Cards of sounds, see player.js."""
  player = gr.HTML(
    {"status": "", "rate": 1, "stream": 0, "chunks": [], "sounds": []},
    html_template='<div class="status"></div><div class="sounds"></div>',
    css_template=(_HERE / "player.css").read_text("utf-8"),
    js_on_load=(_HERE / "player.js").read_text("utf-8"),
    action=action,
    selects=selects,
  )
  # No subclasses: Gradio would write a .pyi file for each next to this one.
  player.api_info = lambda: {
    "type": "object",
    "description": "status, rate, stream, chunks, sounds: see docs/demo.md",
  }
  return player


def _blocks(gr: Any, folder: pathlib.Path) -> Any:
  """A `gradio.Blocks` that refuses bad input in one line."""
  page = gr.Blocks(
    title="Siren",
    analytics_enabled=False,
    delete_cache=(limits.KEPT_SECONDS // 6, limits.KEPT_SECONDS),
  )
  preprocess = page.preprocess_data

  async def checked(fn: Any, inputs: list[Any], *rest: Any, **more: Any) -> Any:
    try:
      # Gradio would fetch URLs before the endpoint sees them.
      limits.check_files(inputs, folder)
      return await preprocess(fn, inputs, *rest, **more)
    except gr.Error:
      raise
    except Exception as error:
      raise _error(gr, error) from error

  page.preprocess_data = checked
  return page


def _in_one_line(
  gr: Any, gate: Gate, endpoint: Callable[..., Any]
) -> Callable[..., Any]:
  """An endpoint whose `UserError` is shown to the visitor."""

  @functools.wraps(endpoint)
  def values(*args: Any) -> Iterator[Value]:
    try:
      with gate.inside():
        result = endpoint(*args)
      yield from gate.steps([result] if isinstance(result, dict) else result)
    except UserError as error:
      raise _error(gr, error) from error

  return values


def _error(gr: Any, error: Exception) -> Exception:
  """One line for the visitor, and nothing in the server's log."""
  (line,) = str(error).splitlines()[:1] or [type(error).__name__]
  return gr.Error(line, print_exception=False, duration=None)


def _examples(siren: Any) -> list[str]:
  """Prompts of kinds that the model knows, one from each group."""
  repertoire = siren.bundle.repertoire
  if repertoire is None:
    return list(_EXAMPLES)
  return [kinds[0].example for kinds in repertoire.groups.values()][:8]
