"""Streams, sounds longer than a window, and sounds made from recordings."""

import dataclasses

import jax
import numpy as np
import pytest

import siren_jax as sj
from siren_jax.api import recordings
from siren_jax.codec import model as codec_model
from siren_jax.sampling import filling, pieces, windows

PROMPT = "rain on a tin roof"


@pytest.fixture(scope="module")
def siren(tiny_bundle):
  """One sound at a time, as a stream has it; a window is two seconds."""
  return sj.load(tiny_bundle, batch_size=1)


@pytest.fixture(scope="module")
def hop(siren):
  return siren.bundle.codec.config.hop


@pytest.fixture(scope="module")
def recording(siren):
  return siren.generate("two short beeps", 1.3, key=8, loudness=None)[0]


def _stream(siren, *args, **options):
  return np.concatenate(list(siren.stream(*args, **options)))


def _plain(siren, seconds, **options):
  options = {"candidates": 1, "loudness": None} | options
  return siren.generate(PROMPT, seconds, **options)[0]


@pytest.mark.parametrize(
  "guidance", [None, pytest.param(2.0, marks=pytest.mark.long)]
)
def test_a_stream_is_the_sound_that_generate_makes(siren, hop, guidance):
  """Of lengths around a frame, a chunk, a window and the next one."""
  rate, window = siren.sample_rate, siren._model.window
  frames = [1, 9, 10, 11, window - 1, window, window + 1, 3 * window // 2 + 1]
  for count in frames:
    for extra in (-1, 0, 1):
      seconds = (count * hop + extra) / rate
      options = dict(key=5, guidance=guidance)
      whole = _plain(siren, seconds, **options)
      assert len(whole) == count * hop + extra
      streamed = _stream(siren, PROMPT, seconds, **options)
      np.testing.assert_allclose(streamed, whole, atol=1e-5)


@pytest.mark.long
def test_a_batch_of_nine_is_the_nine_streams(siren, tiny_bundle):
  batch = sj.load(tiny_bundle, batch_size=9)
  seconds = 2.5  # more than a window
  together = batch.generate(
    PROMPT, seconds, key=5, num_samples=9, candidates=1, loudness=None
  )
  for n in (0, 4, 8):
    alone = _stream(siren, PROMPT, seconds, key=5, sample=n)
    np.testing.assert_allclose(together[n], alone, atol=1e-5)


def test_a_stream_without_an_end_begins_as_one_with(siren, hop):
  """But for the last frames, whose audio depends on what follows."""
  whole = _stream(siren, PROMPT, 3.0, key=5)
  ahead = codec_model.module(siren.bundle.codec.config).look_ahead
  count = len(whole) - ahead * hop
  chunks, parts = siren.stream(PROMPT, key=5), []
  while sum(map(len, parts)) < count:
    parts.append(next(chunks))
  endless = np.concatenate(parts)[:count]
  np.testing.assert_allclose(endless, whole[:count], atol=1e-5)


def test_audio_comes_before_all_of_it_is_drawn(siren, monkeypatch):
  drawn = []
  draw = siren._model.draw
  monkeypatch.setattr(
    siren._model, "draw", lambda *args, **kw: draw(*args, drawn.append, **kw)
  )
  first = next(siren.stream(PROMPT, 60.0))
  assert len(first)
  assert sum(drawn) < 2


def test_another_length_or_number_of_prompts_compiles_nothing(
  tiny_bundle, compilations
):
  siren = sj.load(tiny_bundle)
  siren.generate(PROMPT, 0.7, candidates=2)
  compilations.clear()
  siren.generate(PROMPT, 0.3, candidates=2)
  siren.generate(["a", "b", "c"], 1.9, candidates=2, temperature=0.8)
  assert not compilations
  siren.generate(PROMPT, 2.5, candidates=2)  # more than a window
  compilations.clear()
  siren.generate([PROMPT, "a dog"], 5.1, candidates=2)
  assert not compilations


@pytest.mark.long
def test_candidates_are_chosen_in_every_window(siren, hop):
  """Of the audio that a window decides, and all go on from what is kept."""
  bundle, group, total = siren.bundle, 3, 120
  length = siren._model.window
  ahead = codec_model.module(bundle.codec.config).look_ahead
  request = siren._model.request(
    [(PROMPT, 0)], jax.random.key(3), group, bundle.sampling, total * hop, {}
  )
  params, models = siren._model._params, siren._model._models
  prompted, _ = pieces.prompt(params, models, request)
  known = np.zeros((group, bundle.codec.config.num_codebooks, 0), np.int32)
  done, best = 0, []
  for window in windows.windows(length, 0, total):
    keys = request.keys_BxG[0]
    for samples in windows.draw(prompted, keys, length, window, known):
      known = np.concatenate([known, samples.codes_BxNxT], 2)
    decided = total if window.end == total else window.end - ahead
    audio = np.asarray(bundle.codec.decode(known))
    part = audio[:, done * hop : decided * hop]
    best.append(int(bundle.clap.similarity([PROMPT], part).argmax()))
    known, done = np.repeat(known[best[-1:]], group, 0), decided
  assert len(best) == 4 and len(set(best)) > 1, "a weak test"
  expected = np.asarray(bundle.codec.decode(known[:1]))[0]
  chosen = siren.generate(
    PROMPT, total * hop / siren.sample_rate, key=3, candidates=group,
    loudness=None,
  )[0]  # fmt: skip
  np.testing.assert_allclose(chosen, expected, atol=1e-5)


@pytest.mark.long
def test_a_long_recording_is_continued(siren, recording):
  """Longer than two windows, with several candidates, and without words."""
  long_S = np.concatenate([recording, recording[::-1]] * 2)
  audio_S = siren.generate(
    None, 2.5, key=5, candidates=2, continue_from=long_S
  )[0]
  assert len(audio_S) == len(long_S) + round(2.5 * siren.sample_rate)
  joint = len(long_S) - round(0.01 * siren.sample_rate)
  np.testing.assert_array_equal(audio_S[:joint], long_S[:joint])


def test_a_sound_continues_a_recording(siren, recording):
  for words in (PROMPT, None):
    audio_S = siren.generate(words, 1.0, key=5, continue_from=recording)[0]
    assert len(audio_S) == len(recording) + siren.sample_rate
    joint = len(recording) - round(0.01 * siren.sample_rate)
    np.testing.assert_array_equal(audio_S[:joint], recording[:joint])
    assert np.abs(audio_S[len(recording) :]).max() > 0
    streamed = _stream(siren, words, 1.0, key=5, continue_from=recording)
    if words is None:
      continue
    plain = siren.generate(
      words, 1.0, key=5, candidates=1, continue_from=recording
    )[0]
    np.testing.assert_allclose(streamed, plain, atol=1e-5)


def test_the_joint_is_faded_at_equal_power(siren):
  """Noise into noise: as loud within the joint as on either side."""
  rng, rate = np.random.default_rng(0), 16000
  before, after = rng.normal(size=(2, 4000)).astype("f4")
  fade = round(recordings.FADE_SECONDS * rate)
  power = []
  for _ in range(200):
    before, after = rng.normal(size=(2, 1000)).astype("f4")
    piece = pieces.Piece(np.stack([after, after]))
    joined = list(recordings.joined(before[:500], [piece], None, rate))[0]
    np.testing.assert_array_equal(joined.audio_BxS[1, 500:], after[500:])
    power.append(joined.audio_BxS[0, 500 - fade : 500] ** 2)
  assert np.mean(power) == pytest.approx(1, abs=0.05)


def test_only_the_hole_is_filled(siren, recording):
  rate = siren.sample_rate
  first, last = round(0.4 * rate), round(0.9 * rate)
  fade = round(0.01 * rate)
  for words in (PROMPT, None):
    filled = siren.fill(recording, 0.4, 0.9, words, key=5, candidates=2)
    assert filled.shape == recording.shape
    changed = filled != recording
    assert not changed[: first - fade].any()
    assert not changed[last + fade :].any()
    assert changed[first:last].mean() > 0.9
    again = siren.fill(recording, 0.4, 0.9, words, key=5, candidates=2)
    np.testing.assert_array_equal(filled, again)


class Reached(Exception):
  """Holds the request that reached the model."""


def _requested(monkeypatch, siren, name, call):
  def reach(request, *_):
    raise Reached(request)

  monkeypatch.setattr(siren._model, name, reach)
  with pytest.raises(Reached) as reached:
    call()
  return reached.value.args[0]


def test_a_fill_continues_what_is_before_the_hole(
  siren, recording, hop, monkeypatch
):
  request = _requested(
    monkeypatch, siren, "fill", lambda: siren.fill(recording, 0.4, 0.9)
  )
  first, last = (round(x * siren.sample_rate) for x in (0.4, 0.9))
  assert request.begin == first // hop > 0
  assert request.end == -(-last // hop)


def test_a_variation_keeps_as_many_codebooks_as_it_says(
  siren, recording, monkeypatch
):
  request = _requested(
    monkeypatch, siren, "draw", lambda: siren.vary(recording, 3)
  )
  assert request.num_kept == 3
  np.testing.assert_array_equal(request.kept_NxT, siren._model.codes(recording))


def test_candidates_are_compared_by_what_is_new(siren, monkeypatch):
  """Not by the end of the recording, which a decoder that looks ahead holds."""
  model = siren._model
  ahead = codec_model.module(model._models.codec).look_ahead
  assert ahead > 1
  scored = []
  best = pieces._best

  def spy(params, models, audio_RxS, *rest):
    scored.append(audio_RxS)
    return best(params, models, audio_RxS, *rest)

  monkeypatch.setattr(pieces, "_best", spy)
  tone_S = np.sin(np.arange(model.window * model.hop) * 0.3).astype("f4") / 2
  for left in (1, ahead - 1, ahead, ahead + 1):  # frames of the window
    scored.clear()
    before_S = tone_S[: (model.window - left) * model.hop]
    siren.generate(PROMPT, 1.0, candidates=3, continue_from=before_S)
    new = siren.sample_rate
    total = sum(x.shape[1] for x in scored)
    assert new <= total <= new + model.hop
    for audio_RxS in scored:
      assert (audio_RxS[0] != audio_RxS[1]).any()


def test_a_change_is_not_drawn_with_the_keys_of_its_sound(
  siren, recording, monkeypatch
):
  own = siren._model.request(
    [(PROMPT, 0)], jax.random.key(0), 2, siren._method([PROMPT], {}), 1600, {}
  ).keys_BxG
  keys = [
    _requested(monkeypatch, siren, name, call).keys_BxG
    for name, call in (
      ("fill", lambda: siren.fill(recording, 0.4, 0.9, PROMPT, candidates=2)),
      ("draw", lambda: siren.vary(recording, 3, PROMPT, candidates=2)),
    )
  ]
  data = {jax.random.key_data(x).tobytes() for x in (own, *keys)}
  assert len(data) == 3


def test_a_hole_is_faded_in_and_out():
  audio_S, filled_S = np.ones(4000, np.float32), np.zeros(4000, np.float32)
  out_S = recordings.with_hole_filled(audio_S, filled_S, 1000, 3000, 16000)
  assert not out_S[1000:3000].any()
  assert (np.diff(out_S[:1000]) <= 0).all() and out_S[0] == 1 > out_S[999]
  assert (np.diff(out_S[3000:]) >= 0).all() and out_S[-1] == 1 > out_S[3000]


def test_a_score_is_the_mean_over_windows_and_a_prefix_the_last_one(siren):
  model = siren._model
  room = model.window * model.hop
  rng = np.random.default_rng(0)
  noise_S = rng.normal(0, 0.1, room).astype("f4")
  tone_S = np.sin(np.arange(room) * 0.3).astype("f4") / 2
  short_S = tone_S[: room // 2]
  scores = [siren.clap_score(x, PROMPT) for x in (noise_S, short_S)]
  assert abs(scores[0] - scores[1]) > 1e-3
  both = siren.clap_score(np.concatenate([noise_S, short_S]), PROMPT)
  assert both == pytest.approx((2 * scores[0] + scores[1]) / 3, abs=1e-4)
  tone_E = model.embedding(tone_S)
  last_E = model.embedding(np.concatenate([noise_S, tone_S]))
  np.testing.assert_allclose(last_E, tone_E, atol=1e-5)
  prefix = model.prefix(tone_S, with_words=False)
  np.testing.assert_array_equal(prefix["target_E"], tone_E)
  assert "target_E" not in model.prefix(tone_S, with_words=True)
  means = pieces.mean_scores(
    [(np.array([0.0, 1.0]), 300), (None, 9), (np.array([0.5, 0.0]), 100)]
  )
  assert list(means) == [0.125, 0.75]


def test_a_hole_may_lie_at_either_end(siren, recording):
  length = len(recording) / siren.sample_rate
  past = length + 0.0004  # rounded to milliseconds
  for hole in ((0, 0.2), (length - 0.2, length), (0, length), (0.1, past)):
    filled = siren.fill(recording, *hole, key=5, candidates=2)
    assert filled.shape == recording.shape
    assert np.isfinite(filled).all()
  for hole in ((0.1, length + 0.001), (length, past), (-0.1, 0.1)):
    with pytest.raises(sj.UserError, match="length of the recording"):
      siren.fill(recording, *hole)


@pytest.mark.long
def test_the_fill_that_suits_what_follows_is_kept(siren, recording):
  """Among many, by the experts' own log-probs of the codes that follow."""
  model, codes = siren._model, siren._model.codes(recording)
  fills = []
  for sample in range(3):
    request = siren._model.request(
      [("", sample)], jax.random.key(5), 4, siren._method([""], {}),
      len(recording), {},
    )  # fmt: skip
    begin, end = 4, 10
    request = dataclasses.replace(request, begin=begin, end=end)
    filled = filling.fill(
      model._params, model._models, request, codes, model.window
    )
    assert filled.best == filled.log_likelihood_G.argmax()
    fills.append(filled)
  assert len({f.best for f in fills}) > 1, "the first would do: a weak test"


def test_a_variation_keeps_the_coarse_codes(siren, recording):
  books = siren.bundle.codec.config.num_codebooks
  exact = siren.decode(siren._model.codes(recording))[0]
  distances = []
  for keep in (0, books - 1):
    varied = siren.vary(recording, keep, key=5, candidates=1)
    assert varied.shape == recording.shape
    distances.append(np.abs(varied - exact[: len(varied)]).mean())
  assert distances[1] < distances[0]


@pytest.mark.parametrize(
  ("method", "arguments", "message"),
  [
    ("vary", {"keep": 12}, "keep 12: give 0 to"),
    ("vary", {"keep": -1}, "keep -1"),
    ("vary", {"keep": 2, "prompt": ["a", "b"]}, "2 prompts"),
    ("fill", {"start": 0.5, "end": 0.5}, "part from 0.5 to 0.5"),
    ("fill", {"start": -0.1, "end": 0.5}, "part from -0.1"),
    ("fill", {"start": 0.1, "end": 1.5}, "1.300 s, the length of"),
    ("fill", {"start": float("nan"), "end": 1.0}, "part from nan"),
    ("fill", {"start": 0.1, "end": 1.0, "prompt": " "}, "empty"),
    ("stream", {"prompt": None}, "no prompt"),
    ("stream", {"prompt": ["a", "b"]}, "a stream has one"),
    ("stream", {"prompt": "a", "seconds": 0}, "seconds 0"),
  ],
)
def test_invalid_arguments_are_refused(
  siren, recording, method, arguments, message
):
  audio = {} if method == "stream" else {"audio": recording}
  with pytest.raises(sj.UserError, match=message):
    getattr(siren, method)(**audio, **arguments)
