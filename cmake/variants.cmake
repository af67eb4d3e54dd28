# SPDX-License-Identifier: Apache-2.0
# metallic_variants()
#
# Generates <op>_variants() for the current folder, an operation's: the table of its files <backend>_<what>.cc (or .cu), each of which
# defines `extern const Variant <file name>` in namespace metallic::<op>. Adding a variant is adding a file.
function(metallic_variants)
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME op)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "^src/" "" target ${folder})
  string(REPLACE "/" "_" target ${target})
  get_property(files TARGET ${target} PROPERTY SOURCES)
  set(backends "cpu")
  if(METALLIC_CUDA)
    set(backends "cpu|cuda")
  endif()
  list(FILTER files INCLUDE REGEX "/(${backends})_[^/]*\\.(cc|cu)$")
  list(SORT files)
  foreach(file ${files})
    cmake_path(GET file STEM name)
    string(APPEND declarations "extern const Variant ${name};\n")
    string(APPEND entries "      named(\"${name}\", ${op}::${name}),\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${op}_variants.cc @ONLY CONTENT [[
// Generated from the files of @folder@.
#include <initializer_list>
#include <span>

#include "ops/variant.h"

namespace metallic::@op@ {
@declarations@}

namespace metallic {
namespace {
template <typename V>  // a template may be unused: a build for fuzzers has no variants
V named(std::string_view name, V variant) {
  variant.name = name;
  return variant;
}
}  // namespace

std::span<const Variant> @op@_variants() {
  static const std::initializer_list<Variant> table = {
@entries@  };
  return {table.begin(), table.size()};
}
}  // namespace metallic
]])
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${op}_variants.cc)
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)  # variants' local names are the same
  # Kernels are optimised in every build. Loops start at fixed places in a cache line, so that code beside them does not change
  # their speed.
  if(NOT METALLIC_SANITIZE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O3>)
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-falign-functions=64> $<$<COMPILE_LANGUAGE:CXX>:-falign-loops=32>)
endfunction()
