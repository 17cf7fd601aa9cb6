"""The phrase book: enough words, the right ones, and only true ones."""

import re

import numpy as np
import pytest

from siren_jax.data.captions import book, phrasebook, wording
from siren_jax.data.captions.describe import Facts
from siren_jax.data.captions.pitch import Pitch

CATEGORIES = phrasebook.categories()
ESC10 = {
  "dog bark", "rooster", "baby cry", "person sneeze", "clock tick",
  "sea waves", "rain", "fire crackling", "helicopter", "chainsaw",
}  # fmt: skip
# Words that begin with a letter of the other sort.
VOWEL_SOUND = "hour|honest|heir|mp3|fm|sms|8"
CONSONANT_SOUND = "uni|use|usual|uku|one|eu"


def plain(text):
  return " ".join(re.findall(r"[^\W_]+", text.lower()))


def some_facts(loudness=-20.0, count=0, rate=None, **others):
  events = tuple((float(t), t + 0.2) for t in range(count))
  return Facts(loudness, 0.5, 1000.0, events, rate, **others)


def many_captions(category, title="", facts=None, n=600):
  rng = np.random.default_rng(0)
  return phrasebook.captions_for(category, title, facts, rng, n)


def faults(text):
  """What is wrong with a caption, by rule."""
  # A is a note where it does not begin a sentence.
  low = text[0].lower() + text[1:] if text[-1] in ".!?" else text
  rules = {
    "spaces": text != " ".join(text.split()),
    "braces": bool(set(text) & set("{}_")),
    "two articles": re.search(r"\b(a|an|the) (a|an|the)\b", low),
    "a": re.search(rf"\ba (?!{CONSONANT_SOUND})[aeiouAEIO]", low),
    "an": re.search(rf"\ban (?![aeiouAEIO]|{VOWEL_SOUND})", low),
    "end": text[-1] in ",;:-",
    "sentence": text[-1] in ".!?" and text[0].islower(),
    "twice": re.search(
      r"\b(sounds?|noises?) (of (a |the )?)?(sounds?|noises?)\b", low
    ),
  }
  return [name for name, broken in rules.items() if broken]


def test_covers_esc10():
  assert set(CATEGORIES) >= ESC10
  assert len(CATEGORIES) == len(set(CATEGORIES)) == 517


def test_every_kind_is_in_one_group():
  groups = phrasebook.groups()
  assert sorted(k for kinds in groups.values() for k in kinds) == sorted(
    CATEGORIES
  )
  assert phrasebook.group("dog bark") == "animals"
  assert "dog bark" in groups["animals"]
  assert phrasebook.example("dog bark") and phrasebook.example("xyzzy")
  assert phrasebook.group("xyzzy") == ""


def test_every_kind_has_many_different_phrasings():
  for category in CATEGORIES:
    phrases = phrasebook.phrases(category)
    least = 120 if category in ESC10 else 20
    assert len({plain(text) for text in phrases}) >= least, category
    words = [len(text.split()) for text in phrases]
    assert min(words) <= 2 and max(words) >= 4, category


def test_no_phrasing_means_two_things():
  owner = {}
  for category in CATEGORIES:
    texts = phrasebook.phrases(category) + phrasebook.held_out(category)
    texts += book.kind(category).descriptions
    for text in set(map(plain, texts)):
      assert owner.setdefault(text, category) == category, text


def test_names_and_aliases_lead_to_their_kind():
  for kind in book.kinds().values():
    assert {phrasebook.canonical(name) for name in kind.names} == {kind.name}


def test_held_out_phrasings_are_never_training_captions():
  every = set()
  for category in CATEGORIES:
    title = phrasebook.held_out(category)[0]
    every |= set(map(plain, phrasebook.phrases(category)))
    every |= set(map(plain, many_captions(category, title, n=8)))
  for category in CATEGORIES:
    held_out = {plain(text) for text in phrasebook.held_out(category)}
    assert len(held_out) >= (20 if category in ESC10 else 3)
    assert not held_out & every


