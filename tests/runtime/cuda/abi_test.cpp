// The project's own declarations of the driver API against NVIDIA's, where a cuda.h was found.
#include <doctest/doctest.h>

#ifndef PTXGEN_HAVE_CUDA_H

#include <fmt/format.h>

TEST_CASE("declarations agree with cuda.h") {
    fmt::print("[SKIP] declarations agree with cuda.h: no cuda.h (set PTXGEN_CUDA_INCLUDE to its folder)\n");
}

#else

#include "runtime/cuda/driver.hpp"

// With this, cuda.h declares every version of a function under its exported name.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <type_traits>

namespace {

namespace abi = ptxgen::cuda::abi;

/// Whether two parameter types are passed alike: integers and enumerations of one size and sign, pointers to such,
/// pointers to structures (compared below, or opaque).
template <class Ours, class Theirs>
constexpr bool passed_alike() {
    if constexpr (std::is_pointer_v<Ours> != std::is_pointer_v<Theirs>) {
        return false;
    } else if constexpr (std::is_pointer_v<Ours>) {
        using OurTarget = std::remove_pointer_t<Ours>;
        using TheirTarget = std::remove_pointer_t<Theirs>;
        if (std::is_const_v<OurTarget> != std::is_const_v<TheirTarget>) return false;
        if constexpr (std::is_void_v<OurTarget> || std::is_void_v<TheirTarget>)
            return std::is_void_v<OurTarget> && std::is_void_v<TheirTarget>;
        else if constexpr (std::is_class_v<OurTarget> || std::is_class_v<TheirTarget>)
            return std::is_class_v<OurTarget> && std::is_class_v<TheirTarget>;
        else
            return passed_alike<std::remove_const_t<OurTarget>, std::remove_const_t<TheirTarget>>();
    } else if constexpr (std::is_enum_v<Ours> || std::is_enum_v<Theirs>) {
        return std::is_enum_v<Ours> && std::is_enum_v<Theirs> && sizeof(Ours) == sizeof(Theirs);
    } else {
        return std::is_same_v<Ours, Theirs>;
    }
}

template <class Ours, class Theirs>
struct Compatible : std::false_type {};
template <class... Ours, class... Theirs>
requires(sizeof...(Ours) == sizeof...(Theirs)) struct Compatible<abi::Code(Ours...), CUresult(Theirs...)>
    : std::bool_constant<(passed_alike<Ours, Theirs>() && ...)> {
};

// A pair for each way to differ, so that the comparison itself is known to see them.
static_assert(Compatible<abi::Code(int*, abi::Stream), CUresult(int*, CUstream)>::value);
static_assert(!Compatible<abi::Code(int*), CUresult(int*, CUstream)>::value);
static_assert(!Compatible<abi::Code(unsigned), CUresult(int)>::value);
static_assert(!Compatible<abi::Code(unsigned), CUresult(std::size_t)>::value);
static_assert(!Compatible<abi::Code(char*), CUresult(const char*)>::value);
static_assert(!Compatible<abi::Code(void*), CUresult(CUstream)>::value);

template <class Signature>
Signature* signature_of(const ptxgen::cuda::DriverFunction<Signature>&);

#define PTXGEN_CUDA_SYMBOL(member, symbol, need, disables, parameters)                                                 \
    static_assert(                                                                                                     \
        Compatible<std::remove_pointer_t<decltype(signature_of(abi::Functions{}.member))>, decltype(::symbol)>::value, \
        #symbol);
#include "runtime/cuda/symbols.inc"
#undef PTXGEN_CUDA_SYMBOL

#define SAME_VALUE(ours, theirs) static_assert(static_cast<unsigned>(ours) == static_cast<unsigned>(theirs), #theirs)
SAME_VALUE(abi::Code::success, CUDA_SUCCESS);
SAME_VALUE(abi::Code::invalid_value, CUDA_ERROR_INVALID_VALUE);
SAME_VALUE(abi::Code::out_of_memory, CUDA_ERROR_OUT_OF_MEMORY);
SAME_VALUE(abi::Code::deinitialized, CUDA_ERROR_DEINITIALIZED);
SAME_VALUE(abi::Code::no_device, CUDA_ERROR_NO_DEVICE);
SAME_VALUE(abi::Code::invalid_device, CUDA_ERROR_INVALID_DEVICE);
SAME_VALUE(abi::Code::no_binary_for_gpu, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME_VALUE(abi::Code::ecc_uncorrectable, CUDA_ERROR_ECC_UNCORRECTABLE);
SAME_VALUE(abi::Code::invalid_ptx, CUDA_ERROR_INVALID_PTX);
SAME_VALUE(abi::Code::nvlink_uncorrectable, CUDA_ERROR_NVLINK_UNCORRECTABLE);
SAME_VALUE(abi::Code::unsupported_ptx_version, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME_VALUE(abi::Code::not_found, CUDA_ERROR_NOT_FOUND);
SAME_VALUE(abi::Code::not_ready, CUDA_ERROR_NOT_READY);
SAME_VALUE(abi::Code::illegal_address, CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_VALUE(abi::Code::launch_out_of_resources, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
SAME_VALUE(abi::Code::launch_timeout, CUDA_ERROR_LAUNCH_TIMEOUT);
SAME_VALUE(abi::Code::context_is_destroyed, CUDA_ERROR_CONTEXT_IS_DESTROYED);
SAME_VALUE(abi::Code::assert_triggered, CUDA_ERROR_ASSERT);
SAME_VALUE(abi::Code::hardware_stack_error, CUDA_ERROR_HARDWARE_STACK_ERROR);
SAME_VALUE(abi::Code::illegal_instruction, CUDA_ERROR_ILLEGAL_INSTRUCTION);
SAME_VALUE(abi::Code::misaligned_address, CUDA_ERROR_MISALIGNED_ADDRESS);
SAME_VALUE(abi::Code::invalid_address_space, CUDA_ERROR_INVALID_ADDRESS_SPACE);
SAME_VALUE(abi::Code::invalid_pc, CUDA_ERROR_INVALID_PC);
SAME_VALUE(abi::Code::launch_failed, CUDA_ERROR_LAUNCH_FAILED);
SAME_VALUE(abi::Code::cooperative_launch_too_large, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
SAME_VALUE(abi::Code::not_supported, CUDA_ERROR_NOT_SUPPORTED);

SAME_VALUE(abi::DeviceAttribute::max_threads_per_block, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
SAME_VALUE(abi::DeviceAttribute::max_shared_memory_per_block, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
SAME_VALUE(abi::DeviceAttribute::multiprocessor_count, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME_VALUE(abi::DeviceAttribute::l2_cache_size, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME_VALUE(abi::DeviceAttribute::max_threads_per_multiprocessor, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
SAME_VALUE(abi::DeviceAttribute::compute_capability_major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(abi::DeviceAttribute::compute_capability_minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_VALUE(abi::DeviceAttribute::max_shared_memory_per_multiprocessor,
           CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
SAME_VALUE(abi::DeviceAttribute::cooperative_launch, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH);
SAME_VALUE(abi::DeviceAttribute::max_shared_memory_per_block_optin,
           CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME_VALUE(abi::DeviceAttribute::cluster_launch, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH);

SAME_VALUE(abi::FunctionAttribute::max_threads_per_block, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
SAME_VALUE(abi::FunctionAttribute::shared_size_bytes, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
SAME_VALUE(abi::FunctionAttribute::local_size_bytes, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
SAME_VALUE(abi::FunctionAttribute::num_regs, CU_FUNC_ATTRIBUTE_NUM_REGS);
SAME_VALUE(abi::FunctionAttribute::max_dynamic_shared_size_bytes, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME_VALUE(abi::FunctionAttribute::non_portable_cluster_size_allowed,
           CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);

SAME_VALUE(abi::JitOption::info_log_buffer, CU_JIT_INFO_LOG_BUFFER);
SAME_VALUE(abi::JitOption::info_log_buffer_size_bytes, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES);
SAME_VALUE(abi::JitOption::error_log_buffer, CU_JIT_ERROR_LOG_BUFFER);
SAME_VALUE(abi::JitOption::error_log_buffer_size_bytes, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
SAME_VALUE(abi::JitOption::target, CU_JIT_TARGET);
SAME_VALUE(abi::JitInput::cubin, CU_JIT_INPUT_CUBIN);
SAME_VALUE(abi::JitInput::ptx, CU_JIT_INPUT_PTX);
SAME_VALUE(abi::accelerated_target_base, CU_COMPUTE_ACCELERATED_TARGET_BASE);
SAME_VALUE(abi::accelerated_target_base + 90, CU_TARGET_COMPUTE_90A);

SAME_VALUE(abi::CaptureMode::global, CU_STREAM_CAPTURE_MODE_GLOBAL);
SAME_VALUE(abi::CaptureMode::thread_local_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME_VALUE(abi::CaptureMode::relaxed, CU_STREAM_CAPTURE_MODE_RELAXED);
SAME_VALUE(abi::LaunchAttributeId::cooperative, CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
SAME_VALUE(abi::LaunchAttributeId::cluster_dimension, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
SAME_VALUE(abi::stream_non_blocking, CU_STREAM_NON_BLOCKING);
SAME_VALUE(abi::event_default, CU_EVENT_DEFAULT);
SAME_VALUE(abi::host_alloc_portable, CU_MEMHOSTALLOC_PORTABLE);
SAME_VALUE(abi::host_alloc_mapped, CU_MEMHOSTALLOC_DEVICEMAP);

#define SAME_FIELD(Ours, ours, Theirs, theirs)                                                                         \
    static_assert(offsetof(Ours, ours) == offsetof(Theirs, theirs), #theirs);                                          \
    static_assert(sizeof(Ours::ours) == sizeof(Theirs::theirs), #theirs)
static_assert(sizeof(abi::LaunchAttributeValue) == sizeof(CUlaunchAttributeValue));
static_assert(alignof(abi::LaunchAttribute) == alignof(CUlaunchAttribute));
static_assert(sizeof(abi::LaunchAttribute) == sizeof(CUlaunchAttribute));
SAME_FIELD(abi::LaunchAttribute, id, CUlaunchAttribute, id);
SAME_FIELD(abi::LaunchAttribute, value, CUlaunchAttribute, value);
SAME_FIELD(abi::LaunchAttributeValue, cooperative, CUlaunchAttributeValue, cooperative);
SAME_FIELD(abi::LaunchAttributeValue, cluster_dim, CUlaunchAttributeValue, clusterDim);
static_assert(sizeof(abi::LaunchConfig) == sizeof(CUlaunchConfig));
SAME_FIELD(abi::LaunchConfig, grid_x, CUlaunchConfig, gridDimX);
SAME_FIELD(abi::LaunchConfig, grid_z, CUlaunchConfig, gridDimZ);
SAME_FIELD(abi::LaunchConfig, block_x, CUlaunchConfig, blockDimX);
SAME_FIELD(abi::LaunchConfig, block_z, CUlaunchConfig, blockDimZ);
SAME_FIELD(abi::LaunchConfig, shared_bytes, CUlaunchConfig, sharedMemBytes);
SAME_FIELD(abi::LaunchConfig, stream, CUlaunchConfig, hStream);
SAME_FIELD(abi::LaunchConfig, attributes, CUlaunchConfig, attrs);
SAME_FIELD(abi::LaunchConfig, attribute_count, CUlaunchConfig, numAttrs);
static_assert(std::is_same_v<abi::Device, CUdevice> && std::is_same_v<abi::DevicePtr, CUdeviceptr>);

} // namespace

TEST_CASE("declarations agree with cuda.h") { CHECK_MESSAGE(CUDA_VERSION >= 11010, "compared at compile time"); }

#endif
