#pragma once

#include "runtime/device.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace ptxgen::runtime {

/// Which GPU, and what of an embedding program's CUDA state to work in. Handles are those of cuda.h: a CUcontext, a
/// CUstream, or the runtime API's cudaStream_t. What is handed over must outlive the device; it is never destroyed,
/// reset or left current on a thread. (A CUdeviceptr is handed over by Buffer::borrow, or as a kernel argument.)
struct CudaOptions {
    int ordinal = 0;                  ///< of the GPU whose primary context is used, when no context is handed over
    void* context = nullptr;          ///< CUcontext
    std::optional<void*> stream = {}; ///< CUstream that becomes Device::stream(); null is the legacy default stream
    bool use_cache = true;            ///< keep compiled modules on disk
    std::filesystem::path cache_directory = {}; ///< empty: see cuda::ModuleCacheOptions::from_environment
};

/// The GPU as a Device, through the CUDA driver API; libcuda is opened by the first call in a process. Errors say
/// what is missing: the driver, a GPU, that ordinal. The device and all that it makes may be used from any thread; one
/// stream is for one thread at a time.
Result<std::unique_ptr<Device>> create_cuda_device(const CudaOptions& options = {});

/// How many GPUs there are. The error says why CUDA cannot be used here.
Result<int> cuda_device_count();

/// The newest PTX version that a driver supporting CUDA `version` (1000 × major + 10 × minor) compiles; of a driver
/// newer than this table, the newest that it knows.
PtxVersion ptx_version_of_cuda(int version);

} // namespace ptxgen::runtime
