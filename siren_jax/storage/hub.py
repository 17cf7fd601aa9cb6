"""Models on the Hugging Face Hub: names such as hub:OWNER/NAME@REVISION."""

import re
from pathlib import Path

from siren_jax.common.errors import UserError

PREFIX = "hub:"
FILES = ("config.json", "*.safetensors", "tokenizer.json", "kinds.json")

_NAME = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def fetch(name: str) -> Path:
  """The folder of a model on the hub, in the cache of huggingface_hub.

  Where the hub is not reached, what was fetched before is taken.

  Raises:
    UserError: the name is none of the hub's, or the model is not there, not
      open to this user, or cannot be fetched.
  """
  match = _NAME.fullmatch(name)
  if not match:
    raise UserError(
      f"{name}: expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION"
    )
  import huggingface_hub  # slow to import
  from huggingface_hub import errors

  try:
    return Path(
      huggingface_hub.snapshot_download(
        match[1], revision=match[2], allow_patterns=list(FILES)
      )
    )
  except errors.GatedRepoError as error:
    raise UserError(
      f"{name}: its owner lets in whom they know; ask on its page, then run"
      " hf auth login"
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise UserError(
      f"{name}: there is no such model, or it is private; check the name, or"
      " run hf auth login"
    ) from error
  except errors.RevisionNotFoundError as error:
    raise UserError(
      f"{name}: the model has no revision {match[2]!r}; check it on its page"
    ) from error
  except errors.LocalEntryNotFoundError as error:
    raise UserError(
      f"{name}: the hub is not reached, and the model was not fetched before;"
      " check the network"
    ) from error
  except (OSError, ValueError) as error:
    reason = " ".join(str(error).split())[:200]
    raise UserError(
      f"{name}: cannot be fetched ({reason}); try again"
    ) from error
