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
# # Inside a residual codec
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/siren-jax/blob/main/notebooks/inside_the_codec.ipynb)
#
# A residual codec describes each frame of sound by one code per codebook. The
# first codebook is coarse. Each later one encodes what the ones before left
# over. Siren predicts these codes with several transformers, its experts. This
# notebook shows why: what the codebooks contain, and how errors grow.
#
# All figures are drawn from the model that comes with the package.

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
# More sounds make the figures steadier, and take longer.

# %% tags=["parameters"]
PROMPTS = [
  "a dog barking",
  "rain",
  "church bells",
  "a car engine",
  "a person clapping",
  "sea waves",
]
SOUNDS = 16  # of each prompt
SECONDS = 2.0  # length of each
FRAMES = 64  # frames in which errors are measured

# %%
import jax
import numpy as np
from matplotlib import pyplot as plt

import siren_jax as sj
from siren_jax import codec, experts

siren = sj.load()
siren

# %% [markdown]
# ## The features of each codebook
#
# A code stands for a vector, its feature: a short vector of the codebook, times
# a matrix of that codebook. The decoder adds up the features of all codebooks.
# The lengths of the features say how much each codebook adds.

# %%
tables = {
  name: np.asarray(table, np.float64)
  for name, table in codec.embedding_tables(siren.bundle.codec.params).items()
}
codebook_NxVx8, weight_NxFx8 = tables["codebook_NxVx8"], tables["weight_NxFx8"]
features_NxVxF = np.einsum("nvi,nfi->nvf", codebook_NxVx8, weight_NxFx8)
features_NxVxF += tables["bias_NxF"][:, None]
codebooks, codes, width = features_NxVxF.shape

figure, axes = plt.subplots(figsize=(7, 3))
axes.boxplot(list(np.linalg.norm(features_NxVxF, axis=2)), showfliers=False)
axes.set(xlabel="codebook", ylabel="length", title="lengths of the features")
plt.show()

# %% [markdown]
# ## Their angles
#
# The features of a codebook lie in a plane of few dimensions. Two planes at
# random have a small angle in few directions only. Below is the mean squared
# cosine of the principal angles between the planes of two codebooks: 1 is the
# same plane, 0 is orthogonal. The title has the value of planes at random.
#
# Where planes are nearly orthogonal, the codebooks say different things. One
# transformer for all of them gets gradients that disagree. This is why each of
# Siren's experts has only a few codebooks.

# %%
basis_NxFx8 = np.linalg.qr(weight_NxFx8)[0]
cosines_NxNx8x8 = np.einsum("nfi,mfj->nmij", basis_NxFx8, basis_NxFx8)
overlap_NxN = (cosines_NxNx8x8**2).sum((2, 3)) / basis_NxFx8.shape[2]

figure, axes = plt.subplots(figsize=(5, 4))
image = axes.imshow(overlap_NxN, vmin=0, vmax=1, cmap="magma")
by_chance = basis_NxFx8.shape[2] / width
axes.set(
  xlabel="codebook",
  ylabel="codebook",
  title=f"squared cosine (at random: {by_chance:.2f})",
)
figure.colorbar(image)
plt.show()

# %% [markdown]
# ## What the codes say of the words
#
# We make several sounds of each prompt. Then we ask of each codebook alone: can
# a linear classifier tell the prompt from the mean of its features? Each sound
# is classified by a classifier that was fitted to all other sounds.

# %%
audio_BxS = siren.generate(
  PROMPTS, SECONDS, num_samples=SOUNDS, candidates=1, loudness=None
)
codes_BxNxT = siren.encode(audio_BxS)
label_B = np.repeat(np.arange(len(PROMPTS)), SOUNDS)


def probed(features_BxF, label_B, ridge=1.0):
  """Accuracy of a ridge classifier that leaves one sound out at a time."""
  x = (features_BxF - features_BxF.mean(0)) / (features_BxF.std(0) + 1e-6)
  x = np.append(x, np.ones((len(x), 1)), axis=1)
  target = np.eye(label_B.max() + 1)[label_B]
  hat = x @ np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T)
  leverage = np.diag(hat)[:, None]
  left_out = (hat @ target - leverage * target) / (1 - leverage)
  return (left_out.argmax(1) == label_B).mean()


