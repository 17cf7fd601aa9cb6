"""Facts that a prompt states, in words of captions."""

import re

import pytest

from siren_jax.data.captions import stated, wording


@pytest.mark.parametrize(
  ("text", "kind", "facts"),
  [
    ("a dog, Loudly!", "dog bark", ("close up",)),
    ("a bird in the background", "bird song", ("in the distance",)),
    ("five claps", "hand clap", ("five times",)),
    ("3 loud knocks", "door knock", ("close up", "three times")),
    ("barks twice", "dog bark", ("twice",)),
    ("thrice a bark", "dog bark", ("three times",)),
    ("it rings 4 times", "phone ring", ("four times",)),
    ("a low-pitched hum", "electric hum", ("low-pitched",)),
    ("C#4 on a harp", "harp", ("note C#4",)),
    ("B flat, quick", "trumpet", ("fast", "note B flat")),
    ("slowly, over and over", "saw", ("slow and steady", "again and again")),
    ("a five-string banjo", "banjo", ()),
    ("a long-eared animal", "donkey", ()),
    ("the sound of a spaniel going wild", "dog bark", ()),
    ("a door closes", "door close", ()),
    ("a high chair, a deep breath", "breathing", ()),
    ("farmers", "wug call", ()),
    ("two hands", "hand clap", ()),
    ("A 4 stroke engine", "motorcycle", ()),
    ("A sharp knock", "door knock", ()),
    ("A flat key of a marimba", "marimba", ()),
    ("a cello on A flat", "cello", ("note A flat",)),
    ("tearing A4 paper", "paper tear", ()),
    ("a long wooden flute blown by a monk", "flute", ()),
    ("a long flute note", "flute", ("long",)),
    ("typing fast on a keyboard", "keyboard typing", ("fast",)),
    ("someone fast asleep", "snoring", ()),
    ("once upon a time a wolf howled", "wolf howl", ()),
    ("keyboard clacking in a quiet office", "keyboard typing", ()),
    ("a door close to midnight", "door close", ()),
    ("not loud knocking", "door knock", ()),
    ("a far too eager dog", "dog bark", ()),
    ("a nearby dog and a distant cat", "dog bark", ()),
    ("twenty two times", "door knock", ()),
    ("a single knock, over and over", "door knock", ()),
    ("a single knock three times", "door knock", ("once",)),
    ("Middle C on a piano", "piano", ("note middle C",)),
    ("three quick loud knocks", "door knock", ("close up", "three times")),
  ],
)
def test_facts_of_a_text(text, kind, facts):
  assert stated.in_captions(text, kind) == facts


def test_facts_are_in_the_words_of_captions():
  templates = " | ".join(
    text
    for name in ("loud", "quiet", "slow", "fast", "short", "long", "low",
                 "high", "rising", "falling", "once", "repeating", "repeated",
                 "note")
    for text in wording.templates(name)
  )  # fmt: skip
  for fact in (*stated._FACTS, "{times}", "note {note}"):
    assert re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", templates), fact
