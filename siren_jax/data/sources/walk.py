"""The search for sounds in folders: what it includes and what it skips."""

import collections
import dataclasses
import os
import stat
from collections.abc import Collection
from pathlib import Path

from siren_jax.common import paths, text

# Sound and video that libsndfile cannot read, or only with further parameters.
_FOREIGN = frozenset(
  ".3g2 .3gp .aa .aac .aax .ac3 .adts .alac .amr .ape .asf .avi .awb .dff .dsf"
  " .dts .eac3 .flv .m4a .m4b .m4r .m4v .mka .mkv .mov .mp4 .mpc .mpeg .mpg"
  " .oma .ogv .qcp .qt .ra .rm .shn .spx .tta .weba .webm .wma .wmv"
  " .wv .adpcm .alaw .gsm .htk .pcm .raw .ulaw .vox".split()
)
_FOREIGN_REMEDY = "unsupported format; convert them, for example with ffmpeg"
_HIDDEN_REMEDY = "rename those that should be included"
# Folders that systems leave behind, but for the hidden ones; in lower case.
_LEFT_BEHIND = frozenset(
  (
    "__macosx",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "@eadir",
    "@recycle",
    "#recycle",
    "#snapshot",
  )
)


@dataclasses.dataclass(frozen=True)
class Walk:
  """Result of a walk.

  Attributes:
    paths: sound files below the root, in a fixed order, each once.
    skipped: what was left out and why, a line each.
  """

  paths: tuple[Path, ...]
  skipped: tuple[str, ...]


def sound_files(
  root: str | os.PathLike,
  suffixes: Collection[str],
  apart: str | os.PathLike | None = None,
) -> Walk:
  """All files below `root` with one of `suffixes` (lower case, with the dot).

  Links are followed once, after all regular files: a file or folder that can be
  reached in several ways is taken at its own path, or else at the first link to
  it. Hidden and system files are skipped, and so is folder `apart`.
  """
  return _Walker(paths.local(root), frozenset(suffixes), apart).walk()


class _Walker:
  """Walks with real paths, to recognise what was already visited."""

  def __init__(
    self,
    root: Path,
    suffixes: frozenset[str],
    apart: str | os.PathLike | None,
  ):
    self._root, self._real_root = root, Path(os.path.realpath(root))
    self._suffixes = suffixes
    self._apart = Path(os.path.realpath(apart)) if apart else None
    self._paths: list[Path] = []
    self._skipped: list[str] = []
    self._known: set[Path] = set()
    self._links: list[Path] = []
    # By kind and reason.
    self._left_out: dict[tuple[str, str], list[Path]] = collections.defaultdict(
      list
    )

  def walk(self) -> Walk:
    self._enter(self._root, self._real_root)
    while self._links:
      links, self._links = sorted(self._links), []
      for link in links:
        self._follow(link)
    counted = [
      f"{len(paths)} {what}{'s' if len(paths) > 1 else ''} left out, such as"
      f" {text.printable(min(paths))}: {why}"
      for (what, why), paths in sorted(self._left_out.items())
    ]
    return Walk(tuple(sorted(self._paths)), (*self._skipped, *counted))

  def _enter(self, folder: Path, real: Path) -> None:
    """Takes what is below a folder; links are queued."""
    todo = [(folder, real)]
    while todo:
      folder, real = todo.pop()
      self._known.add(real)
      try:
        with os.scandir(folder) as scan:
          entries = sorted(scan, key=lambda entry: entry.name)
      except OSError as error:
        self._skip(folder, f"cannot be read ({error.strerror})")
        continue
      for entry in entries:
        path, place = folder / entry.name, real / entry.name
        if entry.name.startswith("."):
          self._leave_hidden(path)
        elif entry.name.lower() in _LEFT_BEHIND:
          continue
        elif entry.is_symlink():
          self._links.append(path)
        elif not entry.is_dir(follow_symlinks=False):
          self._take(path, place, entry.is_file(follow_symlinks=False))
        elif not (place in self._known or place == self._apart):
          if self._has_text_name(path):
            todo.append((path, place))

  def _follow(self, link: Path) -> None:
    """Takes what a link leads to, unless it is known."""
    real = Path(os.path.realpath(link))
    try:
      mode = os.stat(link).st_mode
    except OSError as error:
      self._skip(link, f"a broken link ({error.strerror})")
      return
    if not stat.S_ISDIR(mode):
      if not self._is_apart(real):
        self._take(link, real, stat.S_ISREG(mode), is_link=True)
    elif self._real_root.is_relative_to(real):
      self._skip(link, "a link to a parent folder, not followed")
    elif real in self._known:
      self._skip(
        link, f"a link to {text.printable(real)}, which is already included"
      )
    elif not self._is_apart(real) and self._has_text_name(link):
      self._enter(link, real)

  def _take(
    self, path: Path, real: Path, is_regular: bool, is_link: bool = False
  ) -> None:
    """Takes a file, if it is a sound and is not known yet."""
    suffix = path.suffix.lower()
    if suffix not in self._suffixes:
      if suffix in _FOREIGN:
        self._left_out[f"{suffix} file", _FOREIGN_REMEDY].append(path)
    elif real in self._known:
      if is_link:
        self._skip(
          path, f"a link to {text.printable(real)}, which is already included"
        )
    elif not is_regular:
      self._skip(path, "not a regular file")
    elif self._has_text_name(path):
      self._known.add(real)
      self._paths.append(path)

  def _leave_hidden(self, path: Path) -> None:
    """Counts a hidden sound; what macOS puts beside one is none."""
    if path.suffix.lower() in self._suffixes and path.name[:2] != "._":
      self._left_out["hidden sound file", _HIDDEN_REMEDY].append(path)

  def _is_apart(self, real: Path) -> bool:
    return self._apart is not None and real.is_relative_to(self._apart)

  def _has_text_name(self, path: Path) -> bool:
    """Data sets have no place for other names."""
    if text.is_text(path.name):
      return True
    self._skip(path, "its name is not UTF-8 text; rename it")
    return False

  def _skip(self, path: Path, why: str) -> None:
    self._skipped.append(f"{text.printable(path)}: {why}")
