// SPDX-License-Identifier: Apache-2.0
#ifdef METALLIC_WITH_CUDA
#include "device/cuda/check.h"

namespace metallic::cuda {
namespace {

// Sticky errors corrupt the CUDA context: every later call fails until the process is restarted.
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable: return true;
    default: return false;
  }
}

}  // namespace

Code code_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return Code::ok;
    case cudaErrorMemoryAllocation: return Code::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice: return Code::not_found;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion: return Code::unsupported;
    default: return Code::internal;
  }
}

Status checked(cudaError_t error, const char* call, const char* file, int line) {
  if (error == cudaSuccess) return {};
  return fail(code_of(error), "{} failed at {}:{}: {} ({}){}", call, file, line, cudaGetErrorString(error),
              cudaGetErrorName(error), is_sticky(error) ? ": the process' CUDA context is lost, start it again" : "");
}

}  // namespace metallic::cuda
#endif
