# SPDX-License-Identifier: Apache-2.0
# metallic_operation_table(<output> <function> <type> <operation>...)
#
# Writes a source file that defines metallic::<function>(): the table of `<operation>_<kind>` objects, e.g. softmax_operation.
function(metallic_operation_table output function type)
  string(TOLOWER ${type} kind)
  if(type STREQUAL TunerOperation)
    set(kind tuner_operation)
  endif()
  set(declarations "")
  set(entries "")
  foreach(op ${ARGN})
    string(APPEND declarations "extern const ${type} ${op}_${kind};\n")
    string(APPEND entries "&${op}_${kind}, ")
  endforeach()
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT [[
// Generated from the operations' folders.
#include <span>

namespace metallic {

struct @type@;
@declarations@
std::span<const @type@* const> @function@() {
  static const @type@* const table[] = {@entries@};
  return table;
}

}  // namespace metallic
]])
endfunction()

# metallic_operations(<target>)
#
# Makes the operations of src/ops/*/operation.cc those of the registry. Adding an operation is adding a folder. METALLIC_OPERATIONS
# becomes the list of their names.
function(metallic_operations target)
  file(GLOB files CONFIGURE_DEPENDS */operation.cc)
  foreach(file ${files})
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME op)
    list(APPEND operations ${op})
  endforeach()
  set(METALLIC_OPERATIONS ${operations} CACHE INTERNAL "the operations' names")
  # A library of its own, so that a program that brings another table replaces this one.
  set(table ${CMAKE_CURRENT_BINARY_DIR}/operation_table.cc)
  metallic_operation_table(${table} operation_table Operation ${operations})
  add_library(${target}_table STATIC ${table})
  list(TRANSFORM operations PREPEND ops_)
  target_link_libraries(${target}_table PRIVATE ${operations})
  # The registry refers to the table, the table to operations, operations to what the registry's folder has: once more than CMake
  # repeats libraries that refer to each other.
  set_target_properties(${target}_table PROPERTIES LINK_INTERFACE_MULTIPLICITY 3)
  target_link_libraries(${target} INTERFACE $<LINK_ONLY:${target}_table>)
endfunction()