def test_the_text_of_the_book_is_good_english_by_rule():
  for kind in book.kinds().values():
    texts = (*kind.nouns, *kind.sayings, *kind.clauses, *kind.names)
    texts += (*kind.descriptions, *kind.settings, *kind.held_out, kind.example)
    wrong = {text: faults(text) for text in texts if faults(text)}
    assert not wrong, kind.name


@pytest.mark.parametrize(
  "facts",
  [
    some_facts(-8.0, 1, seconds=0.2),
    some_facts(-45.0, 3, 1.0, seconds=5.0, takes=3, even=True),
    some_facts(None, 0, 5.0, seconds=4.5, pitch=Pitch(440.0, "rising")),
    some_facts(None, 0, seconds=2.0, pitch=Pitch(110.0)),
  ],
)
def test_captions_are_good_english_by_rule(facts):
  for category in CATEGORIES:
    kind = book.kind(category)
    title = f"{kind.nouns[0]} playing a single note (A2)"
    captions = many_captions(category, title, facts, n=10)
    assert len(captions) == 10
    wrong = {text: faults(text) for text in captions if faults(text)}
    assert not wrong, category


def test_any_template_fits_any_word():
  def texts(part):
    if isinstance(part, str):
      return [part]
    values = part.values() if isinstance(part, dict) else part
    return [text for value in values for text in texts(value)]

  words = "x y z h s who stem note one many number digit times".split()
  for template in texts([book.shared()[k] for k in ("templates", "titles")]):
    places = re.findall(r"\{(\w*)\}", template)
    assert places and set(places) <= set(words), template
    # What begins with an article, or with any letter, takes no article.
    assert not re.search(r"\ban? \{|\bthe \{[^h]", template), template
    assert template == " ".join(template.split())
    assert template[-1] not in ",;:-"
  for kind in book.kinds().values():
    names = kind.event.names if kind.event else ()
    for name in (*kind.heads, *(n for pair in names for n in pair)):
      assert not re.match(r"(an?|the|one|two) ", name), name


@pytest.mark.parametrize("category", ["dog bark", "piano", "mouse_pad"])
def test_captions_are_different_and_repeatable(category):
  captions = many_captions(category, "Some_title 01.wav", some_facts(), n=40)
  assert len(set(captions)) == len(captions) == 40
  again = many_captions(category, "Some_title 01.wav", some_facts(), n=40)
  assert captions == again


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_counted_bark_is_mentioned_with_that_number_only(count):
  said = set(many_captions("dog bark", "", some_facts(count=count), n=3000))
  words = ["a single", "two", "three", "four"]
  mine = words[count - 1]
  assert any(text.startswith(f"{mine} bark") for text in said)
  for other in set(words) - {mine}:
    assert not any(re.match(rf"{other} (dog )?barks?\b", t) for t in said)


def test_many_barks_are_not_counted():
  said = many_captions("dog bark", "", some_facts(count=9), n=2000)
  assert not any(re.match(r"(\d|nine|\w+) barks in a row", t) for t in said)


def test_one_step_is_not_called_many_nor_many_one():
  one = many_captions("footsteps gravel", "", some_facts(count=1, seconds=0.2))
  assert not any("footsteps" in text for text in one)
  assert any(text.startswith("a single footstep") for text in one)
  laid_out = some_facts(count=4, rate=2.0, seconds=2.0, takes=4, even=True)
  four = many_captions("footsteps gravel", "", laid_out)
  assert any(re.search("footsteps", text) for text in four)
  for text in four:  # one is named only where it is said to be repeated
    repeated = r"four times|repeated|again|over and over|interval|evenly"
    assert re.search(repeated, text) or not re.search(r"footstep\b", text), text


