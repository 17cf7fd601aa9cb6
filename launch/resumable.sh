#!/usr/bin/env bash
# Runs a command and passes SIGTERM on to it. Exit code 75, "try again", if the
# signal came; a run that saved and stopped would look finished otherwise.
set -uo pipefail

stopped=
trap 'stopped=75; kill -TERM "$child"' TERM
"$@" &
child=$!
code=0
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  code=$?
done
exit "${stopped:-$code}"