accuracy_N = [
  probed(features_NxVxF[n][codes_BxNxT[:, n]].mean(1), label_B)
  for n in range(codebooks)
]
figure, axes = plt.subplots(figsize=(7, 3))
axes.bar(np.arange(codebooks), accuracy_N)
axes.axhline(1 / len(PROMPTS), color="black", linestyle=":", label="chance")
axes.set(xlabel="codebook", ylabel="accuracy", title="prompt told from codes")
axes.legend()
plt.show()

# %% [markdown]
# ## How errors grow
#
# In training, the model predicts each code from the true coarser codes. This is
# teacher forcing. When it samples, the coarser codes are its own draws. A draw
# that differs from the truth misleads all codebooks below it.
#
# We measure it within single frames. The frames before are true. The question
# is how likely the true code of each codebook is (a) after the true coarser
# codes of the frame, (b) after coarser codes that the model has drawn. The gap
# is the price of sampling. The sounds from above stand in for recordings.

# %%
bundle = siren.bundle
rng = np.random.default_rng(0)
row_B = rng.integers(len(codes_BxNxT), size=FRAMES)
frame_B = rng.integers(1, codes_BxNxT.shape[2], size=FRAMES)
true_BxNxT = codes_BxNxT[row_B]
prompts = [PROMPTS[label] for label in label_B[row_B]]
prompt_BxPxC, prompt_mask_BxP, _ = bundle.clap.encode_text(prompts)
frame_mask_BxT = np.ones((FRAMES, true_BxNxT.shape[2]), bool)
params = bundle.params


@jax.jit
def log_probs(params, codes_BxNxT):
  """Of all codes [B, N, V] in the frame of each row."""
  logits_BxNxTxV = experts.logits(
    params,
    bundle.config,
    codes_BxNxT,
    prompt_BxPxC,
    frame_mask_BxT,
    prompt_mask_BxP,
  )
  logits_BxNxV = logits_BxNxTxV[np.arange(FRAMES), :, frame_B]
  return jax.nn.log_softmax(logits_BxNxV)


def surprise(log_probs_BxNxV, n):
  """Mean of -log p of the true code of codebook n, in nats."""
  true_B = true_BxNxT[np.arange(FRAMES), n, frame_B]
  return -np.mean(np.asarray(log_probs_BxNxV)[np.arange(FRAMES), n, true_B])


forced_BxNxV = log_probs(params, true_BxNxT)
forced_N = [surprise(forced_BxNxV, n) for n in range(codebooks)]

drawn_BxNxT, sampled_N = true_BxNxT.copy(), []
for n in range(codebooks):
  drawn_BxNxV = log_probs(params, drawn_BxNxT)
  sampled_N.append(surprise(drawn_BxNxV, n))
  draw_B = jax.random.categorical(jax.random.key(n), drawn_BxNxV[:, n])
  drawn_BxNxT[np.arange(FRAMES), n, frame_B] = draw_B

figure, axes = plt.subplots(figsize=(7, 3))
axes.plot(forced_N, "o-", label="teacher forced")
axes.plot(sampled_N, "o-", label="after drawn codes")
axes.set(xlabel="codebook", ylabel="nats", title="-log p of the true code")
axes.legend()
plt.show()

# %% [markdown]
# ## Hear it
#
# The same sound, with fewer and fewer of its codebooks kept and the others
# drawn by the model.

# %%
for keep in (codebooks - 1, codebooks // 2, 1):
  print(f"{keep} of {codebooks} codebooks kept")
  varied_S = siren.vary(audio_BxS[0], keep, PROMPTS[0], candidates=1)
  sj.play(varied_S, siren.sample_rate)

# %% [markdown]
# ## What next
#
# - Alignment tunes the coarse experts by the sounds that come out at the end:
#   *Your own sounds* (`your_own_sounds.ipynb`).
# - `docs/design.md` has the model in exact terms.
