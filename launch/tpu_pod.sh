#!/usr/bin/env bash
# Runs one command of siren-jax on every host of a TPU slice.
#
#   TPU=my-slice ZONE=us-west4-a launch/tpu_pod.sh train \
#     --config=configs/siren_1_6b.py --workdir=/shared/runs/siren \
#     --config.data.path=/shared/codes --config.mesh.expert=2
#
# On every host there is a checkout with a virtual environment at $CHECKOUT
# (pip install -e '.[train,tpu]'), and the work directory is on a file system that
# all of them share (Filestore, gcsfuse). JAX finds the hosts by itself. When
# one fails, all stop; the same command goes on from the last checkpoint.
set -euo pipefail
: "${TPU:?name of the TPU slice}" "${ZONE:?its zone}"
checkout=${CHECKOUT:-siren-jax}

command=$(printf '%q ' siren-jax "$@" --distributed)
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
  --command="cd $checkout && . .venv/bin/activate && exec $command"
