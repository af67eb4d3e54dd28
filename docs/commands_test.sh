#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs what a page of documentation tells people to run. Usage: commands_test.sh <page.md> <repository> <programs' folder>
#
# Blocks marked `sh` are run from top to bottom in one shell in an empty home; a line ending in `# exits N` must do so, every
# other one must succeed. Only budgets are shortened, `tune` installs though other tests run beside it, and of ./dev it is checked
# that the job exists (CI runs the jobs themselves).
# Blocks marked `cpp` or `c` that have a main are compiled; those marked otherwise are looked at by nobody.
set -euo pipefail
page=$1 repository=$2 programs=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home"
cd "$work/home"

# Each block to a file of its own, named by language and order.
awk -v work="$work" '
  /^```/ { if (open) { open = 0; close(file) } else { language = substr($0, 4); open = 1; file = work "/" language "." ++n } next }
  open && (language == "sh" || language == "cpp" || language == "c") { print > file }' "$page"

{
  cat <<'END'
dev() { grep -q "./dev $1" "$repository/dev" || { echo "./dev has no job $1"; exit 1; }; }
exits() { local wanted=$1 got=0; shift; "$@" || got=$?; [ $got -eq "$wanted" ] || { echo "exit $got instead of $wanted"; exit 1; }; }
END
  for block in $(find "$work" -name 'sh.*' | sort -t. -k2 -n); do cat "$block"; echo; done |
    sed -E 's/--budget [0-9a-z]+/--budget 2s/; s/^metallic tune /&--force /; s/^\.\/dev /dev /; s/^([^#]*[^# ]) +# exits ([0-9]+).*/exits \2 env \1/; s/^(build\/[a-z]+\/)//'
} > "$work/commands"
if grep -qv '^#' "$work/commands"; then
  PATH="$programs:$PATH" HOME="$work/home" XDG_DATA_HOME="$work/home/data" METALLIC_NUM_THREADS=2 repository="$repository" \
    bash -eux "$work/commands" > "$work/log" 2>&1 || { tail -40 "$work/log"; exit 1; }
fi
for block in $(find "$work" -name 'cpp.*' -o -name 'c.*'); do
  grep -q 'int main' "$block" || continue
  language=c++ standard=c++17
  case "$block" in *"/c."*) language=c standard=c11 ;; esac
  cc -x $language -std=$standard -Wall -Wextra -Werror -fsyntax-only -I "$repository/include" "$block"
done
