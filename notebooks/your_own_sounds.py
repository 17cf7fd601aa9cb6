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
# # Your own sounds
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/siren-jax/blob/main/notebooks/your_own_sounds.ipynb)
#
# In this notebook you train a model on a folder of recordings. It starts from
# the model that comes with the package, so that minutes are enough. Then you
# align it by reinforcement learning. Every step is one command of `siren-jax`
# and works the same in a terminal.

# %% [markdown]
# ## Install
#
# This cell does nothing if Siren-JAX is already installed.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("siren_jax") is None:
  source = "siren-jax[train] @ git+https://github.com/OWNER/siren-jax"
  pip = [sys.executable, "-m", "pip", "install", "--quiet", source]
  subprocess.run(pip, check=True)

# %% [markdown]
# ## Sizes
#
# `FOLDER` is your folder of recordings. Leave it empty to use made-up sounds:
# tones, beeps, sweeps and noise. Some hundred steps of training are a start; a
# loss that still falls says that more would help.

# %% tags=["parameters"]
FOLDER = ""  # such as "my_sounds"
RECORDINGS = 40  # made-up ones, where there is no folder
SECONDS = 5.0  # length of a sound
TRAIN_STEPS = 300
ALIGN_STEPS = 20
BATCH_SIZE = 16
RUNS = "runs"  # folder for all that is written

# %% [markdown]
# ## The recordings
#
# A recording is a sound file. Its caption stands in a text file beside it
# (`beep.wav`, `beep.txt`). Without one, the caption comes from the names of
# folder and file: `dog bark/small terrier.wav` is "dog bark, small terrier".

# %%
import pathlib

import siren_jax as sj
from siren_jax.data.synthetic import sounds

siren = sj.load()
runs = pathlib.Path(RUNS)
folder = pathlib.Path(FOLDER or runs / "recordings")
if not FOLDER:
  folder.mkdir(parents=True, exist_ok=True)
  for number in range(RECORDINGS):
    sound = sounds.make(number, siren.sample_rate, SECONDS)
    siren.save(sound.audio_S, folder / f"{number}.wav")
    (folder / f"{number}.txt").write_text("\n".join(sound.captions))

# %% [markdown]
# Listen to a few, with their captions.

# %%
from siren_jax.audio.sound_files import read_audio

for path in sorted(folder.rglob("*.wav"))[:3]:
  audio_S, notes = read_audio(path, siren.sample_rate)
  captions = path.with_suffix(".txt")
  print(captions.read_text() if captions.exists() else path.stem)
  sj.play(audio_S, siren.sample_rate)

# %% [markdown]
# ## How commands are run
#
# `run("train ...")` is `siren-jax train ...`. While a command trains, its loss
# is drawn from `metrics.csv` in its work directory. If a command fails, the
# cell fails with its message. An interrupted training continues when you run
# its cell again.

# %%
import csv
import os
import time

from IPython.display import display
from matplotlib import pyplot as plt

# This notebook and the commands share one GPU.
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def run(command, metric=None):
  """Runs a command of siren-jax, and draws a metric of training as it goes."""
  words = command.split()
  log = runs / "log.txt"
  with log.open("w") as file:
    process = subprocess.Popen(
      [sys.executable, "-m", "siren_jax", *words], stdout=file, stderr=file
    )
  if metric:
    (workdir,) = [w[10:] for w in words if w.startswith("--workdir=")]
    curve = display(plot(workdir, metric), display_id=True)
    while process.poll() is None:
      time.sleep(2)
      curve.update(plot(workdir, metric))
  failed = process.wait()
  lines = log.read_text().splitlines()
  if failed:
    raise RuntimeError("\n".join(lines[-6:]))
  if metric:
    curve.update(plot(workdir, metric))
  print("\n".join(lines[-6:]))


