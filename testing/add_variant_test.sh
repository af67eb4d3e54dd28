#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Adding a variant is adding a file: one more cpu_*.cc beside those of softmax is in the generated table, with nothing else
# touched. Usage: add_variant_test.sh <repository> <include root>... -- <library>...  (the roots and libraries that kernels need)
set -eu
repository=$1
shift
roots=
while [ "$1" != -- ]; do roots="$roots $1"; shift; done
shift
libraries=$(IFS=';'; echo "$*")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The reference alone stands for the operation's files, so that little is compiled.
mkdir -p "$work/src/ops/softmax"
cp "$repository/src/ops/softmax/contract.h" "$repository/src/ops/softmax/shape.h" "$repository/src/ops/softmax/cpu_reference.cc" \
  "$work/src/ops/softmax/"
cat > "$work/main.cc" <<'END'
#include <cstdio>
#include <span>

#include "ops/operation.h"
#include "ops/softmax/shape.h"

namespace metallic {
std::span<const Variant> softmax_variants();
constinit const Operation softmax_operation{};
std::span<const Operation* const> operation_table() { return {}; }
}

int main() {
  for (const auto& variant : metallic::softmax_variants())
    std::printf("%.*s\n", static_cast<int>(variant.name.size()), variant.name.data());
}
END
cat > "$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(add_variant CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY \${CMAKE_BINARY_DIR})
include($repository/cmake/variants.cmake)
add_subdirectory(src/ops/softmax)
END
cat > "$work/src/ops/softmax/CMakeLists.txt" <<END
file(GLOB sources CONFIGURE_DEPENDS *.cc)
list(FILTER sources EXCLUDE REGEX "_test\\\\.cc$")
add_executable(ops_softmax $work/main.cc \${sources})
# The copies come first, so that ops/softmax is theirs; the rest of the tree is the repository's.
target_include_directories(ops_softmax PRIVATE $work/src $roots $repository/include)
target_link_libraries(ops_softmax PRIVATE $libraries fmt)
metallic_variants()
END

build() {
  cmake --build "$work/build" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  "$work/build/ops_softmax" | tr '\n' ' '
}
expect() {
  [ "$2" = "$1" ] || { echo "variants are '$2', expected '$1'"; exit 1; }
}

cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_CXX_FLAGS=-O0 > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
expect "cpu_reference " "$(build)"
before=$(cd "$work" && find . -path ./build -prune -o -type f ! -name log -exec cksum {} + | sort)

sed 's/Variant cpu_reference/Variant cpu_added/' "$work/src/ops/softmax/cpu_reference.cc" > "$work/src/ops/softmax/cpu_added.cc"
expect "cpu_added cpu_reference " "$(build)"

# A file that is removed is gone, and a test beside the variants is not one of them.
rm "$work/src/ops/softmax/cpu_added.cc"
echo > "$work/src/ops/softmax/cpu_added_test.cc"
expect "cpu_reference " "$(build)"
rm "$work/src/ops/softmax/cpu_added_test.cc"
after=$(cd "$work" && find . -path ./build -prune -o -type f ! -name log -exec cksum {} + | sort)
expect "$before" "$after"
