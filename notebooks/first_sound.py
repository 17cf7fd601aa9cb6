# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first sound
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/siren-jax/siren-jax/blob/main/notebooks/first_sound.ipynb)
#
# Siren-JAX generates sounds from text. The built-in model is small: it knows some five hundred kinds of sound and needs no GPU. On two CPU cores, the first five-second sound takes about 16 seconds, including compilation, and each later one 1 to 2.

# %%
import importlib.metadata
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("siren_jax") is None:
  package = "siren-jax @ git+https://github.com/siren-jax/siren-jax"
  # Colab's JAX matches its GPU, so pip must not replace it.
  kept = [
    f"{package.name}=={package.version}"
    for package in importlib.metadata.distributions()
    if package.name in ("jax", "jaxlib", "numpy")
  ]
  pip = [sys.executable, "-m", "pip", "install", "--quiet", package, *kept]
  subprocess.run(pip, check=True)

# %% [markdown]
# The next cell sets how much is generated. The project's tests set `SIREN_NOTEBOOK_SIZE=ci` to generate less.

# %%
import os

SMALL = os.environ.get("SIREN_NOTEBOOK_SIZE") == "ci"
SECONDS = 1.0 if SMALL else 5.0

# %%
import matplotlib.pyplot as plt

import siren_jax as sj
from siren_jax.audio import spectrogram

siren = sj.load()  # the built-in model
siren

# %% [markdown]
# ## Text to sound
#
# Several candidates are generated, and the one that the model's CLAP scores as closest to the prompt is kept. The same prompt, key and settings reproduce the same sound.

# %%
(rain,) = siren.sounds("rain on a tin roof", seconds=SECONDS, key=0)
sj.play(rain)
sj.show(rain)

# %% [markdown]
# ## The codes
#
# A sound is represented by twelve codes per 40 ms frame. Each codebook encodes the residual of the ones above it; the colour shows the code index.

# %%
(codes_NxT,) = siren.encode(rain.audio_S)
fig, axes = plt.subplots(figsize=(8, 2.5), layout="constrained")
image = axes.imshow(
  codes_NxT, aspect="auto", interpolation="nearest", cmap="viridis"
)
axes.set(xlabel="frame", ylabel="codebook")
fig.colorbar(image, label="code")
plt.show()

# %%
# The sound decoded from the codes: what the codec preserves.
sj.play(siren.decode(codes_NxT))

# %% [markdown]
# ## Sampling settings
#
# The same prompt and key with other settings. A low `temperature` favours likely codes, a high one gives the others a chance. Higher `guidance` follows the prompt more closely, with less variety. More `candidates` give CLAP more to choose from, and take longer.

# %%
PROMPT = "a dog barking"
CHANGES = [
  {"temperature": 0.5}, {}, {"temperature": 1.3},
  {"guidance": 1.0}, {"guidance": 6.0}, {"candidates": 1},
]  # fmt: skip


def name_of(change):
  """What differs from the model's own settings."""
  pairs = [f"{name} {value:g}" for name, value in change.items()]
  return ", ".join(pairs) or "default"


variants = [
  next(siren.sounds(PROMPT, seconds=SECONDS, **change)) for change in CHANGES
]
fig, grid = plt.subplots(
  2, 3, figsize=(9, 4.5), layout="constrained", sharex=True, sharey=True
)
for axes, change, sound in zip(grid.flat, CHANGES, variants, strict=True):
  spectrogram.draw(axes, sound.audio_S, siren.sample_rate)
  axes.set_title(name_of(change), fontsize="medium")
plt.show()

# %%
for change, sound in zip(CHANGES, variants, strict=True):
  print(name_of(change))
  sj.play(sound)

# %% [markdown]
# ## From a recording
#
# Any mono sound at `siren.sample_rate` will do, for example one read with `soundfile.read`. Here the recording is the dog generated above with the default settings.

# %%
recording_S = variants[1].audio_S

# Continue the recording: the first part is the recording itself.
(longer_S,) = siren.generate(
  PROMPT, seconds=SECONDS / 2, continue_from=recording_S
)

# Regenerate the middle so that it fits what comes before and after.
start, end = 0.4 * SECONDS, 0.6 * SECONDS
filled_S = siren.fill(recording_S, start, end, PROMPT)

# Keep the first four codebooks and resample the other eight.
varied_S = siren.vary(recording_S, keep=4, prompt=PROMPT)

for title, audio_S in (
  ("the recording", recording_S),
  ("continued", longer_S),
  ("filled in the middle", filled_S),
  ("varied", varied_S),
):
  sj.show(audio_S, siren.sample_rate, title)
  sj.play(audio_S, siren.sample_rate)

# %% [markdown]
# ## Save the sound

# %%
siren.save(rain, "rain.wav")

# %% [markdown]
# ## Next
#
# - Train a model on a folder of recordings: `your_own_sounds`.
# - See what the codes hold: `inside_a_residual_codec`.
# - Long sounds, streams and the sampler's state: [docs/sampling.md](https://github.com/siren-jax/siren-jax/blob/main/docs/sampling.md).
