# SPDX-License-Identifier: Apache-2.0
# METALLIC_CUDA: whether to build the CUDA backend. On by default if nvcc is found and new enough.
include(CheckLanguage)
check_language(CUDA)
set(nvcc_suffices OFF)
if(CMAKE_CUDA_COMPILER)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE nvcc_version)
  string(REGEX MATCH "release ([0-9.]+)" nvcc_version "${nvcc_version}")
  # The first version with C++20, sm_90a and host compilers such as GCC 12.
  if(CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.4)
    set(nvcc_suffices ON)
  else()
    message(STATUS "No CUDA backend: ${CMAKE_CUDA_COMPILER} is '${nvcc_version}', but it needs at least 12.4")
  endif()
endif()
option(METALLIC_CUDA "build the CUDA backend" ${nvcc_suffices})
if(METALLIC_CUDA)
  # 90a-real: wgmma and setmaxnreg exist only in sm_90a. 80-real: Ampere and Ada. 90-virtual: later GPUs compile its PTX when they
  # load it; kernels are launched there with clusters and PDL, which PTX for 8.0 would lack. -DCMAKE_CUDA_ARCHITECTURES=90a-real
  # builds for one architecture only.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual CACHE STRING "compute capabilities to build for")
  enable_language(CUDA)
  if("90a" IN_LIST CMAKE_CUDA_ARCHITECTURES OR "90a-real" IN_LIST CMAKE_CUDA_ARCHITECTURES)
    add_compile_definitions($<$<COMPILE_LANGUAGE:CUDA>:METALLIC_WITH_SM_90A>)
  endif()
  find_package(CUDAToolkit REQUIRED)
  # CMake 3.25 does not know the C++20 flag of nvcc 13, and drops the standard silently if it is not required: pass the flag here. fmt
  # 9 does not detect that nvcc has constexpr.
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED OFF)
  add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:-std=c++20> $<$<COMPILE_LANGUAGE:CUDA>:-DFMT_USE_CONSTEXPR=1>
                      $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fvisibility=hidden>)
endif()