@pytest.mark.parametrize("takes, words", [(2, "twice"), (5, "five times")])
def test_the_number_of_takes_is_mentioned(takes, words):
  facts = some_facts(None, takes, takes=takes)
  said = many_captions("metal hit", "a candle holder", facts)
  assert f"a candle holder, {words}" in said
  assert "a candle holder" not in said
  others = {"twice", "three times", "four times", "five times"} - {words}
  assert not any(other in text for other in others for text in said)


@pytest.mark.parametrize(
  "loudness, far, near",
  [(-45, True, False), (-8, False, True), (-20, 0, 0), (None, 0, 0)],
)
def test_distance_is_mentioned_where_the_level_shows_it(loudness, far, near):
  said = " | ".join(many_captions("helicopter", "", some_facts(loudness)))
  assert ("in the distance" in said) == far
  assert ("close up" in said) == near


def test_soft_sounds_are_not_called_distant():
  said = " | ".join(many_captions("clock tick", "", some_facts(-45)))
  assert "distan" not in said and "far" not in re.findall(r"\w+", said)


@pytest.mark.parametrize(
  "rate, slow, fast",
  [(1.0, True, False), (2.0, False, False), (5.0, False, True), (None, 0, 0)],
)
def test_ticking_is_called_slow_or_fast_by_its_rate(rate, slow, fast):
  said = " | ".join(many_captions("clock tick", "", some_facts(rate=rate)))
  assert ("slow, regular" in said) == slow
  assert bool(re.search(r"ticking, fast|rapid ticking", said)) == fast


@pytest.mark.parametrize(
  "hz, register", [(65.4, "low"), (392.0, ""), (2093.0, "high")]
)
def test_a_note_is_low_or_high_for_its_instrument(hz, register):
  facts = some_facts(None, pitch=Pitch(hz))
  said = many_captions("piano", "", facts)
  for word in ("low", "high"):
    assert any(t.startswith(f"{word} ") for t in said) == (word == register)


def test_a_note_has_its_name_where_title_and_measurement_agree():
  title = "a banjo playing a single note (C#4)"
  hz = 440 * 2 ** (-8 / 12)
  agreed, octave_off, wrong, unmeasured = (
    many_captions("banjo", title, some_facts(None, pitch=pitch))
    for pitch in (Pitch(hz), Pitch(hz / 2), Pitch(1.1 * hz), None)
  )
  assert {"a banjo, C#4", "a banjo, D flat", "a banjo, C#"} <= set(agreed)
  for said in (octave_off, unmeasured):
    assert "a banjo, C#" in said and "a banjo, C#4" not in said
  assert "a banjo, C#" not in wrong


def test_a_gliding_pitch_is_mentioned():
  facts = some_facts(None, pitch=Pitch(400.0, "falling"))
  said = many_captions("coyote howl", "", facts)
  assert any("falling in pitch" in text for text in said)
  assert not any("rising" in text for text in said)


def test_any_label_gets_captions_about_itself():
  said = many_captions("mouse_pad", "", some_facts(-45), n=50)
  assert len(said) == 50
  assert all("mouse pad" in text.lower() for text in said)


def test_mixtures_name_both_sounds():
  rng = np.random.default_rng(1)
  said = phrasebook.mixture_captions("mouse click", "siren", rng, 20)
  assert len(set(said)) == len(said) >= 15
  assert all("mouse click" in text and "siren" in text for text in said)
  said = phrasebook.mixture_captions("dog bark", "rain", rng, 400)
  assert any(text.endswith("in the rain") for text in said)


@pytest.mark.parametrize("names", [["horn", "bell"], ["horn", "bell", "dog"]])
def test_sequences_keep_the_order(names):
  names = [f"xy {name}" for name in names]  # in no book: they are their words
  rng = np.random.default_rng(1)
  said = phrasebook.sequence_captions(names, [0] * len(names), rng, 20)
  assert len(said) >= 6
  for text in said:
    places = [text.index(name) for name in names]
    assert places == sorted(places, reverse="after" in text), text
    assert not faults(text)


