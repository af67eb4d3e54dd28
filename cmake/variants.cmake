# metallic_variants(<target> <op>)
#
# Generates <op>_variants(): the table of the files <op>/<backend>_<what>.cc (or .cu), each of which defines
# `extern const Variant <file name>` in namespace metallic::<op>. Adding a variant is adding a file.
function(metallic_variants target op)
  set(patterns ${op}/cpu_*.cc)
  if(METALLIC_CUDA)
    list(APPEND patterns ${op}/cuda_*.cu ${op}/cuda_*.cc)
  endif()
  file(GLOB files CONFIGURE_DEPENDS ${patterns})
  list(FILTER files EXCLUDE REGEX "_test\\.cc$")
  list(SORT files)
  foreach(file ${files})
    cmake_path(GET file STEM name)
    string(APPEND declarations "extern const Variant ${name};\n")
    string(APPEND entries "      named(\"${name}\", ${op}::${name}),\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${op}_variants.cc @ONLY CONTENT [[
// Generated from the files of kernels/@op@.
#include <span>

#include "core/variant.h"

namespace metallic::@op@ {
@declarations@}

namespace metallic {
namespace {
Variant named(std::string_view name, Variant variant) {
  variant.name = name;
  return variant;
}
}  // namespace

std::span<const Variant> @op@_variants() {
  static const Variant table[] = {
@entries@  };
  return table;
}
}  // namespace metallic
]])
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${op}_variants.cc)
endfunction()
