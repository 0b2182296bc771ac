// Streams, events, graphs, memory and compilation on a real GPU.
#include "runtime/cuda/driver.hpp"
#include "runtime/cuda/module_cache.hpp"
#include "tests/runtime/cuda/gpu/gpu.hpp"
#include "tests/runtime/cuda/gpu/kernels.hpp"
#include "tests/runtime/cuda/scratch.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>

using namespace ptxgen;
using namespace ptxgen::runtime;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

constexpr std::uint32_t n = 100000;

/// axpy over n elements.
struct Axpy {
    Device& device;
    std::unique_ptr<LoadedModule> module = must(device.load(ptx::axpy));
    Kernel* kernel = must(module->kernel("axpy"));
    Buffer x = upload(device, std::vector<float>(n, 1.f));
    Buffer y = upload(device, std::vector<float>(n, 0.f));

    void launch(Stream& stream, float a) {
        must(stream.launch(*kernel, {.grid = {blocks_for(n, 128), 1, 1}, .block = {128, 1, 1}},
                           {n, a, x.address(), y.address()}));
    }
    void check(float expected) { CHECK(download<float>(device, y) == std::vector<float>(n, expected)); }
};

} // namespace

TEST_CASE("gpu: streams wait for events, and events measure") {
    const auto device = gpu_or_skip("gpu: streams wait for events, and events measure");
    if (!device) return;
    Axpy axpy{*device};
    const auto a = must(device->create_stream()), b = must(device->create_stream());
    const auto begin = must(device->create_event()), turn = must(device->create_event()),
               end = must(device->create_event());
    must(a->record(*begin));
    for (int i = 0; i < 20; ++i) {
        axpy.launch(*a, 1.f);
        must(a->record(*turn));
        must(b->wait(*turn));
        axpy.launch(*b, 1.f);
        must(b->record(*turn));
        must(a->wait(*turn));
    }
    must(a->record(*end));
    must(end->synchronize());
    CHECK(must(end->ready()));
    const float milliseconds = must(begin->elapsed_ms(*end));
    CHECK(milliseconds > 0.f);
    CHECK(milliseconds < 10000.f);
    axpy.check(40.f);
}

TEST_CASE("gpu: a graph repeats what was captured") {
    const auto device = gpu_or_skip("gpu: a graph repeats what was captured");
    if (!device) return;
    Axpy axpy{*device};
    auto& stream = device->stream();
    must(stream.begin_capture());
    const auto meanwhile = device->allocate(1 << 20);
    CHECK_MESSAGE(meanwhile.ok(), (meanwhile.ok() ? "" : meanwhile.error().message));
    must(stream.fill(axpy.y.address(), 0, axpy.y.size()));
    axpy.launch(stream, 1.f);
    axpy.launch(stream, 2.f);
    auto graph = must(stream.end_capture());
    axpy.check(0.f); // nothing ran yet
    for (int i = 0; i < 3; ++i) must(stream.launch(*graph));
    axpy.check(3.f);
    graph.reset();
    axpy.launch(stream, 1.f);
    axpy.check(4.f);
}

TEST_CASE("gpu: copies and fills") {
    const auto device = gpu_or_skip("gpu: copies and fills");
    if (!device) return;
    auto& stream = device->stream();
    for (const std::size_t bytes : {1, 4097, 3 << 20}) {
        const auto a = must(device->allocate(bytes)), b = must(device->allocate(bytes));
        std::vector<unsigned char> source(bytes), target(bytes);
        for (std::size_t i = 0; i < bytes; ++i) source[i] = static_cast<unsigned char>(i * 7 + 3);
        must(stream.fill(b.address(), 0xee, bytes));
        must(stream.copy_to_device(a.address(), source.data(), bytes));
        const auto kept = source;
        std::fill(source.begin(), source.end(), static_cast<unsigned char>(0)); // may be reused at once
        must(stream.copy(b.address(), a.address(), bytes));
        must(stream.copy_to_host(target.data(), b.address(), bytes));
        must(stream.synchronize());
        CHECK(target == kept);
    }
    const auto too_much = device->allocate(device->properties().memory_bytes * 2);
    REQUIRE_FALSE(too_much);
    CHECK(contains(too_much.error().message, "CUDA_ERROR_OUT_OF_MEMORY"));
    CHECK(contains(too_much.error().message, "bytes are needed"));
}

TEST_CASE("gpu: page-locked and mapped memory") {
    const auto device = gpu_or_skip("gpu: page-locked and mapped memory");
    if (!device) return;
    Axpy axpy{*device};
    auto& stream = device->stream();
    const auto pinned = must(device->allocate_host(n * 4, HostMemory::pinned));
    auto* values = static_cast<float*>(pinned->data());
    CHECK(pinned->device_address() == 0);
    for (std::uint32_t i = 0; i < n; ++i) values[i] = 8.f;
    must(stream.copy_to_device(axpy.x.address(), values, n * 4));
    axpy.launch(stream, 0.5f);
    must(stream.copy_to_host(values, axpy.y.address(), n * 4));
    must(stream.synchronize());
    CHECK(std::vector<float>(values, values + n) == std::vector<float>(n, 4.f));

    const auto mapped = must(device->allocate_host(n * 4, HostMemory::mapped));
    std::memset(mapped->data(), 0, n * 4);
    REQUIRE(mapped->device_address() != 0);
    must(stream.launch(*axpy.kernel, {.grid = {blocks_for(n, 128), 1, 1}, .block = {128, 1, 1}},
                       {n, 2.f, axpy.x.address(), mapped->device_address()}));
    must(stream.synchronize());
    const auto* seen = static_cast<const float*>(mapped->data());
    CHECK(std::vector<float>(seen, seen + n) == std::vector<float>(n, 16.f));
}

