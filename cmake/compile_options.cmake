# SPDX-License-Identifier: Apache-2.0
# Warnings and sanitizers, for all targets.

# Designated initialisers leave members at their defaults on purpose; GCC 12 reports uninitialised uses in tl::expected that do not exist.
set(warnings -Wall -Wextra -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<BOOL:${METALLIC_WERROR}>:-Werror>)
add_compile_options("$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:${warnings}>")
if(METALLIC_SANITIZE)
  add_compile_options(-fsanitize=${METALLIC_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${METALLIC_SANITIZE})
  foreach(sanitizer address thread)  # GCC defines these macros, clang does not
    string(TOUPPER ${sanitizer} upper)
    if(METALLIC_SANITIZE MATCHES ${sanitizer} AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
      add_compile_definitions(__SANITIZE_${upper}__)
    endif()
  endforeach()
  if(METALLIC_SANITIZE MATCHES address)
    add_library(lsan_options OBJECT ${PROJECT_SOURCE_DIR}/testing/sanitizer/lsan_options.cc)
    link_libraries($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:lsan_options>)
  endif()
endif()
