// Launches on a real GPU: results of kernels, module variables, cooperative and cluster launch, shared memory, errors.
#include "runtime/cuda/driver.hpp"
#include "tests/runtime/cuda/gpu/gpu.hpp"
#include "tests/runtime/cuda/gpu/kernels.hpp"

#include <cstdlib>
#include <numeric>
#include <thread>
#include <unistd.h>

using namespace ptxgen;
using namespace ptxgen::runtime;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<float> ramp(std::uint32_t n, float scale) {
    std::vector<float> values(n);
    for (std::uint32_t i = 0; i < n; ++i) values[i] = scale * static_cast<float>(i % 1000);
    return values;
}

} // namespace

TEST_CASE("gpu: properties") {
    const auto device = gpu_or_skip("gpu: properties");
    if (!device) return;
    const auto& properties = device->properties();
    fmt::print("{}, {}, {}, PTX up to {}, {} multiprocessors, {} B of shared memory a CTA\n", properties.name,
               properties.driver, to_string(properties.target), to_string(properties.ptx_version),
               properties.multiprocessors, properties.shared_bytes_per_block_optin);
    CHECK(properties.target.sm >= 50);
    CHECK(properties.multiprocessors > 0);
    CHECK(properties.l2_bytes > 0);
    CHECK(properties.shared_bytes_per_block == 48 * 1024);
    if (const auto limits = shared_memory_limits(properties.target); limits.dynamic_bytes > limits.static_bytes)
        CHECK(properties.shared_bytes_per_block_optin == limits.dynamic_bytes);
    const auto memory = must(device->memory_info());
    CHECK(memory.free_bytes > 0);
    CHECK(memory.free_bytes <= memory.total_bytes);
}

TEST_CASE("gpu: axpy") {
    const auto device = gpu_or_skip("gpu: axpy");
    if (!device) return;
    const auto module = must(device->load(ptx::axpy));
    auto* kernel = must(module->kernel("axpy"));
    CHECK(must(kernel->attributes()).registers > 0);
    CHECK(must(kernel->attributes()).local_bytes == 0);
    CHECK(must(kernel->occupancy(256, 0)) >= 1);
    for (const std::uint32_t n : {1u, 255u, 1000003u}) {
        const auto x = ramp(n, 0.5f), y = ramp(n, 2.f);
        const auto dx = upload(*device, x), dy = upload(*device, y);
        must(device->stream().launch(*kernel, {.grid = {blocks_for(n, 256), 1, 1}, .block = {256, 1, 1}},
                                     {n, 3.f, dx.address(), dy.address()}));
        const auto result = download<float>(*device, dy);
        std::uint32_t wrong = 0;
        for (std::uint32_t i = 0; i < n; ++i) wrong += result[i] != 3.f * x[i] + y[i]; // exact: small multiples of ½
        CHECK(wrong == 0);
    }
}

TEST_CASE("gpu: arguments are checked") {
    const auto device = gpu_or_skip("gpu: arguments are checked");
    if (!device) return;
    if (!(*cuda::driver())->func_get_param_info) return fmt::print("[SKIP] gpu: arguments are checked: old driver\n");
    const auto module = must(device->load(ptx::axpy));
    auto* kernel = must(module->kernel("axpy"));
    auto status = device->stream().launch(*kernel, {}, {1u, 2.f});
    REQUIRE_FALSE(status);
    CHECK(status.error().message == "kernel axpy has 4 parameters, 2 arguments were given");
    status = device->stream().launch(*kernel, {}, {1u, 2.f, 3u, DevicePtr{4}});
    REQUIRE_FALSE(status);
    CHECK(status.error().message == "kernel axpy: parameter 2 (the first is 0) is 8 bytes, the argument given is 4");
}

TEST_CASE("gpu: module variables") {
    const auto device = gpu_or_skip("gpu: module variables");
    if (!device) return;
    const auto module = must(device->load(ptx::count));
    const auto counter = must(module->global("counter"));
    CHECK(counter.size() == 4);
    auto* kernel = must(module->kernel("count"));
    must(device->stream().launch(*kernel, {.grid = {7, 1, 1}, .block = {96, 1, 1}}, {}));
    CHECK(download<std::uint32_t>(*device, counter)[0] == 5 + 7 * 96);
    CHECK_FALSE(module->global("nothing").ok());
    CHECK_FALSE(module->kernel("nothing").ok());
}