@pytest.mark.parametrize("count, other", [(4, "footstep"), (1, "footsteps")])
def test_sounds_together_agree_with_their_number(count, other):
  rng = np.random.default_rng(1)
  names = ["footsteps wood", "door close"]
  said = phrasebook.sequence_captions(names, [count, 1], rng, 200)
  said += phrasebook.mixture_captions(*names, rng, 200, [count, 1])
  assert len(said) > 300
  assert not any(re.search(rf"{other}\b", text) for text in said)


@pytest.mark.parametrize(
  "name, section, words",
  [
    ("bd_haus", "Bass Drums", "house"),
    ("drum_tom_hi_soft", "Drums", "tom"),
    ("tabla_ghe3", "Tabla", "tabla"),
    ("loop_amen_full", "Loops", "amen|break"),
    ("hat_gnu", "Hi-hats", "hat"),
    ("bd_unheard_of", "Bass Drums", "kick|bass drum"),
    ("unheard_of", "Snares", "snare"),
    ("perc_bell2", "", "bell"),
    ("my_own_thing", "", "my own thing"),
  ],
)
def test_captions_of_an_instrument_differ_and_name_it(name, section, words):
  rng = np.random.default_rng(2)
  said = phrasebook.instrument_captions(name, section, rng, 30)
  assert len(set(said)) == len(said) == 30
  assert any(re.search(words, text) for text in said)
  assert not any(set(text) & set("{}_") for text in said)


NUMBERS = {1: "once|single", 2: "twice|two|double", 3: "three|triple"}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
  "category", ["dog bark", "rooster", "person sneeze", "bongo", "gunshot"]
)
def test_no_number_is_claimed_but_that_of_the_events(category, count):
  facts = some_facts(None, count)
  said = many_captions(category, "", facts)
  events = wording.count(facts, book.kind(category))  # by the kind's own gap
  others = "|".join(x for n, x in NUMBERS.items() if n != events)
  wrong = [t for t in said if re.search(rf"\b(?:{others})\b", t.lower())]
  assert not wrong


def test_many_short_events_are_no_long_one():
  facts = {n: some_facts(None, n, seconds=4.2) for n in (1, 5)}
  said = {n: many_captions("dog bark", "", f) for n, f in facts.items()}
  assert any(re.search(r", long$|^a long", t) for t in said[1])
  assert not any(re.search(r", long$|^a long", t) for t in said[5])


def test_lengths_and_silence_are_claimed_where_they_are_measured():
  five, ten = (
    many_captions("rain", "", some_facts(None, seconds=x)) for x in (4.9, 9.9)
  )
  assert any("five seconds" in t for t in five)
  assert not any("five seconds" in t for t in ten)
  at_end, before = (
    many_captions("gunshot", "", some_facts(None, 1, rest_seconds=x))
    for x in (0.0, 3.0)
  )
  assert any("then silence" in t for t in before)
  assert not any("then silence" in t for t in at_end)


def test_nothing_is_denied_of_an_unknown_label():
  facts = some_facts(None, seconds=4.9)
  said = many_captions("jazz guitar solo", "", facts)
  assert not any(
    re.search("no music|talking|any music|natural", t) for t in said
  )
  assert any("no music" in t for t in many_captions("rain", "", facts))


def test_a_title_of_two_actions_is_kept_as_it_is():
  facts = some_facts(None, seconds=2.0, pitch=Pitch(440.0))
  said = many_captions(
    "choir voices", "a choir singing ah playing a short melody", facts
  )
  assert not any(
    re.search("on (a )?choir singing|singing ah,", t) for t in said
  )


def test_captions_are_not_odd():
  """Noises of noises, and "here is" of what may be many."""
  for category in ("pop", "music box", "door creak", "bird song"):
    for text in many_captions(category, n=300):
      noises = re.findall(r"\b(?:sounds?|noises?|recordings?)\b", text.lower())
      assert len(noises) < 2, text
      assert not re.match("(there|this|here) (is|comes) [^atso]", text), text
