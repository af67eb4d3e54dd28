#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is installed works for a stranger: the tree is moved after its installation, and programs are built against it that see
# nothing of the sources. Usage: test.sh <tree> <check> [argument...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 check=$2
shift 2

fail() { echo "$*"; exit 1; }
# Says what a command printed only where it fails.
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }; }
# configure <source> <cmake> <c++> [option...]
configure() {
  local source=$1 cmake=$2 cxx=$3
  shift 3
  "$cmake" -G Ninja -S "$source" -B "$work/build" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$tree" "$@"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lib=$(dirname "$(find "$tree" -name libmetallic.so -print -quit 2>/dev/null)")

# <build folder> <cmake>
check_tree() {
  rm -rf "$tree"
  quietly "$2" --install "$1" --prefix "$work/first"
  mv "$work/first" "$tree"
  for file in bin/metallic include/metallic/metallic.h include/metallic/metallic.hpp; do
    [ -e "$tree/$file" ] || fail "$file is not installed"
  done
  # Nothing may name the place where it was built or first installed.
  ! grep -rlF -e "$work/first" -e "$1" --include='*.cmake' --include='*.pc' --include='metallic.*' "$tree" || fail "files name other places"
  for component in library development program; do
    quietly "$2" --install "$1" --prefix "$work/parts" --component $component
  done
  diff <(cd "$tree" && find . | sort) <(cd "$work/parts" && find . | sort) || fail "the components are not the whole"
}

check_exports() {
  nm -D --defined-only "$lib/libmetallic.so" | sed 's/@.*//' | awk '$2 != "A" {print $3}' | sort > "$work/exported"
  sed -n 's/^METALLIC_API.*[ *]\(metallic_[a-z_]*\)(.*/\1/p' "$tree/include/metallic/metallic.h" | sort > "$work/declared"
  [ -s "$work/declared" ] || fail "found no declarations"
  diff "$work/declared" "$work/exported" || fail "exported (>) is not what is declared (<)"
  for binary in "$lib/libmetallic.so" "$tree/bin/metallic"; do
    ! ldd -r "$binary" 2>&1 | grep -E 'not found|undefined symbol' || fail "$binary lacks what is said above"
  done
  [ "$(readlink "$lib/libmetallic.so")" != "" ] || fail "libmetallic.so is no link to its version"
  readelf -d "$lib/libmetallic.so" | grep -q 'SONAME.*\[libmetallic\.so\.[0-9]*\]' || fail "no soname"
}

# <version>
check_program() {
  "$tree/bin/metallic" --version | grep -q "^metallic $1," || fail "metallic --version does not say $1"
  for command in $("$tree/bin/metallic" complete -- ""); do
    "$tree/bin/metallic" "$command" --help | grep -q "^Example: metallic $command " || fail "$command --help has no example"
  done
  METALLIC_PROFILE=none "$tree/bin/metallic" explain softmax rows64_seqk256 | grep -q 'runs *cpu_' || fail "explain chose nothing"
}

# completes <words before>... <begun word> <expected words>: what bash offers, as its completion package would ask.
completes() {
  local expected=${!#}
  COMP_WORDS=(metallic "${@:1:$#-1}")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _metallic metallic
  [ "${COMPREPLY[*]}" = "$expected" ] || fail "metallic ${*:1:$#-1}: bash offers '${COMPREPLY[*]}', not '$expected'"
}

check_completion() {
  PATH=$tree/bin:$PATH
  # shellcheck disable=SC1091
  . "$tree/share/bash-completion/completions/metallic"
  complete -p metallic | grep -q -- '-F _metallic' || fail "bash has no completion for metallic"
  completes exp "explain"
  completes re "regret report"
  completes tune --op so "softmax"
  completes tune --op = so "softmax"
  completes tune --op = "softmax matmul sdpa"
  completes tune --dtype f32 b "bf16"
  completes tune --model "" "$(metallic models | tr '\n' ' ' | sed 's/ $//')"
  completes tune --model x --bu "--budget"
  completes bench --format "" "table md csv json"
  completes bench --json --j ""
  completes explain "" "softmax matmul sdpa"
  completes explain softmax rows1_seqk2 --variant cpu_blo "cpu_block"
  completes apply "" ""
  completes completion z "zsh"
  completes nonsense "" ""
  # zsh and fish do not cut words at =.
  [ "$(metallic complete -- tune --op=so)" = --op=softmax ] || fail "--op=so is not completed"
  diff <(metallic completion bash) "$tree/share/bash-completion/completions/metallic"
  diff <(metallic completion zsh) "$tree/share/zsh/site-functions/_metallic"
  diff <(metallic completion fish) "$tree/share/fish/vendor_completions.d/metallic.fish"
}

# <standard> <compiler>
check_pkgconfig() {
  export PKG_CONFIG_PATH=$lib/pkgconfig
  # shellcheck disable=SC2046  # the flags are words
  quietly "$2" -std="$1" -Wall -Wextra -pedantic -Werror "$here/consumer.c" -o "$work/consumer" $(pkg-config --cflags --libs metallic) -lm
  LD_LIBRARY_PATH=$lib "$work/consumer" "$(pkg-config --modversion metallic)"
}

# <standard> <cmake> <c++>
check_find_package() {
  cp "$here/consumer.cc" "$work"
  cat > "$work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(metallic REQUIRED)
add_executable(consumer consumer.cc)
target_link_libraries(consumer metallic::metallic)
END
  quietly configure "$work" "$2" "$3" -DCMAKE_CXX_STANDARD="$1" -DCMAKE_CXX_STANDARD_REQUIRED=ON -DCMAKE_CXX_EXTENSIONS=OFF
  quietly "$2" --build "$work/build"
  "$work/build/consumer" "$1"
}

# <version> <cmake> <c++>: the package is found for this version, not for one to come.
check_versions() {
  printf 'cmake_minimum_required(VERSION 3.25)\nproject(versions LANGUAGES CXX)\nfind_package(metallic ${WANTED} REQUIRED)\n' > "$work/CMakeLists.txt"
  quietly configure "$work" "$2" "$3" -DWANTED="$1"
  ! configure "$work" "$2" "$3" -DWANTED="$((${1%%.*} + 1)).0" > "$work/log" 2>&1 || fail "a later version was found"
  grep -q "version: $1" "$work/log" || { cat "$work/log"; fail "the refusal does not name version $1"; }
}

# <name> <cmake> <c++>: an example of the repository builds outside of it.
check_example() {
  cp -r "$here/../../examples/$1" "$work/source"
  quietly configure "$work/source" "$2" "$3" -DCMAKE_BUILD_TYPE=Release
  quietly "$2" --build "$work/build"
  METALLIC_PROFILE=none METALLIC_NUM_THREADS=1 "$work/build/$1"
}

# <cmake> <c++>: a project around the repository sees the same target; configured only, since all of it would be compiled again.
check_add_subdirectory() {
  cp "$here/consumer.cc" "$work"
  cat > "$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(around LANGUAGES C CXX)
add_subdirectory($here/../.. metallic EXCLUDE_FROM_ALL)
add_executable(consumer consumer.cc)
target_link_libraries(consumer metallic::metallic)
END
  quietly configure "$work" "$1" "$2"
  "$1" --build "$work/build" -- -t inputs consumer > "$work/steps"
  grep -q 'libmetallic\.so' "$work/steps" || fail "the library is not part of the program"
  ! grep -qE '_test|_bench' "$work/steps" || fail "tests or benchmarks are part of the program"
}

# <cmake> <c++>: an engine builds and links the library where only its own few packages can be found.
check_engine() {
  cp "$here/consumer.cc" "$work"
  cat > "$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(engine LANGUAGES C CXX)
add_subdirectory($here/../.. metallic EXCLUDE_FROM_ALL)
add_executable(consumer consumer.cc)
target_link_libraries(consumer metallic::metallic)
END
  local hidden=()
  for package in GTest benchmark Boost CLI11 spdlog CUDAToolkit; do hidden+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done
  quietly configure "$work" "$1" "$2" "${hidden[@]}" -DONEDNN_INCLUDE= \
    -DMETALLIC_CUDA=OFF -DCMAKE_BUILD_TYPE=Debug
  quietly "$1" --build "$work/build" --target consumer
  METALLIC_NUM_THREADS=1 "$work/build/consumer" 17
}

"check_$check" "$@"
