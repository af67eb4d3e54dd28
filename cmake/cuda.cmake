# METALLIC_CUDA: whether kernels for CUDA devices are built; by default where nvcc is found and new enough.
include(CheckLanguage)
check_language(CUDA)
set(nvcc_suffices OFF)
if(CMAKE_CUDA_COMPILER)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE nvcc_version)
  string(REGEX MATCH "release ([0-9.]+)" nvcc_version "${nvcc_version}")
  # C++20, Hopper's own code and host compilers such as GCC 12.
  if(CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.4)
    set(nvcc_suffices ON)
  else()
    message(STATUS "No CUDA backend: ${CMAKE_CUDA_COMPILER} is '${nvcc_version}', 12.4 is the first that suffices")
  endif()
endif()
option(METALLIC_CUDA "build the CUDA backend" ${nvcc_suffices})
if(METALLIC_CUDA)
  # Hopper's own instructions need its own code; Ampere and Ada run that of 8.0. Later cards compile that of 9.0 when they start,
  # which has clusters and beginnings before the end: kernels are launched with them there.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual CACHE STRING "compute capabilities to build for")
  enable_language(CUDA)
  if("90a" IN_LIST CMAKE_CUDA_ARCHITECTURES OR "90a-real" IN_LIST CMAKE_CUDA_ARCHITECTURES)
    add_compile_definitions($<$<COMPILE_LANGUAGE:CUDA>:METALLIC_WITH_SM_90A>)
  endif()
  find_package(CUDAToolkit REQUIRED)
  # CMake 3.25 does not know how to ask nvcc 13 for C++20, and drops it silently where it need not be had. fmt 9 is not sure whether nvcc has constexpr.
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED OFF)
  add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:-std=c++20> $<$<COMPILE_LANGUAGE:CUDA>:-DFMT_USE_CONSTEXPR=1>
                      $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fvisibility=hidden>)
endif()
