# SPDX-License-Identifier: Apache-2.0
# metallic_folder([MAY_INCLUDE <folder>...] [LIBRARIES <target>...] [TESTS_MAY_INCLUDE <folder>...] [EXCLUDE <regex>])
#
# Makes the current folder a static library of its own sources (*.cc, *.cu if CUDA is built; not those of its subfolders), and one test
# program of its *_test.cc. A folder is named by its path below the project, without `src/`: ops/softmax, tuner/fit. Its sources
# can include only its own headers and those of MAY_INCLUDE, because every folder is seen through an include root that contains
# nothing else. EXCLUDE leaves out sources that this build cannot compile.
function(metallic_folder)
  cmake_parse_arguments(ARG "" "EXCLUDE" "MAY_INCLUDE;LIBRARIES;TESTS_MAY_INCLUDE" ${ARGN})
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "^src/" "" folder ${folder})
  string(REPLACE "/" "_" target ${folder})

  set(patterns *.cc)
  if(METALLIC_CUDA)
    list(APPEND patterns *.cu)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  if(ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_EXCLUDE}")
  endif()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_(test|bench)|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  # Sources too: Highway compiles a file once per target by including it again.
  set(root ${PROJECT_BINARY_DIR}/roots/${target})
  file(GLOB visible CONFIGURE_DEPENDS *.h *.cuh *.cc)
  file(MAKE_DIRECTORY ${root}/${folder})
  foreach(file ${visible})
    cmake_path(GET file FILENAME name)
    file(CREATE_LINK ${file} ${root}/${folder}/${name} SYMBOLIC)
  endforeach()

  if(sources)
    set(scope PUBLIC)
    add_library(${target} STATIC ${sources})
  else()
    set(scope INTERFACE)
    add_library(${target} INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${root})
  list(TRANSFORM ARG_MAY_INCLUDE REPLACE "/" "_")
  target_link_libraries(${target} ${scope} ${ARG_MAY_INCLUDE} ${ARG_LIBRARIES})

  if(tests AND METALLIC_BUILD_TESTS)
    add_executable(${target}_test ${tests})
    list(TRANSFORM ARG_TESTS_MAY_INCLUDE REPLACE "/" "_")
    target_link_libraries(${target}_test PRIVATE ${target} ${ARG_TESTS_MAY_INCLUDE} GTest::gtest_main GTest::gmock)
    set_target_properties(${target}_test PROPERTIES UNITY_BUILD OFF)
    # Compiling tests takes longer than running them: -O1 suffices, and all test programs share one set of precompiled headers.
    target_compile_options(${target}_test PRIVATE -O1)
    get_property(first GLOBAL PROPERTY metallic_first_test)
    if(first)
      target_precompile_headers(${target}_test REUSE_FROM ${first})
    else()
      target_precompile_headers(${target}_test PRIVATE <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp> <fmt/format.h>)
      set_property(GLOBAL PROPERTY metallic_first_test ${target}_test)
    endif()
    gtest_discover_tests(${target}_test TEST_PREFIX ${folder}: DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
