#!/usr/bin/env bash
# Runs a command and passes SIGTERM on to it. Exit code 75, "try again", if the
# signal came; a run that saved and stopped would look finished otherwise.
set -uo pipefail

child=
stopped=
pass_on() {
  stopped=75
  if [[ -n $child ]]; then kill -TERM "$child"; fi
}
trap pass_on TERM
"$@" &
child=$!
if [[ -n $stopped ]]; then pass_on; fi
code=0
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  code=$?
done
exit "${stopped:-$code}"
