#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Adding an operation is adding a folder: a program that has one more sees it in labels, list, explain, validate, bench, tune and
# regret. Usage: test.sh <program>
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work XDG_DATA_HOME=$work/data METALLIC_NUM_THREADS=2

# expect <text> <argument>...: what the program prints must contain the text.
expect() {
  local text=$1
  shift
  "$program" "$@" > "$work/out" 2> "$work/err" || { cat "$work/out" "$work/err"; echo "failed: metallic $*"; exit 1; }
  grep -qF -- "$text" "$work/out" || { cat "$work/out"; echo "metallic $* does not print: $text"; exit 1; }
}
refuse() {
  local text=$1
  shift
  ! "$program" "$@" > "$work/out" 2> "$work/err" || { echo "metallic $* should fail"; exit 1; }
  grep -qF -- "$text" "$work/err" || { cat "$work/err"; echo "metallic $* does not say: $text"; exit 1; }
}

expect "cpu_backward" list --op scale
expect "scale" list
refuse "scale4x64" explain scale4y64
refuse "softmax, matmul, sdpa or scale" list --op nothing
expect "cpu_backward" explain scale scale4x64
METALLIC_SCALE_VARIANT=cpu_forward expect "cpu_forward" explain scale4x64
METALLIC_DETERMINISM=batch_invariant expect "cpu_" explain scale4x64
expect "METALLIC_SCALE_VARIANT" env
expect "scale" validate --quick --op scale
expect "cpu_forward" bench --shapes scale8x64..4096 --budget 2s --format csv
expect "scale" tune --shapes scale8x64..4096 --budget 3s --force --output-dir "$work/tuned"
test -s "$work/tuned/report.html"
grep -q '"op": "scale"' "$work/tuned/profile.json"
expect "user" explain scale8x100
expect "cpu_" regret --samples "$work/tuned/samples.csv" --profile "$work/tuned/profile.json" --json
