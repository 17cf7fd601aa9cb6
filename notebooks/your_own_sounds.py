# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own sounds
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/siren-jax/siren-jax/blob/main/notebooks/your_own_sounds.ipynb)
#
# From a folder of recordings to a model that makes sounds like them. The model is small and the training is short: all of it took 20 minutes on two CPU cores that were busy with other work. Every command works in a terminal too: there it is `siren-jax` instead of `%run -m siren_jax`.

# %%
import importlib.metadata
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("siren_jax") is None:
  package = "siren-jax[train] @ git+https://github.com/siren-jax/siren-jax"
  # Colab's JAX matches its GPU, so pip must not replace it.
  kept = [
    f"{package.name}=={package.version}"
    for package in importlib.metadata.distributions()
    if package.name in ("jax", "jaxlib", "numpy")
  ]
  pip = [sys.executable, "-m", "pip", "install", "--quiet", package, *kept]
  subprocess.run(pip, check=True)

# %% [markdown]
# The next cell sets how long to train. The project's tests set `SIREN_NOTEBOOK_SIZE=ci`, which is too little training for useful sounds. For better sounds, increase the numbers of steps. A training command that was stopped resumes from its last checkpoint when its cell is run again.

# %%
import os

SMALL = os.environ.get("SIREN_NOTEBOOK_SIZE") == "ci"
SIZE, ALIGN = ("tiny", "tiny_align") if SMALL else ("nano", "align_nano")
CODEC_STEPS, CLAP_STEPS, EXPERT_STEPS, ALIGN_STEPS = (
  (4, 4, 4, 2) if SMALL else (200, 100, 200, 5)
)
WARM_UP = 1 if SMALL else 20  # learning-rate warm-up steps
SECONDS = 1 if SMALL else 2  # length of a sound

# %% [markdown]
# ## The recordings
#
# Set `RECORDINGS` to your own folder. The captions of `rain.wav` are the lines of `rain.txt` next to it; without a text file, they come from the names of the folder and the file ([supported layouts](https://github.com/siren-jax/siren-jax/blob/main/docs/recordings.md)). If you have no folder, the next cell creates one with synthetic noises, clicks and bursts.

# %%
import pathlib

import siren_jax as sj
from siren_jax.data.synthetic import sounds

RECORDINGS = "my_sounds"
folder = pathlib.Path(RECORDINGS)

if not folder.exists():
  folder.mkdir()
  recordings = sounds.make_set(90 if SMALL else 400, 0, 16_000, SECONDS)
  for i, sound in enumerate(recordings):
    if sound.truth["kind"] in ("noise", "clicks", "bursts"):
      sj.save(sound.audio_S, folder / f"{i}.wav")
      text = "\n".join(sound.captions)
      (folder / f"{i}.txt").write_text(text)

# %% [markdown]
# `prepare-data` reads, resamples and cuts the recordings, and splits them into training and validation sets.

# %%
# %run -m siren_jax prepare-data {RECORDINGS} --seconds {SECONDS} --out runs/audio

# %% [markdown]
# ## Training
#
# Three models are trained: a codec (sound to codes and back), a CLAP (text and sound to a shared embedding space), and the experts, which predict the codes of a sound from text. `watch` plots the loss during training, from the `metrics.csv` that every training run writes.

# %%
import csv
import io
import threading

from IPython import display, get_ipython
from matplotlib.figure import Figure


def curve(workdir, name):
  """PNG of one column of metrics.csv."""
  path = pathlib.Path(workdir) / "metrics.csv"
  lines = path.read_text().splitlines() if path.exists() else []
  rows = csv.DictReader(lines)
  points = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
  figure = Figure(figsize=(6, 2.5), layout="constrained")
  axes = figure.add_subplot(title=workdir, xlabel="step", ylabel=name)
  axes.plot(*zip(*points, strict=True) if points else ([], []))
  png = io.BytesIO()
  figure.savefig(png, format="png")
  return display.Image(png.getvalue())


