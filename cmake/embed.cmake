# SPDX-License-Identifier: Apache-2.0
# metallic_embed(<target> <name> <file>)
#
# Links a file's bytes into a target: `extern "C" const char metallic_<name>[]; extern "C" const char metallic_<name>_end[];`
function(metallic_embed target name file)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.S)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
.section .rodata
.global metallic_@name@
.hidden metallic_@name@
.global metallic_@name@_end
.hidden metallic_@name@_end
metallic_@name@:
.incbin "@file@"
metallic_@name@_end:
.byte 0
.section .note.GNU-stack,"",%progbits
]])
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${source})
endfunction()

# metallic_embed_all(<target> <function> <file>...)
#
# Links files into a target: metallic::<function>() gives their names, without folder and ending, with their bytes, as
# std::vector<std::pair<std::string_view, std::string_view>>.
function(metallic_embed_all target function)
  foreach(file ${ARGN})
    cmake_path(GET file STEM LAST_ONLY stem)
    string(MAKE_C_IDENTIFIER "${function}_${stem}" name)
    metallic_embed(${target} ${name} ${file})
    string(APPEND declarations "extern \"C\" const char metallic_${name}[], metallic_${name}_end[];\n")
    string(APPEND entries "      {\"${stem}\", {metallic_${name}, static_cast<size_t>(metallic_${name}_end - metallic_${name})}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${function}.cc @ONLY CONTENT [[
// Generated from the files that are linked in.
#include <string_view>
#include <utility>
#include <vector>

@declarations@
namespace metallic {
std::vector<std::pair<std::string_view, std::string_view>> @function@() {
  return {
@entries@  };
}
}  // namespace metallic
]])
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${function}.cc)
endfunction()
