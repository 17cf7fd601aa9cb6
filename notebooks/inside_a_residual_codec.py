# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inside a residual codec
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/siren-jax/siren-jax/blob/main/notebooks/inside_a_residual_codec.ipynb)
#
# This residual codec has twelve layers, and each one encodes the residual that the layers before it left. Siren predicts these codes from text. This notebook looks at the features of the layers, what each layer adds to the sound, how its codes depend on the text, and how errors grow while a sound is generated.
#
# All figures are our own measurements on the small built-in model and on a few synthetic sounds. They show how this model behaves and prove nothing about larger models.

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
# The next cell sets how much is measured. The project's tests set `SIREN_NOTEBOOK_SIZE=ci` to measure less.

# %%
import os

SMALL = os.environ.get("SIREN_NOTEBOOK_SIZE") == "ci"
SOUNDS, SECONDS = (4, 2) if SMALL else (24, 5)
DEPTHS = (1, 12) if SMALL else (1, 2, 4, 8, 12)

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import siren_jax as sj
from siren_jax import codec, experts, sampling
from siren_jax.audio import spectrogram
from siren_jax.data.synthetic import sounds
from siren_jax.evaluation import reconstruction

bundle = sj.load().bundle
layers = bundle.config.num_codebooks
rate = bundle.codec.config.sample_rate

# Captioned sounds, generated with a seed that was not used in training.
examples = list(sounds.make_set(SOUNDS, 4321, rate, SECONDS))
audio_BxS = np.stack([example.audio_S for example in examples])
captions = [example.captions[0] for example in examples]
codes_BxNxT = bundle.codec.encode(audio_BxS)
print(codes_BxNxT.shape, "sounds, layers, frames;", captions[:3])

# %% [markdown]
# ## The features of the layers
#
# Code `c` of layer `n` stands for the feature `W_n · codebook_n[c] + b_n`. The decoder receives the sum of twelve features, one from each layer.

# %%
tables = codec.embedding_tables(bundle.codec.params)
features_NxVxF = np.asarray(
  jnp.einsum("nfe,nve->nvf", tables["weight_NxFx8"], tables["codebook_NxVx8"])
  + tables["bias_NxF"][:, None]
)
numbers_N = np.arange(layers)
codes = np.asarray(codes_BxNxT)
# The features that the sounds use, [B, N, T, F].
used = features_NxVxF[numbers_N[None, :, None], codes]
norms_BxNxT = np.linalg.norm(used, axis=-1)

fig, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.boxplot(
  list(norms_BxNxT.swapaxes(0, 1).reshape(layers, -1)),
  positions=numbers_N,
  showfliers=False,
)
axes.set(xlabel="layer", ylabel="norm of the feature", ylim=(0, None))
plt.show()

# %% [markdown]
# *Norms of the features that the sounds use (our measurement).* The first layer carries by far the largest feature, and deeper layers make smaller and smaller corrections. This is what residual coding means.

# %%
unit = used / np.maximum(norms_BxNxT, 1e-9)[..., None]
cosine_NxN = np.einsum("bntf,bmtf->nm", unit, unit) / (
  unit.shape[0] * unit.shape[2]
)
fig, axes = plt.subplots(figsize=(4.5, 4), layout="constrained")
image = axes.imshow(
  np.degrees(np.arccos(np.clip(cosine_NxN, -1, 1))),
  cmap="coolwarm",
  vmin=0,
  vmax=180,
)
axes.set(xlabel="layer", ylabel="layer", xticks=numbers_N, yticks=numbers_N)
fig.colorbar(image, label="angle in degrees")
plt.show()
off_diagonal = np.abs(cosine_NxN[~np.eye(layers, dtype=bool)])
print(f"mean |cosine| of two layers: {off_diagonal.mean():.3f}")

# %% [markdown]
# *Angles between the features of two layers in the same frame, from the mean cosine (our measurement).* All of them are close to 90 degrees. The paper argues that the gradients of such layers conflict in one shared transformer, and gives each pair of consecutive layers its own transformer.

