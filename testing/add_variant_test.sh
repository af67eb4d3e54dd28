#!/bin/sh
# Adding a variant is adding a file: one more cpu_*.cc beside those of softmax is in the generated table, with nothing else
# touched. Usage: add_variant_test.sh <repository> <library>...  (the libraries that kernels are made of, built)
set -eu
repository=$1
shift
libraries=$(IFS=';'; echo "$*")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The reference alone stands for the operation's files, so that little is compiled; it needs nothing but core.
mkdir -p "$work/kernels/softmax"
cp "$repository/kernels/softmax/contract.h" "$repository/kernels/softmax/cpu_reference.cc" "$work/kernels/softmax/"
cat > "$work/main.cc" <<'END'
#include <cstdio>
#include <span>

#include "ops/variant.h"

namespace metallic {
std::span<const Variant> softmax_variants();
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
add_subdirectory(kernels)
END
cat > "$work/kernels/CMakeLists.txt" <<END
file(GLOB sources CONFIGURE_DEPENDS softmax/*.cc)
add_executable(names ../main.cc \${sources})
# The copies come first, so that kernels/softmax is theirs; the rest of the tree is the repository's.
target_include_directories(names PRIVATE $work $repository)
target_link_libraries(names PRIVATE $libraries fmt)
metallic_variants(names softmax)
END

build() {
  cmake --build "$work/build" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  "$work/build/names" | tr '\n' ' '
}
expect() {
  [ "$2" = "$1" ] || { echo "variants are '$2', expected '$1'"; exit 1; }
}

cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_CXX_FLAGS=-O0 > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
expect "cpu_reference " "$(build)"
before=$(cd "$work" && find . -path ./build -prune -o -type f ! -name log -exec cksum {} + | sort)

sed 's/Variant cpu_reference/Variant cpu_added/' "$work/kernels/softmax/cpu_reference.cc" > "$work/kernels/softmax/cpu_added.cc"
expect "cpu_added cpu_reference " "$(build)"

# What is taken away is gone, and a test beside the variants is none.
rm "$work/kernels/softmax/cpu_added.cc"
echo > "$work/kernels/softmax/cpu_added_test.cc"
expect "cpu_reference " "$(build)"
rm "$work/kernels/softmax/cpu_added_test.cc"
after=$(cd "$work" && find . -path ./build -prune -o -type f ! -name log -exec cksum {} + | sort)
expect "$before" "$after"
