# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first sound
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/siren-jax/blob/main/notebooks/first_sound.ipynb)
#
# Siren turns words into sound. In this notebook you install it, make sounds,
# look at them, change how they are drawn, and continue and vary a recording.
# It runs on a GPU or on a CPU.

# %% [markdown]
# ## Install
#
# This cell does nothing if Siren-JAX is already installed.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("siren_jax") is None:
  source = "git+https://github.com/OWNER/siren-jax"
  pip = [sys.executable, "-m", "pip", "install", "--quiet", source]
  subprocess.run(pip, check=True)

# %% [markdown]
# ## Sizes
#
# Smaller numbers are faster.

# %% tags=["parameters"]
PROMPT = "rain on a tin roof"
SECONDS = 5.0  # length of each sound
CANDIDATES = None  # sounds to choose from; None: as the model was tuned

# %% [markdown]
# ## Load a model
#
# `load()` reads the small model that comes with the package. It prints what it
# is: its sample rate, the longest sound it was trained on (its window), and its
# sampling settings.

# %%
import siren_jax as sj

siren = sj.load()
siren

# %% [markdown]
# ## Make a sound
#
# The first call compiles the model, so it is slow. Later calls are faster.
# Arrays are named after their axes: `audio_BxS` has B sounds (the batch) of S
# samples.

# %%
audio_BxS = siren.generate(
  PROMPT, seconds=SECONDS, candidates=CANDIDATES, key=0
)
sj.play(audio_BxS, siren.sample_rate)

# %% [markdown]
# The spectrogram shows when (from left to right) and at which frequency (from
# bottom to top) the sound has energy.

# %%
sj.show(audio_BxS, siren.sample_rate, title=PROMPT)

# %% [markdown]
# The key is the seed. The same prompt, key and settings give the same sound.
# Another key gives another sound.

# %%
other_BxS = siren.generate(
  PROMPT, seconds=SECONDS, candidates=CANDIDATES, key=1
)
sj.play(other_BxS, siren.sample_rate)

# %% [markdown]
# ## Save it
#
# The suffix of the file says the format: `.wav`, `.flac`, `.ogg` or `.mp3`.

# %%
siren.save(audio_BxS[0], "rain.wav")

# %% [markdown]
# ## Codes
#
# Siren does not predict samples. It predicts the codes of a neural codec. For
# each short frame the codec has one code per codebook. The first codebook is
# the coarsest. Each later one encodes what the ones before left over. Below,
# each row is a codebook, each column is a frame, and each color is a code.

# %%
from matplotlib import pyplot as plt

codes_BxNxT = siren.encode(audio_BxS)
_, codebooks, frames = codes_BxNxT.shape
print(f"{codebooks} codebooks, {frames} frames of {SECONDS:g} s")

figure, axes = plt.subplots(figsize=(8, 3))
axes.imshow(codes_BxNxT[0], aspect="auto", cmap="nipy_spectral")
axes.set(xlabel="frame", ylabel="codebook", title="codes")
plt.show()

# %% [markdown]
# The decoder adds up the features of all codebooks. Give it only the first few,
# and the sound becomes coarse.

# %%
for first in (1, codebooks // 3, codebooks):
  print(f"the first {first} of {codebooks} codebooks")
  sj.play(siren.bundle.codec.decode(codes_BxNxT[:, :first]), siren.sample_rate)

# %% [markdown]
# ## Sampling settings
#
# Each code is drawn at random from the probabilities that the model gives.
#
# - `temperature`: low values make likely codes likelier. The sound becomes
#   plain. High values make it wild.
# - `top_k`: draw from the k likeliest codes only.
# - `guidance`: how strongly the words count. At 1 the model is not guided.
# - `candidates`: draw several sounds, keep the one that fits the words best.
#
# Here are the settings of this model, side by side with others.

# %%
from siren_jax.audio import spectrogram

settings = {
  "as tuned": {},
  "temperature 0.5": {"temperature": 0.5},
  "temperature 1.2": {"temperature": 1.2},
  "guidance 1": {"guidance": 1.0},
}
sounds = {
  name: siren.generate(PROMPT, SECONDS, key=0, candidates=1, **changes)[0]
  for name, changes in settings.items()
}
figure, axes = plt.subplots(1, len(sounds), figsize=(14, 3), sharey=True)
for ax, (name, audio_S) in zip(axes, sounds.items(), strict=True):
  spectrogram.draw(ax, audio_S, siren.sample_rate)
  ax.set(title=name, xlabel="seconds")
axes[0].set_ylabel("kHz")
plt.show()
for name, audio_S in sounds.items():
  print(name)
  sj.play(audio_S, siren.sample_rate)

# %% [markdown]
# ## Continue a recording
#
# A recording is an array of mono samples at the sample rate of the model.
# `read_audio` reads a file and resamples it. Here we read the sound from above.
# To use your own, upload a file and change the name.

# %%
from siren_jax.audio.sound_files import read_audio

recording_S, notes = read_audio("rain.wav", siren.sample_rate)
longer_BxS = siren.generate(
  PROMPT,
  seconds=SECONDS,
  continue_from=recording_S,
  candidates=CANDIDATES,
  key=2,
)
sj.play(longer_BxS, siren.sample_rate)
sj.show(longer_BxS, siren.sample_rate, title="the recording, continued")

# %% [markdown]
# ## Vary a recording
#
# A variation keeps the codes of the first codebooks and draws the others. The
# rhythm stays, the timbre changes. The fewer codebooks are kept, the further
# the variation goes.

# %%
for keep in (codebooks // 2, 1):
  varied_S = siren.vary(
    recording_S, keep=keep, prompt=PROMPT, candidates=CANDIDATES
  )
  print(f"{keep} codebooks kept")
  sj.play(varied_S, siren.sample_rate)

# %% [markdown]
# ## What next
#
# - `siren.fill(audio_S, start, end, prompt)` makes a part of a recording anew.
# - `siren.stream(prompt)` gives a sound while it is made, of any length.
# - *Your own sounds* (`your_own_sounds.ipynb`) trains a model on recordings.
# - *Inside a residual codec* (`inside_the_codec.ipynb`) looks at what the codes
#   mean.
