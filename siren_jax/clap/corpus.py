"""Text for the text tower: captions, sound words in sentences, general English.

No audio is needed for it. Captions teach what our recordings are called; the
rest, embedded by the teacher, teaches where every other word lies (our design).
"""

import importlib.resources
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_SOUND = (
  "{q} {n}", "{n} {v}ing", "a {n} {v}ing", "the {n} {v}s", "{v}ing {n}",
  "a {q} {n} {v}ing", "{n} {v}ing in the {p}", "the sound of a {n} {v}ing",
  "{n} {v}ing and {v2}ing", "{n} and {n2}", "a {n} {v}s while a {n2} {v2}s",
  "{q} {v}ing of a {n}", "{n} {v}ed near the {p}", "{q} {q2} {n}", "{n} {p}",
  "someone {v}ing a {n}", "{n} with a {n2}", "{v}ing", "{n} {w}", "{w} {v}ing",
)  # fmt: skip
_GENERAL = (
  "{w}", "the sound of a {w}", "{w} {w2}", "{w} {w2} {w3}", "a {w} and a {w2}",
  "a {w} in the {p}", "a {q} {w}", "the {w} of the {w2}", "a {n} and {w}",
)  # fmt: skip


def sound_words() -> dict[str, list[list[str]]]:
  """Words about sound by kind: sources, actions, qualities, places."""
  file = importlib.resources.files("siren_jax.clap") / "sound_words.json"
  groups = json.loads(file.read_text())
  return {kind: [line.split() for line in g] for kind, g in groups.items()}


def inflect(verb: str, ending: str) -> str:
  """A regular English form of `verb`; `ending` is "s", "ed" or "ing"."""
  if ending == "s":
    if re.search(r"(s|x|z|ch|sh)$", verb):
      return verb + "es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", verb) + "s"
  if verb.endswith("e") and not verb.endswith("ee"):
    return verb[:-1] + ending
  if ending == "ed":
    verb = re.sub(r"(?<=[^aeiou])y$", "i", verb)
  if re.fullmatch(r"[^aeiou]+[aeiou][bdgklmnprtz]", verb):
    verb += verb[-1]
  return verb + ending


def vocabulary(phrases: Sequence[str], general: Sequence[str]) -> list[str]:
  """Whole words by importance: captions', sound words and forms, general."""
  sound = sound_words()
  flat = [w for g in sound.values() for line in g for w in line]
  verbs = [w for line in sound["actions"] for w in line]
  forms = [inflect(v, e) for v in verbs for e in ("ing", "s", "ed")]
  plurals = [inflect(n, "s") for line in sound["sources"] for n in line]
  caption = re.findall(r"[a-z]+", " ".join(phrases).lower())
  return list(dict.fromkeys([*caption, *flat, *forms, *plurals, *general]))


def sentences(general: Sequence[str], seed: int) -> Iterator[str]:
  """Endless short texts; half are about sounds, half mix in any words."""
  rng = random.Random(seed)
  sound = sound_words()
  sources, actions = sound["sources"], sound["actions"]
  (qualities,), (places,) = sound["qualities"], sound["places"]
  while True:
    form = rng.choice(_SOUND if rng.random() < 0.5 else _GENERAL)
    verbs = {"v": rng.choice(rng.choice(actions))}
    verbs["v2"] = rng.choice(rng.choice(actions))
    words = {
      "n": rng.choice(rng.choice(sources)),
      "n2": rng.choice(rng.choice(sources)),
      "q": rng.choice(qualities),
      "q2": rng.choice(qualities),
      "p": rng.choice(places),
    } | {key: rng.choice(general) for key in ("w", "w2", "w3")}

    def fill(match, words=words, verbs=verbs):
      key, ending = match.groups()
      return inflect(verbs[key], ending) if key in verbs else words[key]

    yield re.sub(r"\{(\w+)\}(ing|ed|s(?!\w))?", fill, form)


def wordnet(folder: str | Path) -> tuple[list[str], list[str]]:
  """Definitions, then example sentences, of a WordNet 3 `dict` folder."""
  definitions, examples = [], []
  for path in sorted(Path(folder).glob("data.*")):
    for line in path.read_text().splitlines():
      if line.startswith("  ") or " | " not in line:
        continue
      fields, gloss = line.split(" | ", 1)
      name = fields.split()[4].replace("_", " ").lower()
      quoted = re.findall(r'"([^"]+)"', gloss)
      meaning = re.sub(r'[;:]?\s*"[^"]*"', "", gloss).strip(" ;")
      definitions.append(f"{name}: {meaning}")
      examples.extend(quoted)
  return definitions, examples