TEST_CASE("gpu: cooperative launch") {
    const auto device = gpu_or_skip("gpu: cooperative launch");
    if (!device) return;
    const auto module = must(device->load(ptx::barrier));
    auto* kernel = must(module->kernel("barrier"));
    const auto resident = must(kernel->occupancy(128, 0)) * device->properties().multiprocessors;
    const auto arrived = upload<std::uint32_t>(*device, {0}), seen = upload<std::uint32_t>(*device, {0});
    LaunchConfig config{.grid = {resident, 1, 1}, .block = {128, 1, 1}, .cooperative = true};
    must(device->stream().launch(*kernel, config, {arrived.address(), seen.address()}));
    CHECK(download<std::uint32_t>(*device, seen)[0] == resident * resident);

    config.grid.x = resident + 1;
    const auto status = device->stream().launch(*kernel, config, {arrived.address(), seen.address()});
    REQUIRE_FALSE(status);
    CHECK(contains(status.error().message, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"));
    CHECK(contains(status.error().message,
                   fmt::format("{} CTAs must be resident at once, {} fit", resident + 1, resident)));
    must(device->stream().synchronize());
}

TEST_CASE("gpu: cluster launch") {
    const auto device = gpu_or_skip("gpu: cluster launch");
    if (!device) return;
    if (!device->properties().cluster_launch) return fmt::print("[SKIP] gpu: cluster launch: needs sm_90\n");
    const auto module = must(device->load(ptx::ranks));
    auto* kernel = must(module->kernel("ranks"));
    // Sixteen is beyond the portable size; Hopper and data-centre Blackwell have it.
    const auto sm = device->properties().target.sm;
    const std::vector<std::uint32_t> sizes =
        sm == 90 || sm == 100 ? std::vector<std::uint32_t>{1, 4, 8, 16} : std::vector<std::uint32_t>{1, 4, 8};
    for (const auto size : sizes) {
        const auto out = upload(*device, std::vector<std::uint32_t>(48));
        must(device->stream().launch(*kernel, {.grid = {48, 1, 1}, .block = {32, 1, 1}, .cluster = Dim3{size, 1, 1}},
                                     {out.address()}));
        const auto ranks = download<std::uint32_t>(*device, out);
        for (std::uint32_t i = 0; i < 48; ++i) CHECK(ranks[i] == 100 * size + i % size);
    }
    CHECK_FALSE(device->stream().launch(*kernel, {.grid = {48, 1, 1}, .cluster = Dim3{5, 1, 1}}, {DevicePtr{0}}));
}

TEST_CASE("gpu: all shared memory that a CTA can have") {
    const auto device = gpu_or_skip("gpu: all shared memory that a CTA can have");
    if (!device) return;
    const auto module = must(device->load(ptx::reverse));
    auto* kernel = must(module->kernel("reverse"));
    for (const auto bytes : {1024u, 48u * 1024, device->properties().shared_bytes_per_block_optin}) {
        const std::uint32_t n = bytes / 4;
        const auto out = upload(*device, std::vector<std::uint32_t>(n));
        must(device->stream().launch(*kernel, {.block = {256, 1, 1}, .shared_bytes = bytes}, {n, out.address()}));
        const auto values = download<std::uint32_t>(*device, out);
        std::uint32_t wrong = 0;
        for (std::uint32_t i = 0; i < n; ++i) wrong += values[i] != n - 1 - i;
        CHECK(wrong == 0);
    }
    const auto status = device->stream().launch(
        *kernel, {.block = {256, 1, 1}, .shared_bytes = device->properties().shared_bytes_per_block_optin + 4},
        {0u, DevicePtr{0}});
    REQUIRE_FALSE(status);
    CHECK(contains(status.error().message, "of dynamic and 0 of static shared memory"));
}

TEST_CASE("gpu: threads launch at the same time") {
    const auto device = gpu_or_skip("gpu: threads launch at the same time");
    if (!device) return;
    const auto module = must(device->load(ptx::count));
    const auto counter = must(module->global("counter"));
    std::vector<std::thread> threads;
    std::vector<int> failed(4);
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            auto stream = device->create_stream();
            auto kernel = module->kernel("count");
            failed[t] = !stream || !kernel;
            for (int i = 0; i < 50 && !failed[t]; ++i)
                failed[t] = !(*stream)->launch(**kernel, {.grid = {2, 1, 1}, .block = {64, 1, 1}}, {}).ok();
            if (!failed[t]) failed[t] = !(*stream)->synchronize().ok();
        });
    for (auto& thread : threads) thread.join();
    CHECK(failed == std::vector<int>(4));
    CHECK(download<std::uint32_t>(*device, counter)[0] == 5 + 4 * 50 * 2 * 64);
}

TEST_CASE("gpu: an illegal address, in a process of its own" * doctest::skip()) {
    const auto device = gpu_or_skip("gpu: an illegal address");
    REQUIRE(device);
    const auto module = must(device->load(ptx::poke));
    auto* kernel = must(module->kernel("poke"));
    must(device->stream().launch(*kernel, {}, {DevicePtr{64}}));
    const auto status = device->stream().synchronize();
    REQUIRE_FALSE(status);
    CHECK(contains(status.error().message, "CUDA_ERROR_ILLEGAL_ADDRESS (700)"));
    CHECK(contains(status.error().message, "this context cannot be used any more"));
    CHECK(contains(status.error().message, "last launch was of kernel poke"));
    const auto after = device->allocate(4);
    REQUIRE_FALSE(after);
    CHECK(contains(after.error().message, "cannot be used any more"));
}

TEST_CASE("gpu: an illegal address is reported as one that ends the context") {
    if (!gpu_or_skip("gpu: an illegal address is reported as one that ends the context")) return;
    const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
    CHECK(std::system(fmt::format("\"{}\" --no-skip -tc='*in a process of its own'", self).c_str()) == 0);
}