def watch(workdir, name="train/loss", every=2):
  """Draws the curve every few seconds until the cell ends."""
  picture = display.display(curve(workdir, name), display_id=True)
  ended, events = threading.Event(), get_ipython().events

  def draw():
    while not ended.wait(every):
      picture.update(curve(workdir, name))

  def end(result):
    events.unregister("post_run_cell", end)
    ended.set()
    thread.join()
    picture.update(curve(workdir, name))

  events.register("post_run_cell", end)
  thread = threading.Thread(target=draw, daemon=True)
  thread.start()


# %% [markdown]
# **The codec.** Its loss falls as the decoded sounds get closer to the recordings.

# %%
watch("runs/codec")
# %run -m siren_jax train-codec --config={SIZE}_codec --workdir=runs/codec \
#   --config.data.path=runs/audio --config.train.batch_size=8 \
#   --config.train.steps={CODEC_STEPS} --config.train.log_every=2 \
#   --config.optimizer.warmup_steps={WARM_UP}

# %% [markdown]
# **The CLAP.** The experts use its text tokens, and it chooses among several candidates for a sound. With `teacher=False`, it learns only the words in your captions.

# %%
watch("runs/clap")
# %run -m siren_jax train-clap --config={SIZE}_clap --workdir=runs/clap \
#   --config.data.path=runs/audio --config.data.seconds={SECONDS} \
#   --config.data.teacher=False --config.data.texts=2000 \
#   --config.train.batch_size=8 --config.train.steps={CLAP_STEPS} \
#   --config.train.log_every=2 --config.optimizer.warmup_steps={WARM_UP}

# %% [markdown]
# **The codes.** The codec and CLAP are frozen from here on, so each recording is encoded only once.

# %%
# %run -m siren_jax prepare-data runs/audio --codec runs/codec --clap runs/clap \
#   --seconds {SECONDS} --out runs/codes

# %% [markdown]
# **The experts.** Their loss is the cross-entropy of the next code in nats. A model that knows nothing has ln 1024 = 6.9.

# %%
watch("runs/experts")
# %run -m siren_jax train --config={SIZE} --workdir=runs/experts \
#   --config.data.path=runs/codes --config.train.batch_size=8 \
#   --config.train.steps={EXPERT_STEPS} --config.train.log_every=2 \
#   --config.optimizer.warmup_steps={WARM_UP}

# %% [markdown]
# ## Your model
#
# `export` puts the three models into one folder, a bundle. It can be shared, and `sj.load` reads it.

# %%
# %run -m siren_jax export --experts runs/experts --name mine \
#   --max-seconds {SECONDS} --out mine

# %%
siren = sj.load("mine")
siren

# %%
from siren_jax.data.sets import reader

records = reader.texts("runs/audio", "train", "captions")
prompts = [record["captions"][0] for record in records[:3]]
for sound in siren.sounds(prompts, seconds=SECONDS):
  sj.show(sound)
  sj.play(sound)

# %% [markdown]
# ## Alignment
#
# The second stage tunes the coarsest expert by reinforcement learning: it draws several sounds for each prompt, and those that the CLAP scores closest to their prompts are made more likely. The curve is the mean reward of the sounds. With so few steps, this shows how alignment is run, not what it gains; for that, see [the results of longer runs](https://github.com/siren-jax/siren-jax/blob/main/docs/alignment.md).

# %%
watch("runs/align", "train/reward")
# %run -m siren_jax align --config={ALIGN} --workdir=runs/align \
#   --config.data.start=mine --config.data.path=runs/audio \
#   --config.data.synthetic=0 --config.alignment.seconds=1.0 \
#   --config.alignment.rewards="('clap','contrast')" \
#   --config.alignment.weights="(0.5,1.0)" --config.train.batch_size=4 \
#   --config.train.steps={ALIGN_STEPS} --config.train.eval_batches=1 \
#   --config.optimizer.warmup_steps=1

# %%
aligned = sj.load(f"runs/align/bundle-{ALIGN_STEPS}")
for sound in aligned.sounds(prompts, seconds=SECONDS):
  sj.show(sound)
  sj.play(sound)

# %% [markdown]
# ## Next
#
# - More steps, and a larger config (`--config=small`): [how the built-in model was trained](https://github.com/siren-jax/siren-jax/blob/main/docs/training.md).
# - What the codes hold: `inside_a_residual_codec`.