# %% [markdown]
# ## What each layer adds to the sound

# %%
net = codec.model.module(bundle.codec.config)


@jax.jit
def latents(params, audio_BxS):
  """The codec encoder's output for audio, before quantization."""
  return net.apply(
    {"params": params}, audio_BxS, method=lambda net, audio: net.encoder(audio)
  )


latents_BxTxF = np.asarray(latents(bundle.codec.params, audio_BxS))
sums = np.cumsum(used, axis=1)
left_BxNxTxF = latents_BxTxF[:, None] - sums
left_N = (left_BxNxTxF**2).sum((0, 2, 3)) / (latents_BxTxF**2).sum()

decode = jax.jit(codec.decode, static_argnums=1)
decoded = {
  depth: np.asarray(
    decode(bundle.codec.params, bundle.codec.config, codes_BxNxT[:, :depth])
  )[:, : audio_BxS.shape[1]]
  for depth in DEPTHS
}
mel = [
  reconstruction.mel_distance(audio_BxS, decoded[depth], rate).mean()
  for depth in DEPTHS
]

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
axes[0].semilogy(numbers_N + 1, left_N, marker="o")
axes[0].set(xlabel="layers", ylabel="residual energy")
axes[1].plot(DEPTHS, mel, marker="o")
axes[1].set(xlabel="layers", ylabel="mel distance")
plt.show()

# %% [markdown]
# *Residual energy of the latents after a given number of layers, and the distance between the decoded sound and the original (our measurement).* The first layer removes more than half of the energy, and every later one between a tenth and a quarter of what is left. The distance does not go to zero, because this decoder shapes noise and does not reconstruct the waveform.

# %%
fig, axes = plt.subplots(
  1, len(DEPTHS) + 1, figsize=(2.2 * len(DEPTHS) + 2.2, 2.5),
  layout="constrained", sharey=True,
)  # fmt: skip
for axis, (name, sound_S) in zip(
  axes,
  [(captions[0], audio_BxS[0])]
  + [(f"layers: {depth}", decoded[depth][0]) for depth in DEPTHS],
  strict=True,
):
  spectrogram.draw(axis, sound_S, rate)
  axis.set_title(name, fontsize="small", wrap=True)
plt.show()
for depth in DEPTHS:
  sj.play(decoded[depth][0], rate)

# %% [markdown]
# *One sound, and its reconstructions from the first layers (our measurement).* One layer gives the rough location in time and frequency. The others sharpen it.

# %% [markdown]
# ## How the codes depend on the text
#
# The cross-entropy of the codes is computed three times: with the correct captions, with those of another sound, and without text. Where the text matters, the wrong caption increases the loss.

# %%
execution = bundle.execution
expert_params = bundle.all_params["experts"]
prompt_BxPxC, mask_BxP, _ = bundle.clap.encode_text(captions)
prompt_BxPxC, mask_BxP = jnp.asarray(prompt_BxPxC), jnp.asarray(mask_BxP)


@jax.jit
def losses(params, prompt_BxPxC, mask_BxP):
  """Cross-entropy of every layer's codes [N], in nats."""
  frame_mask = jnp.ones((len(codes_BxNxT), codes_BxNxT.shape[2]), bool)
  _, metrics = experts.loss(
    params, bundle.config, codes_BxNxT, prompt_BxPxC, frame_mask, mask_BxP,
    execution=execution,
  )  # fmt: skip
  return jnp.stack([metrics[f"ce_codebook_{n}"] for n in range(layers)])


right_N = losses(expert_params, prompt_BxPxC, mask_BxP)
swapped_N = losses(
  expert_params, jnp.roll(prompt_BxPxC, 1, 0), jnp.roll(mask_BxP, 1, 0)
)
null_N = losses(expert_params, *experts.null_prompt(prompt_BxPxC, mask_BxP))

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for values_N, label in (
  (right_N, "right"),
  (swapped_N, "swapped"),
  (null_N, "none"),
):
  axes[0].plot(numbers_N, values_N, marker="o", label=label)