def plot(workdir, metric):
  """A figure of a metric: on training batches, and on held-out ones."""
  path = pathlib.Path(workdir) / "metrics.csv"
  rows = list(csv.DictReader(path.open())) if path.exists() else []
  figure, axes = plt.subplots(figsize=(7, 3))
  axes.set(xlabel="step", ylabel=metric)
  for part, style in (("train", "-"), ("eval", "o")):
    name = f"{part}/{metric}"
    points = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
    steps, values = zip(*points) if points else ((), ())
    axes.plot(steps, values, style, label=part)
  axes.legend()
  plt.close(figure)
  return figure


# %% [markdown]
# ## Recordings to codes
#
# First the recordings become an audio set: cut to length, resampled, with
# captions, split into training and validation. Then the codec and the text
# encoder of the model turn sounds into codes and captions into prompt tokens.

# %%
model = siren.bundle.name
length = f"--seconds {SECONDS}"
run(f"prepare-data {folder} --out {runs}/audio {length} --overwrite")
run(
  f"prepare-data {runs}/audio --codec {model} --clap {model}"
  f" --out {runs}/codes {length} --overwrite"
)

# %% [markdown]
# ## Train
#
# Six small transformers learn to predict the codes. They start from those of
# the model (`data.start`), with a low learning rate, so that they keep what
# they know. The loss is the cross-entropy of a code, in nats.

# %%
run(
  f"train --config=nano --workdir={runs}/experts"
  f" --config.data.path={runs}/codes --config.data.start={model}"
  f" --config.train.steps={TRAIN_STEPS}"
  f" --config.train.batch_size={BATCH_SIZE}"
  f" --config.train.log_every={max(1, TRAIN_STEPS // 30)}"
  f" --config.train.eval_every={max(1, TRAIN_STEPS // 6)}"
  " --config.optimizer.learning_rate=5e-4"
  f" --config.optimizer.warmup_steps={TRAIN_STEPS // 10}",
  metric="loss",
)

# %% [markdown]
# The line of the held-out recordings matters. When it rises while the other
# one falls, the model learns your recordings by heart: stop earlier, or bring
# more recordings.
#
# ## A bundle
#
# A bundle is a folder with all that makes sounds: experts, codec, text encoder
# and sampling settings. It is what you keep and share.

# %%
run(f"export --experts {runs}/experts --name mine --out {runs}/mine")

# %% [markdown]
# Listen to the same caption before and after.

# %%
captions = [path.read_text() for path in sorted(folder.rglob("*.txt"))]
caption = (captions or ["a sound of mine"])[0].splitlines()[0]
mine = sj.load(f"{runs}/mine")
for name, each in (("before", siren), ("after", mine)):
  print(f"{name}: {caption}")
  sj.play(each.generate(caption, SECONDS), each.sample_rate)

# %% [markdown]
# ## Align
#
# Training makes the codes of recordings likely. It does not listen. Alignment
# draws several sounds for each caption, rates them (does the sound fit the
# words? is it unlike the others?), and makes the codes of the better ones
# likelier. The coarsest expert is tuned, the others stay.

# %%
run(
  f"align --config=align_nano --workdir={runs}/align --name mine-aligned"
  f" --config.data.start={runs}/mine --config.data.path={runs}/audio"
  f" --config.alignment.seconds={min(SECONDS, 1.25)}"
  f" --config.train.steps={ALIGN_STEPS}"
  f" --config.train.batch_size={max(1, BATCH_SIZE // 2)}"
  f" --config.train.eval_every={max(1, ALIGN_STEPS // 4)}"
  " --config.train.eval_batches=1"
  f" --config.optimizer.warmup_steps={ALIGN_STEPS // 10}",
  metric="reward",
)

# %%
aligned = sj.load(f"{runs}/align/bundle-{ALIGN_STEPS}")
sj.play(aligned.generate(caption, SECONDS), aligned.sample_rate)
aligned

# %% [markdown]
# ## What next
#
# - `siren-jax generate "..." --model runs/mine` makes sounds in a terminal.
# - More recordings help most, then more steps.
# - `siren-jax evaluate` compares sounds with recordings.
# - `docs/alignment.md` lists the rewards. You can write your own.
