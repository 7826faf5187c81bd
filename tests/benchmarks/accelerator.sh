#!/usr/bin/env bash
# What needs a GPU: a LoRA step and sampler passes of a random Wan2.1 I2V-14B beside the plan's forecast, and
# the workbook's own paths on cuda. The most valuable row first; a kill at any time leaves what was measured.
#
#   tests/benchmarks/accelerator.sh FOLDER [SECONDS]             on a GPU: FOLDER/accelerator.json
#   tests/benchmarks/accelerator.sh FOLDER 600 --tiny            the rehearsal, on a CPU
set -uo pipefail
out=${1:?folder of the results} seconds=${2:-150}
shift $(($# > 1 ? 2 : 1))
cd "$(dirname "$0")/../.."
mkdir -p "$out"
metadata=$(mktemp -d)  # cinelib asks for its version, and need not be installed there
trap 'rm -rf "$metadata"' EXIT
mkdir "$metadata/cinelib.dist-info"
printf 'Metadata-Version: 2.1\nName: cinelib\nVersion: %s\n' \
    "$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" >"$metadata/cinelib.dist-info/METADATA"
export PYTHONPATH="$PWD:$PWD/data/recipes${PYTHONPATH:+:$PYTHONPATH}:$metadata" PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
export HF_HUB_OFFLINE=1 DIFFUSERS_VERBOSITY=error TRANSFORMERS_VERBOSITY=error
cp tests/benchmarks/results/accelerator_plan.json "$out/"  # before the first number
timeout -k 5 "$seconds" "${PYTHON:-python3}" tests/benchmarks/accelerator.py --out "$out" \
    --seconds "$seconds" "$@" 2>&1 | tee "$out/accelerator.log"
