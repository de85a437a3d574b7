#!/bin/sh
# The main job on the embedded default: circle packing for about a minute, then what was found, checked.
set -eu

folder=${1:-.demo/circle-packing}
if [ ! -d "$folder" ]; then
    mkdir -p "$(dirname "$folder")"
    consilience init "$folder" --from circle-packing
fi
consilience run "$folder" --trials 100000 --wall 60s
printf '\n'
consilience board -p "$folder" --top 5
printf '\n'
consilience verify -p "$folder"
printf '\nTo check it yourself: consilience verify -p %s (with %s on PATH)\n' "$folder" ".venv/bin"
