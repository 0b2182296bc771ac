#include "runtime/cuda/device.hpp"

namespace ptxgen::runtime {

PtxVersion ptx_version_of_cuda(int version) {
    // PTX ISA manual, release notes: the CUDA release that each version came with.
    struct Row {
        int cuda;
        PtxVersion ptx;
    };
    static constexpr Row rows[] = {
        {11010, {7, 1}}, {11020, {7, 2}}, {11030, {7, 3}}, {11040, {7, 4}}, {11050, {7, 5}}, {11060, {7, 6}},
        {11070, {7, 7}}, {11080, {7, 8}}, {12000, {8, 0}}, {12010, {8, 1}}, {12020, {8, 2}}, {12030, {8, 3}},
        {12040, {8, 4}}, {12050, {8, 5}}, {12070, {8, 6}}, {12080, {8, 7}}, {12090, {8, 8}}, {13000, {9, 0}},
        {13010, {9, 1}}, {13020, {9, 2}}, {13030, {9, 3}}, {13040, {9, 4}}, {13050, {9, 5}},
    };
    PtxVersion newest{7, 0};
    for (const auto& row : rows)
        if (row.cuda <= version) newest = row.ptx;
    return newest;
}

} // namespace ptxgen::runtime

namespace ptxgen::cuda {

Result<runtime::DeviceProperties> read_properties(const Driver& driver, abi::Device device) {
    using abi::DeviceAttribute;
    runtime::DeviceProperties properties;
    int major = 0, minor = 0, cooperative = 0, clusters = 0, l2 = 0, multiprocessors = 0, block_threads = 0,
        multiprocessor_threads = 0, shared = 0, shared_optin = 0, shared_multiprocessor = 0;
    const std::pair<DeviceAttribute, int*> wanted[] = {
        {DeviceAttribute::compute_capability_major, &major},
        {DeviceAttribute::compute_capability_minor, &minor},
        {DeviceAttribute::multiprocessor_count, &multiprocessors},
        {DeviceAttribute::max_threads_per_block, &block_threads},
        {DeviceAttribute::max_threads_per_multiprocessor, &multiprocessor_threads},
        {DeviceAttribute::max_shared_memory_per_block, &shared},
        {DeviceAttribute::max_shared_memory_per_block_optin, &shared_optin},
        {DeviceAttribute::max_shared_memory_per_multiprocessor, &shared_multiprocessor},
        {DeviceAttribute::l2_cache_size, &l2},
        {DeviceAttribute::cooperative_launch, &cooperative},
    };
    for (const auto& [attribute, value] : wanted)
        if (auto status = driver.call(driver.device_get_attribute, value, attribute, device); !status)
            return status.error();
    // Drivers older than clusters do not know the attribute.
    if (driver.device_get_attribute(&clusters, DeviceAttribute::cluster_launch, device) != abi::Code::success)
        clusters = 0;

    char name[256] = {};
    if (auto status = driver.call(driver.device_get_name, name, int{sizeof name}, device); !status)
        return status.error();
    std::size_t memory = 0;
    if (auto status = driver.call(driver.device_total_mem, &memory, device); !status) return status.error();

    const auto u32 = [](int value) { return static_cast<std::uint32_t>(value); };
    properties.name = name;
    properties.driver = fmt::format("CUDA driver {}", driver.version_text());
    properties.target.sm = static_cast<std::uint16_t>(10 * major + minor);
    properties.target.variant = major >= 9 ? TargetVariant::arch : TargetVariant::plain;
    properties.ptx_version = runtime::ptx_version_of_cuda(driver.version);
    properties.multiprocessors = u32(multiprocessors);
    properties.max_threads_per_block = u32(block_threads);
    properties.max_threads_per_multiprocessor = u32(multiprocessor_threads);
    properties.shared_bytes_per_block = u32(shared);
    properties.shared_bytes_per_block_optin = u32(std::max(shared, shared_optin));
    properties.shared_bytes_per_multiprocessor = u32(shared_multiprocessor);
    properties.l2_bytes = u32(l2);
    properties.memory_bytes = memory;
    properties.cooperative_launch = cooperative != 0 && (driver.launch_kernel_ex || driver.launch_cooperative_kernel);
    properties.cluster_launch = clusters != 0 && driver.launch_kernel_ex;
    return properties;
}

} // namespace ptxgen::cuda
