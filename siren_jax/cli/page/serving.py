"""The demo server; it sends data only to the visitor."""

import contextlib
import os
import pathlib
import re
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from siren_jax.cli.page import layout, limits
from siren_jax.cli.page.endpoints import Endpoints
from siren_jax.cli.page.gate import Gate
from siren_jax.cli.page.making import Studio
from siren_jax.common import extras
from siren_jax.common.errors import UserError

# Turns off telemetry of Gradio and its dependencies.
_QUIET = {
  "GRADIO_ANALYTICS_ENABLED": "False",
  "HF_HUB_DISABLE_TELEMETRY": "1",
}
_UPLOAD = "/gradio_api/upload"
_LINE = 200  # characters
_FETCHED = re.compile(r"(file|proxy)=\w+:", re.IGNORECASE)

Message = dict[str, Any]


@contextlib.contextmanager
def served(
  studio: Studio, gate: Gate, host: str, port: int | None
) -> Iterator[str]:
  """Serves the page within the block; yields its address.

  Args:
    gate: closed at the end.
    host: name or address to listen at.
    port: None: the first free one from 7860.

  Raises:
    UserError: that port is not free, or there is no such host.
  """
  with tempfile.TemporaryDirectory(prefix="siren-jax-demo-") as name:
    folder = pathlib.Path(name).resolve()
    # Read by Gradio when it is imported, and when a page is built.
    os.environ |= _QUIET | {"GRADIO_TEMP_DIR": str(folder)}
    extras.load("gradio")
    page = layout.build(Endpoints(studio, folder, gate))
    # Requests pass the queue: there is no other way to the endpoints.
    page.queue(max_size=limits.WAITING, api_open=False)
    try:
      yield _launch(page, host, port)
    finally:
      gate.close()
      page.close(verbose=False)


def _launch(page: Any, host: str, port: int | None) -> str:
  from starlette.middleware import Middleware

  # Gradio calls its own address, which no proxy can reach.
  for name in ("NO_PROXY", "no_proxy"):
    hosts = filter(None, (os.environ.get(name), host, "127.0.0.1", "localhost"))
    os.environ[name] = ",".join(hosts)
  if ":" in host:
    host = f"[{host.strip('[]')}]"
  try:
    _, url, _ = page.launch(
      server_name=host,
      server_port=port,
      share=False,
      inbrowser=False,
      prevent_thread_lock=True,
      quiet=True,
      show_error=False,
      theme=layout.theme(),
      footer_links=["api"],
      run_history=False,
      ssr_mode=False,
      pwa=False,
      mcp_server=False,
      max_file_size=limits.UPLOAD_BYTES,
      state_session_capacity=limits.SESSIONS,
      app_kwargs={"middleware": [Middleware(_Guarded)]},
    )
  except OSError as error:
    where = host if port is None else f"{host}, port {port}"
    raise UserError(
      f"cannot listen at {where} ({error}); give another --host or --port"
    ) from error
  return url


class _Guarded:
  """Middleware that refuses large requests and requests to fetch URLs.

  Gradio limits uploads itself, but would fetch URLs for visitors.
  """

  def __init__(self, app: Callable[..., Awaitable[None]]):
    self._app = app

  async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
    most = limits.REQUEST_BYTES
    if scope["type"] != "http":
      await self._app(scope, receive, send)
    elif _FETCHED.search(scope["path"]):
      await _refuse(send, 403, "this page fetches no URLs; upload files")
    elif scope["path"].endswith(_UPLOAD):
      await self._app(scope, receive, send)
    elif int(dict(scope["headers"]).get(b"content-length", 0)) > most:
      await _refuse(send, 413, f"more than {most} bytes; upload files")
    else:
      await self._answer(scope, _bounded(receive, most), send)

  async def _answer(self, scope: Message, receive: Any, send: Any) -> None:
    """Answers like the application; unreadable requests get one line."""
    has_begun = False

    async def begin(message: Message) -> None:
      nonlocal has_begun
      has_begun = True
      await send(message)

    try:
      await self._app(scope, receive, begin)
    except Exception as error:  # Gradio has one of its own for a wrong name.
      if has_begun:
        raise
      line = " ".join(f"{error}".split())
      await _refuse(send, 400, f"bad request ({line[:_LINE]})")


def _bounded(receive: Any, left: int) -> Callable[[], Awaitable[Message]]:
  """Aborts a request of more than `left` bytes, whatever its header says."""

  async def bounded() -> Message:
    nonlocal left
    message: Message = await receive()
    left -= len(message.get("body", b""))
    return message if left >= 0 else {"type": "http.disconnect"}

  return bounded


async def _refuse(send: Any, status: int, line: str) -> None:
  headers = [(b"content-type", b"text/plain")]
  start = {"type": "http.response.start", "status": status, "headers": headers}
  await send(start)
  await send({"type": "http.response.body", "body": line.encode()})


def wait() -> None:
  """Waits until a signal ends the command."""
  threading.Event().wait()
