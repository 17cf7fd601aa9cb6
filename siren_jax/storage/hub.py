"""Models on the Hugging Face Hub: names such as hub:OWNER/NAME@REVISION."""

import fnmatch
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from siren_jax.common.errors import UserError

PREFIX = "hub:"
# Of a bundle.
FILES = (
  "config.json",
  "*.safetensors",
  "tokenizer.json",
  "kinds.json",
  "README.md",
)

_NAME = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class Name(NamedTuple):
  """A model on the hub.

  Attributes:
    repo: OWNER/NAME.
    revision: branch, tag or commit; None: the main branch.
  """

  repo: str
  revision: str | None


def parse(name: str) -> Name:
  """The parts of hub:OWNER/NAME or hub:OWNER/NAME@REVISION.

  Raises:
    UserError: it is neither.
  """
  match = _NAME.fullmatch(name)
  if not match:
    raise UserError(
      f"{name}: expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION"
    )
  return Name(match[1], match[2])


def fetch(name: str, patterns: Sequence[str] = FILES) -> Path:
  """The folder of a model on the hub, in the cache of huggingface_hub.

  If the hub cannot be reached, a cached copy is used.

  Args:
    patterns: of the files to fetch.

  Raises:
    UserError: the name is not valid, or the model does not exist, is not
      accessible to this user, or cannot be fetched.
  """
  repo, revision = parse(name)
  import huggingface_hub  # slow to import
  from huggingface_hub import errors

  try:
    return Path(
      huggingface_hub.snapshot_download(
        repo, revision=revision, allow_patterns=list(patterns)
      )
    )
  except errors.GatedRepoError as error:
    raise UserError(
      f"{name}: is gated; request access on its page, then run hf auth login"
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise UserError(
      f"{name}: there is no such model, or it is private; check the name, or"
      " run hf auth login"
    ) from error
  except errors.RevisionNotFoundError as error:
    raise UserError(
      f"{name}: the model has no revision {revision!r}; see the model's page"
    ) from error
  except errors.LocalEntryNotFoundError as error:
    raise UserError(
      f"{name}: the hub cannot be reached, and the model is not in the local"
      " cache; check the network"
    ) from error
  # httpx or requests, by version; a failed download is a RuntimeError.
  except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:
    raise UserError(
      f"{name}: cannot be fetched ({_reason(error)}); try again"
    ) from error


def check_push(name: str) -> None:
  """Checks what can be checked of a `push` without the network.

  Raises:
    UserError: the name is not valid, or the user is not logged in.
  """
  parse(name)
  import huggingface_hub  # slow to import

  if huggingface_hub.get_token() is None:
    raise UserError(f"{name}: you are not logged in; run hf auth login")


def push(folder: Path, name: str) -> str:
  """Uploads a bundle in one commit; creates the repository if necessary.

  Files of an earlier bundle that this one lacks are deleted, others are kept.

  Args:
    folder: of the bundle.
    name: hub:OWNER/NAME, or hub:OWNER/NAME@BRANCH; the branch is created if
      necessary.

  Returns:
    The URL of the commit.

  Raises:
    UserError: see `check_push`; or the user has no write access, the hub cannot
      be reached, or it rejects the files. The message has a command to upload
      them later.
  """
  check_push(name)
  from huggingface_hub import errors

  later = f"the bundle is written, upload it with {_command(folder, name)}"
  try:
    return _commit(folder, parse(name))
  except KeyboardInterrupt as stop:
    stop.add_note(later)
    raise
  # httpx or requests, by version; a failed upload is a RuntimeError.
  except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:
    raise UserError(f"{name}: {_refusal(error)}; {later}") from error


def _commit(folder: Path, name: Name) -> str:
  import huggingface_hub

  api, revision = huggingface_hub.HfApi(), name.revision
  api.create_repo(name.repo, exist_ok=True)
  if revision:
    api.create_branch(name.repo, branch=revision, exist_ok=True)
  new = {path.name: path for path in sorted(folder.iterdir()) if _is_ours(path)}
  old = api.list_repo_files(name.repo, revision=revision)
  commit = api.create_commit(
    name.repo,
    [
      *(huggingface_hub.CommitOperationAdd(n, path) for n, path in new.items()),
      *(
        huggingface_hub.CommitOperationDelete(n)
        for n in old
        if n not in new and "/" not in n and _is_ours(Path(n))
      ),
    ],
    commit_message="A bundle of siren-jax",
    revision=revision,
  )
  return commit.commit_url


def _is_ours(path: Path) -> bool:
  return any(fnmatch.fnmatch(path.name, pattern) for pattern in FILES)


def _refusal(error: Exception) -> str:
  """Why an upload failed, and what to do before the next one."""
  response = getattr(error, "response", None)
  if response is None and not isinstance(error, ValueError):
    return f"the hub cannot be reached ({_reason(error)}); check the network"
  status = getattr(response, "status_code", None)
  if status == _UNAUTHORIZED:
    return "the hub does not accept your token; run hf auth login"
  if status == _FORBIDDEN:
    return (
      "you have no write access there; use another owner, or a token with"
      " write access (hf auth login)"
    )
  return f"the hub rejected the upload ({_reason(error)}); fix that first"


def _command(folder: Path, name: str) -> str:
  repo, revision = parse(name)
  branch = f" --revision {revision}" if revision else ""
  return f"hf upload {repo} {shlex.quote(str(folder))}{branch}"


def _reason(error: Exception) -> str:
  return " ".join(str(error).split())[:200]