TEST_CASE("gpu: bad PTX gives the log with its line") {
    for (const bool cached : {false, true}) {
        const Scratch scratch;
        const auto device = gpu_or_skip("gpu: bad PTX gives the log with its line",
                                        {.use_cache = cached, .cache_directory = scratch.path()});
        if (!device) return;
        std::string text = ptx::axpy;
        text.replace(text.find("fma.rn.f32 %f4"), 14, "fma.rn.f32 %rd4");
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(text.find("fma.rn")), '\n');
        const auto module = device->load(text);
        REQUIRE_FALSE(module);
        fmt::print("{}\n", module.error().message);
        CHECK(contains(module.error().message, "CUDA_ERROR_INVALID_PTX"));
        CHECK(contains(module.error().message, fmt::format("line {}", line)));
        CHECK(contains(module.error().message, "| fma.rn.f32 %rd4, %f1, %f2, %f3;"));
    }
    const auto device = gpu_or_skip("gpu: bad PTX gives the log with its line", {.use_cache = false});
    std::string future = ptx::axpy;
    future.replace(future.find("6.4"), 3, "99.0");
    const auto module = device->load(future);
    REQUIRE_FALSE(module);
    CHECK(
        contains(module.error().message, "this driver takes PTX up to " + to_string(device->properties().ptx_version)));
}

TEST_CASE("gpu: compiled modules are kept") {
    const Scratch scratch;
    const CudaOptions options{.cache_directory = scratch.path()};
    const cuda::ModuleCache cache({scratch.path()});
    for (int round = 0; round < 3; ++round) {
        const auto device = gpu_or_skip("gpu: compiled modules are kept", options);
        if (!device) return;
        Axpy axpy{*device};
        axpy.launch(device->stream(), 2.f);
        axpy.check(2.f);
        CHECK(cache.stats().entries == 1);
        if (round == 1) { // the third round meets a damaged entry
            const auto file = std::filesystem::directory_iterator(scratch.path())->path();
            std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(100).put('\x55').put('\xaa');
        }
    }
}

TEST_CASE("gpu: the newest PTX version that the driver is said to take") {
    const auto device =
        gpu_or_skip("gpu: the newest PTX version that the driver is said to take", {.use_cache = false});
    if (!device) return;
    std::string text = ptx::axpy;
    text.replace(text.find("6.4"), 3, to_string(device->properties().ptx_version));
    must(device->load(text));
    // Code for exactly this architecture is taken too.
    if (device->properties().target.sm >= 90) {
        text.replace(text.find("sm_75"), 5, to_string(device->properties().target));
        must(device->load(text));
    }
}

TEST_CASE("gpu: an embedding program's context and stream") {
    if (!gpu_or_skip("gpu: an embedding program's context and stream")) return;
    const auto& driver = **cuda::driver();
    cuda::abi::Device ordinal = 0;
    cuda::abi::Context context = nullptr;
    cuda::abi::Stream stream = nullptr;
    must(driver.call(driver.device_get, &ordinal, 0));
    must(driver.call(driver.primary_ctx_retain, &context, ordinal));
    must(driver.call(driver.ctx_push_current, context));
    must(driver.call(driver.stream_create, &stream, 0u));
    cuda::abi::DevicePtr mine = 0;
    must(driver.call(driver.mem_alloc, &mine, std::size_t{n} * 4));
    must(driver.call(driver.memset_d8_async, mine, 0, std::size_t{n} * 4, stream));
    {
        const auto device = gpu_or_skip("", {.context = context, .stream = static_cast<void*>(stream)});
        REQUIRE(device);
        Axpy axpy{*device};
        const auto borrowed = Buffer::borrow(mine, n * 4);
        must(device->stream().launch(*axpy.kernel, {.grid = {blocks_for(n, 128), 1, 1}, .block = {128, 1, 1}},
                                     {n, 3.f, axpy.x.address(), borrowed.address()}));
        must(device->stream().synchronize());
    }
    // Context, stream and memory work on.
    std::vector<float> values(n);
    must(driver.call(driver.memcpy_d_to_h_async, values.data(), mine, std::size_t{n} * 4, stream));
    must(driver.call(driver.stream_synchronize, stream));
    CHECK(values == std::vector<float>(n, 3.f));
    cuda::abi::Context now = nullptr;
    must(driver.call(driver.ctx_get_current, &now));
    CHECK(now == context);
    must(driver.call(driver.mem_free, mine));
    must(driver.call(driver.stream_destroy, stream));
    must(driver.call(driver.ctx_pop_current, &now));
    must(driver.call(driver.primary_ctx_release, ordinal));
}

TEST_CASE("the PTX of the GPU's tests assembles") {
    const char* ptxas = std::getenv("PTXGEN_PTXAS");
    if (!ptxas) return fmt::print("[SKIP] the PTX of the GPU's tests assembles: PTXGEN_PTXAS is not set\n");
    const Scratch scratch;
    for (const char* text : ptx::all) {
        std::ofstream(scratch.path() / "k.ptx") << text;
        CHECK(std::system(fmt::format("\"{}\" -arch=sm_90 -o /dev/null {}", ptxas, (scratch.path() / "k.ptx").string())
                              .c_str()) == 0);
    }
}
