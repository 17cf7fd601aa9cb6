"""Text to ids: a byte-pair encoding trained with `tokenizers`."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import (
  Tokenizer,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
  trainers,
)

from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError

PAD, CLS, UNK = "[pad]", "[cls]", "[unk]"
_log = logging.getLogger(__name__)


def train(
  texts: Iterable[str], vocab_size: int, words: Sequence[str] = ()
) -> Tokenizer:
  """Trains a lower-casing, accent-stripping BPE.

  Args:
    texts: to count pairs in.
    vocab_size: total entries, including special tokens.
    words: whole words that get one entry each, even if no merge leads to them;
      the first ones take precedence. They use at most seven eighths of the
      vocabulary, or what the letters of the texts leave.

  Returns:
    A tokenizer whose id 0 is padding and which puts `[cls]` first.
  """
  words = list(dict.fromkeys(words))[: vocab_size * 7 // 8]
  pieces = _blank(models.BPE(unk_token=UNK))
  pieces.train_from_iterator(
    texts,
    trainers.BpeTrainer(
      vocab_size=vocab_size - len(words),
      special_tokens=[PAD, CLS, UNK],
      show_progress=False,
    ),
  )
  model = json.loads(pieces.to_str())["model"]
  vocab = model["vocab"]
  for word in words:  # Letters alone may need more than was left for pairs.
    if len(vocab) < vocab_size:
      vocab.setdefault(word, len(vocab))
  merges = [tuple(pair) for pair in model["merges"]]
  tokenizer = _blank(
    models.BPE(vocab, merges, unk_token=UNK, ignore_merges=True)
  )
  tokenizer.add_special_tokens([PAD, CLS, UNK])
  tokenizer.post_processor = processors.TemplateProcessing(
    single=f"{CLS} $A", special_tokens=[(CLS, tokenizer.token_to_id(CLS))]
  )
  return tokenizer


def _blank(model: models.Model) -> Tokenizer:
  tokenizer = Tokenizer(model)
  tokenizer.normalizer = normalizers.Sequence(
    [
      normalizers.NFKC(),
      normalizers.Lowercase(),
      normalizers.NFD(),
      normalizers.StripAccents(),
    ]
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.BertPreTokenizer(),
      pre_tokenizers.Digits(individual_digits=True),
    ]
  )
  tokenizer.decoder = decoders.Fuse()
  return tokenizer


def load(path: str | Path, vocab_size: int | None = None) -> Tokenizer:
  """Reads a `tokenizer.json`.

  Args:
    path: of the file.
    vocab_size: of the text tower that reads its ids; None: unknown.

  Raises:
    UserError: the file is missing, is not a tokenizer, or has ids that are
      not below `vocab_size`.
  """
  path = paths.local(path)
  if not path.is_file():
    raise UserError(
      f"no tokenizer at {path}: download the folder again, or save the model's"
      " tokenizer there"
    )
  try:
    tokenizer = Tokenizer.from_file(str(path))
  except Exception as error:  # tokenizers raises bare Exception
    raise UserError(
      f"{path} is not a tokenizer ({sniff.describe(path) or error}); get it"
      " again"
    ) from error
  return checked(tokenizer, vocab_size, path)


def checked(
  tokenizer: Tokenizer, vocab_size: int | None, source: Path
) -> Tokenizer:
  """The tokenizer without padding or truncation, its ids checked.

  Args:
    tokenizer: modified in place.
    vocab_size: see `load`.
    source: for the message.

  Raises:
    UserError: it has ids that are not below `vocab_size`.
  """
  # Published tokenizers may contain the settings of their last call.
  tokenizer.no_padding()
  tokenizer.no_truncation()
  highest = max(tokenizer.get_vocab().values(), default=-1)
  if vocab_size is not None and not 0 <= highest < vocab_size:
    raise UserError(
      f"{source}: ids up to {highest}, but the text tower has a vocab_size of"
      f" {vocab_size}; get both from the same export"
    )
  return tokenizer


def tokenize(
  tokenizer: Tokenizer,
  texts: Sequence[str],
  max_tokens: int,
  log_cuts: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
  """Ids `[B, P]` int32 and mask `[B, P]` bool, P = `max_tokens`.

  Longer texts are truncated but keep their end token.

  Args:
    log_cuts: warn of each truncated text, once.

  Raises:
    UserError: a text is empty or blank, or is not valid Unicode.
  """
  ids_BxP = np.zeros((len(texts), max_tokens), np.int32)
  mask_BxP = np.zeros((len(texts), max_tokens), bool)
  if not all(text.strip() for text in texts):
    raise UserError("the prompt is empty; describe a sound")
  for text in texts:
    if any("\ud800" <= c <= "\udfff" for c in text):
      raise UserError(
        f"prompt {ascii(text)}: not valid Unicode text; write it in UTF-8"
      )
  for row, encoding in enumerate(tokenizer.encode_batch(list(texts))):
    ids = encoding.ids
    if len(ids) > max_tokens:
      if log_cuts and texts[row] not in texts[:row]:
        _log.warning(
          "prompt %r has %d tokens; the last %d are left out",
          texts[row],
          len(ids),
          len(ids) - max_tokens,
        )
      last = ids[-1:] if encoding.special_tokens_mask[-1] else []
      ids = ids[: max_tokens - len(last)] + last
    ids_BxP[row, : len(ids)] = ids
    mask_BxP[row, : len(ids)] = True
  return ids_BxP, mask_BxP
