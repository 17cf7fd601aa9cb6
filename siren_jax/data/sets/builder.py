"""Data sets on disk: TFDS folders of array_record, without TensorFlow.

Any TFDS reader opens them: `tfds.builder_from_directory(out)`.
"""

import contextlib
import glob
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.data.sets.store import INFO, RECORDS, Fingerprint, previous
from siren_jax.storage.lock import exclusive

Examples = Iterable[tuple[str, Mapping[str, Any]]]


def audio_features() -> tfds.features.FeaturesDict:
  """Features of an audio set: the fields of `records.Record`."""
  return tfds.features.FeaturesDict(
    {
      "id": tfds.features.Text(),
      "audio": _tensor((None,), np.int16),
      "sample_rate": tfds.features.Scalar(np.int32),
      "captions": tfds.features.Sequence(tfds.features.Text()),
      "label": tfds.features.Text(),
      "source": tfds.features.Text(),
    }
  )


def code_features(
  views: int, codebooks: int, frames: int, tokens: int, width: int
) -> tfds.features.FeaturesDict:
  """Features of a code set: codes [views, N, T], prompts [captions, P, C]."""
  return tfds.features.FeaturesDict(
    {
      "id": tfds.features.Text(),
      "codes": _tensor((views, codebooks, frames), np.uint16),
      "num_frames": _tensor((views,), np.int32),
      "captions": tfds.features.Sequence(tfds.features.Text()),
      "prompt": _tensor((None, tokens, width), np.float16),
      "prompt_mask": _tensor((None, tokens), np.bool_),
      "label": tfds.features.Text(),
    }
  )


def _tensor(shape: tuple[int | None, ...], dtype) -> tfds.features.Tensor:
  """Stored as bytes: as numbers of a protocol buffer it reads 10x slower."""
  return tfds.features.Tensor(
    shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES
  )


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A TFDS builder whose splits are iterables made elsewhere."""

  name = "siren"
  VERSION = tfds.core.Version("1.0.0")
  # TFDS 4.9.10 needs importlib_resources to find it, and does not ask for it.
  code_path = None

  def __init__(self, features, splits: Mapping[str, Examples], **kwargs):
    self._features, self._splits = features, splits
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(builder=self, features=self._features)

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    return {
      name: self._generate_examples(examples)
      for name, examples in self._splits.items()
    }

  def _generate_examples(self, examples: Examples):
    yield from examples


@contextlib.contextmanager
def claim(out: str | os.PathLike, overwrite: bool = False) -> Iterator[None]:
  """Keeps others from writing a data set to `out` within the block.

  A set that a killed process left aside is put back, and what it had written
  of a new one is removed.

  Raises:
    UserError: another process writes there, `out` is something other than a
      data set, or it is one and `overwrite` is not set.
  """
  place = paths.local(out).resolve()
  check_target(place)
  with exclusive(place.with_name(f".{place.name}.lock"), str(out)):
    _clean(place)
    if not overwrite and (place / INFO).exists():
      raise UserError(
        f"{out} is a data set already; replace it with --overwrite"
        " (overwrite=True in Python) or choose another folder"
      )
    yield


def write(
  out: str | os.PathLike,
  features: tfds.features.FeaturesDict,
  splits: Mapping[str, Examples],
  finish: Callable[[Path], None] | None = None,
) -> None:
  """Writes a data set with its fingerprint to folder `out`: all or nothing.

  An older data set at `out` is replaced once the new one is complete.

  Args:
    features, splits: of the set.
    finish: writes what else belongs into the folder.

  Raises:
    UserError: `out` is something other than a data set, or not writable.
  """
  out = paths.local(out).resolve()
  check_target(out)
  records = {name: Fingerprint() for name in splits}
  counted = {
    name: _counted(examples, records[name]) for name, examples in splits.items()
  }
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      prefix=_scratch(out), dir=out.parent
    ) as scratch:
      folder = _build(scratch, features, counted)
      values = {name: record.value() for name, record in records.items()}
      (folder / RECORDS).write_text(json.dumps(values, indent=2) + "\n")
      if finish:
        finish(folder)
      _replace(folder, out)
  except OSError as error:
    raise UserError(
      f"{out}: cannot write ({error.strerror or error}); free space or choose"
      " another folder"
    ) from error


def check_target(out: str | os.PathLike) -> None:
  """Refuses to write over anything but a data set (or nothing)."""
  out = paths.local(out)
  if not out.exists() or (out / INFO).exists():
    return
  if not out.is_dir() or any(out.iterdir()):
    raise UserError(
      f"{out}: exists and is not a data set; choose another folder"
    )


def _counted(examples: Examples, record: Fingerprint) -> Examples:
  for key, example in examples:
    record.add(example)
    yield key, example


def _build(scratch: str, features, splits: Mapping[str, Examples]) -> Path:
  tfds.disable_progress_bar()  # the caller shows one, over all splits
  builder = _Builder(
    features, splits, data_dir=scratch, file_format="array_record"
  )
  with contextlib.redirect_stdout(io.StringIO()):  # download messages
    builder.download_and_prepare()
  return Path(builder.data_dir)


def _scratch(out: Path) -> str:
  return f".{out.name}.partial-"


def _replace(new: Path, out: Path) -> None:
  """At any moment the old set or the new one is whole, at `out` or beside."""
  kept = previous(out)
  if out.exists():
    shutil.rmtree(kept, ignore_errors=True)
    os.replace(out, kept)
  try:
    os.replace(new, out)
  except BaseException:
    if kept.exists():
      os.replace(kept, out)
    raise
  shutil.rmtree(kept, ignore_errors=True)


def _clean(out: Path) -> None:
  """Puts right what a killed process left; nobody else is writing."""
  kept = previous(out)
  if (out / INFO).exists():
    shutil.rmtree(kept, ignore_errors=True)
  elif kept.exists():
    os.replace(kept, out)
  for scratch in out.parent.glob(f"{glob.escape(_scratch(out))}*"):
    shutil.rmtree(scratch, ignore_errors=True)
