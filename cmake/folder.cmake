# metallic_folder(<folder> [MAY_INCLUDE <folder>...] [LIBRARIES <target>...])
#
# A static library of the folder's sources (globbed, *.cu with CUDA; *_test.cc become one test program) that can include only its own
# headers and those of MAY_INCLUDE: each folder is seen through an include root that holds nothing else.
function(metallic_folder folder)
  cmake_parse_arguments(ARG "" "" "MAY_INCLUDE;LIBRARIES" ${ARGN})
  string(REPLACE "/" "_" target ${folder})
  set(root ${CMAKE_BINARY_DIR}/roots/${target})
  cmake_path(GET folder PARENT_PATH parent)
  file(MAKE_DIRECTORY ${root}/${parent})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${folder} SYMBOLIC)

  set(patterns *.cc)
  if(METALLIC_CUDA)
    list(APPEND patterns *.cu)
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${patterns})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_(test|bench)|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${root})
  list(TRANSFORM ARG_MAY_INCLUDE REPLACE "/" "_")
  target_link_libraries(${target} PUBLIC ${ARG_MAY_INCLUDE} ${ARG_LIBRARIES})

  if(tests AND BUILD_TESTING)
    add_executable(${target}_test ${tests})
    target_link_libraries(${target}_test PRIVATE ${target} GTest::gtest_main GTest::gmock)
    # What a test waits for is compilation: these headers, which the first folder with tests compiles for all, and optimisation.
    target_compile_options(${target}_test PRIVATE -O1)
    get_property(first GLOBAL PROPERTY metallic_first_test)
    if(first)
      target_precompile_headers(${target}_test REUSE_FROM ${first})
    else()
      target_precompile_headers(${target}_test PRIVATE <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp> <fmt/format.h>)
      set_property(GLOBAL PROPERTY metallic_first_test ${target}_test)
    endif()
    gtest_discover_tests(${target}_test TEST_PREFIX ${folder}: DISCOVERY_TIMEOUT 60
                         PROPERTIES ENVIRONMENT TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp)
  endif()
endfunction()
include(GoogleTest)
