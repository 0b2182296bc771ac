#pragma once

#include <cstddef>

/// What this project uses of the CUDA driver API, declared here so that no CUDA header is needed to build. Names
/// and values are those of cuda.h (CUDA Driver API manual) without its prefixes; tests/runtime/cuda/abi_test.cpp
/// compares them with a cuda.h where there is one.
namespace ptxgen::cuda::abi {

/// CUresult. Only the codes that are told apart; the driver names the others (cuGetErrorName).
enum class Code : unsigned {
    success = 0,
    invalid_value = 1,
    out_of_memory = 2,
    deinitialized = 4,
    no_device = 100,
    invalid_device = 101,
    no_binary_for_gpu = 209,
    ecc_uncorrectable = 214,
    invalid_ptx = 218,
    nvlink_uncorrectable = 220,
    unsupported_ptx_version = 222,
    not_found = 500,
    not_ready = 600,
    illegal_address = 700,
    launch_out_of_resources = 701,
    launch_timeout = 702,
    context_is_destroyed = 709,
    assert_triggered = 710,
    hardware_stack_error = 714,
    illegal_instruction = 715,
    misaligned_address = 716,
    invalid_address_space = 717,
    invalid_pc = 718,
    launch_failed = 719,
    cooperative_launch_too_large = 720,
    not_supported = 801,
};

using Device = int;                        ///< CUdevice
using DevicePtr = unsigned long long;      ///< CUdeviceptr
using Context = struct ContextHandle*;     ///< CUcontext
using Module = struct ModuleHandle*;       ///< CUmodule
using Function = struct FunctionHandle*;   ///< CUfunction
using Stream = struct StreamHandle*;       ///< CUstream
using Event = struct EventHandle*;         ///< CUevent
using Graph = struct GraphHandle*;         ///< CUgraph
using GraphExec = struct GraphExecHandle*; ///< CUgraphExec
using LinkState = struct LinkStateHandle*; ///< CUlinkState

/// CUdevice_attribute
enum class DeviceAttribute : unsigned {
    max_threads_per_block = 1,
    max_shared_memory_per_block = 8,
    multiprocessor_count = 16,
    l2_cache_size = 38,
    max_threads_per_multiprocessor = 39,
    compute_capability_major = 75,
    compute_capability_minor = 76,
    max_shared_memory_per_multiprocessor = 81,
    cooperative_launch = 95,
    max_shared_memory_per_block_optin = 97,
    cluster_launch = 120,
};

/// CUfunction_attribute
enum class FunctionAttribute : unsigned {
    max_threads_per_block = 0,
    shared_size_bytes = 1,
    local_size_bytes = 3,
    num_regs = 4,
    max_dynamic_shared_size_bytes = 8,
    non_portable_cluster_size_allowed = 14,
};

/// CUjit_option
enum class JitOption : unsigned {
    info_log_buffer = 3,
    info_log_buffer_size_bytes = 4,
    error_log_buffer = 5,
    error_log_buffer_size_bytes = 6,
    target = 9,
};

/// CUjitInputType
enum class JitInput : unsigned { cubin = 0, ptx = 1 };

/// Added to a compute capability, this makes the CUjit_target of its architecture-specific variant.
inline constexpr unsigned accelerated_target_base = 0x10000;

/// CUstreamCaptureMode
enum class CaptureMode : unsigned { global = 0, thread_local_ = 1, relaxed = 2 };

/// CUlaunchAttributeID
enum class LaunchAttributeId : unsigned { cooperative = 2, cluster_dimension = 4 };

/// CUlaunchAttributeValue
union alignas(8) LaunchAttributeValue {
    char pad[64];
    int cooperative;
    struct {
        unsigned x, y, z;
    } cluster_dim;
};

/// CUlaunchAttribute
struct LaunchAttribute {
    LaunchAttributeId id;
    char pad[8 - sizeof(LaunchAttributeId)];
    LaunchAttributeValue value;
};

/// CUlaunchConfig
struct LaunchConfig {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    Stream stream;
    LaunchAttribute* attributes;
    unsigned attribute_count;
};

inline constexpr unsigned stream_non_blocking = 1; ///< CU_STREAM_NON_BLOCKING
inline constexpr unsigned event_default = 0;       ///< CU_EVENT_DEFAULT
inline constexpr unsigned host_alloc_portable = 1; ///< CU_MEMHOSTALLOC_PORTABLE
inline constexpr unsigned host_alloc_mapped = 2;   ///< CU_MEMHOSTALLOC_DEVICEMAP

} // namespace ptxgen::cuda::abi