axes[0].axhline(np.log(bundle.config.codebook_size), color="gray", ls=":")
axes[0].set(xlabel="layer", ylabel="cross-entropy in nats")
axes[0].legend(title="words")
axes[1].bar(numbers_N, swapped_N - right_N)
axes[1].set(xlabel="layer", ylabel="cost of swapped words in nats")
plt.show()

# %% [markdown]
# *Cross-entropy by layer (dotted: guessing), and what swapped words cost (our measurement).* Codes of deeper layers are harder to predict; wrong words cost most in the second layer, and hardly anything from the seventh on. Without words, the loss is hardly higher than with the right ones, because the preceding ground-truth frames already show what kind of sound it is.

# %% [markdown]
# ## How errors grow while a sound is generated
#
# In training, every frame is predicted from the true frames before it (teacher forcing). In sampling, it is predicted from frames that the model generated itself. Here, both are compared with the original sound: the first quarter of each sound is given and the part after it is generated. The last fifth is left out, because most of these sounds have ended by then. A sound that departs from the original may still be a good one: this measures distance, not quality.

# %%
given, frames = codes.shape[2] // 4, codes.shape[2] * 4 // 5
true_BxNxT = codes[..., :frames]
method = sampling.SamplingConfig()  # temperature 1, no guidance
keys_B = jax.random.split(jax.random.key(0), SOUNDS)

# Teacher-forced: every code is drawn given the true codes before it.
teacher_forced = jax.jit(
  functools.partial(experts.logits, config=bundle.config, execution=execution)
)(
  expert_params,
  codes_BxNxT=true_BxNxT,
  prompt_BxPxC=prompt_BxPxC,
  frame_mask_BxT=jnp.ones((SOUNDS, frames), bool),
  prompt_mask_BxP=mask_BxP,
)
forced = np.asarray(jax.random.categorical(jax.random.key(1), teacher_forced))

# Free running: the sampler continues from the given frames.
weights = sampling.prepare_weights(expert_params, bundle.config, execution)
prompted = sampling.prepare(weights, method, prompt_BxPxC, mask_BxP)
state = sampling.start(prompted, capacity=frames)
state = sampling.prefill(prompted, state, true_BxNxT[..., :given])
_, drawn = sampling.advance(prompted, state, keys_B, num_frames=frames - given)
free = np.concatenate([true_BxNxT[..., :given], drawn.codes_BxNxT], 2)


# %%
def features(codes_BxNxT):
  """Sum of the features of all layers, [B, T, F]."""
  return features_NxVxF[numbers_N[None, :, None], codes_BxNxT].sum(1)


def error(codes_BxNxT):
  """Squared error [T] of the features, over the energy of the true ones."""
  true = features(true_BxNxT)
  wrong = ((features(codes_BxNxT) - true) ** 2).sum((0, 2))
  return (wrong / (true**2).sum((0, 2)).mean())[given:]


others = np.roll(true_BxNxT, 1, 0)
seconds_T = np.arange(frames - given) / bundle.codec.config.frame_rate
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for what, label in (
  (forced, "teacher-forced"),
  (free, "free running"),
  (others, "another sound"),
):
  axes[0].plot(seconds_T, error(what), label=label)
axes[0].set(xlabel="seconds after the given part", ylabel="error of features")
axes[0].set_ylim(0, None)
axes[0].legend()
for what, label in ((forced, "teacher-forced"), (free, "free running")):
  same_N = (what == true_BxNxT)[..., given:].mean((0, 2))
  axes[1].plot(numbers_N, 100 * same_N, marker="o", label=label)
axes[1].set(xlabel="layer", ylabel="codes equal to the original, %")
plt.show()

# %% [markdown]
# *Distance from the original over time, and share of codes equal to the original by layer (our measurement).* Teacher-forced errors stay constant; free-running errors start at the same level, and within about a second and a half they rise most of the way to the distance of an unrelated sound. At every layer, fewer codes equal the original when the model continues from its own codes, and the share falls with depth.
