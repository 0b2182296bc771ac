// Opening the driver, its errors, and whose context is current: on the fake driver.
#include "tests/runtime/cuda/fake_driver.hpp"
#include "tests/runtime/cuda/scratch.hpp"

#include <fmt/format.h>

using namespace ptxgen;
using namespace ptxgen::cuda;

TEST_CASE("a library that is not there") {
    const auto driver = Driver::open("/nonexistent/libcuda.so.1");
    REQUIRE_FALSE(driver);
    CHECK(contains(driver.error().message, "no CUDA driver: cannot open /nonexistent/libcuda.so.1"));
}

TEST_CASE("a library that is no driver") {
    const auto driver = Driver::open("libm.so.6");
    REQUIRE_FALSE(driver);
    CHECK(contains(driver.error().message, "lacks cuInit, "));
}

TEST_CASE("a driver that lacks a required function is too old") {
    const FakeDriver fake({"cuLaunchKernel", "cuMemAlloc_v2"});
    const auto driver = fake.resolve();
    REQUIRE_FALSE(driver);
    CHECK(contains(driver.error().message, "fake libcuda lacks cuMemAlloc_v2, cuLaunchKernel"));
    CHECK(contains(driver.error().message, "update the NVIDIA driver"));
}

TEST_CASE("a driver without any optional function resolves") {
    std::vector<std::string> optional;
#define PTXGEN_CUDA_SYMBOL(member, symbol, need, disables, parameters)                                                 \
    if (std::string_view(#need) == "optional") {                                                                       \
        optional.emplace_back(#symbol);                                                                                \
        CHECK_MESSAGE(std::string_view(disables) != "", #symbol);                                                      \
    } else {                                                                                                           \
        CHECK_MESSAGE(std::string_view(disables) == "", #symbol);                                                      \
    }
#include "runtime/cuda/symbols.inc"
#undef PTXGEN_CUDA_SYMBOL
    CHECK(optional.size() > 10);
    CHECK(FakeDriver(optional).resolve());
}

TEST_CASE("a driver that finds no GPU, and one that is too old") {
    FakeDriver fake;
    fake->failures["cuInit"] = 100;
    auto driver = fake.resolve();
    REQUIRE_FALSE(driver);
    CHECK(contains(driver.error().message, "finds no GPU: cuInit(0): CUDA_ERROR_NO_DEVICE (100)"));

    fake->failures.clear();
    fake->driver_version = 10020;
    driver = fake.resolve();
    REQUIRE_FALSE(driver);
    CHECK(contains(driver.error().message, "supports CUDA up to 10.2, 11.1 or later is needed"));
}

TEST_CASE("an error has name, number, description, call and arguments") {
    FakeDriver fake;
    const auto driver = fake.resolve();
    REQUIRE(driver);
    fake->failures["cuMemsetD8Async"] = 2;
    auto status = driver->call(driver->memset_d8_async, 0xabc0ull, 7, std::size_t{1024}, nullptr);
    REQUIRE_FALSE(status);
    CHECK(status.error().message ==
          "cuMemsetD8Async(0xabc0, 7, 1024, null): CUDA_ERROR_OUT_OF_MEMORY (2): the description");

    fake->failures["cuMemsetD8Async"] = 12345; // a code that the driver itself cannot name
    status = driver->call(driver->memset_d8_async, 0xabc0ull, 7, std::size_t{1024}, nullptr);
    CHECK(contains(status.error().message, "unknown CUDA error (12345): no description"));

    fake->failures["cuMemsetD8Async"] = 700;
    status = driver->call(driver->memset_d8_async, 0xabc0ull, 7, std::size_t{1024}, nullptr);
    CHECK(contains(status.error().message, "CUDA_ERROR_ILLEGAL_ADDRESS (700)"));
    CHECK(contains(status.error().message, "this context cannot be used any more"));
}

TEST_CASE("an optional function that is missing is named with what needs it") {
    const FakeDriver fake({"cuGraphLaunch"});
    const auto driver = fake.resolve();
    REQUIRE(driver);
    const auto status = driver->call(driver->graph_launch, nullptr, nullptr);
    REQUIRE_FALSE(status);
    CHECK(status.error().message ==
          "this NVIDIA driver (CUDA 13.0) has no cuGraphLaunch, which graphs needs; update the driver");
}

TEST_CASE("the primary context is retained while anything lives in it, and never left current") {
    FakeDevice fake;
    {
        auto stream = fake.device().create_stream();
        REQUIRE(stream);
        CHECK(fake->current.empty());
        CHECK(fake->retained.size() == 1);
        CHECK(fake->retained.begin()->second == 1);
        fake.close();
        CHECK(fake->retained.begin()->second == 1); // the stream needs it still
        CHECK((*stream)->synchronize());
    }
    CHECK(fake->retained.begin()->second == 0);
    CHECK(fake->streams == 0);
    CHECK(fake->current.empty());
}

TEST_CASE("a thread's own current context is current again after every call") {
    int mine = 0;
    FakeDevice fake;
    fake->current = {&mine};
    auto& device = fake.device();
    auto buffer = device.allocate(100);
    REQUIRE(buffer);
    CHECK(device.stream().fill(buffer->address(), 1, 100));
    fake->failures["cuMemGetInfo_v2"] = 999;
    CHECK_FALSE(device.memory_info());
    fake->failures["cuMemAlloc_v2"] = 2;
    CHECK_FALSE(device.allocate(5));
    CHECK_FALSE(device.load("BAD"));
    *buffer = {};
    fake.close();
    CHECK(fake->current == std::vector<void*>{&mine});
    CHECK(fake->allocations.empty());
}

TEST_CASE("a context and a stream that are handed over are used and left alone") {
    void* context = &context;
    void* stream[] = {&context}; // the fake finds a stream's context behind its handle
    stream[0] = context;
    FakeDevice fake({.context = context, .stream = static_cast<void*>(stream)});
    fake->kernels["k"] = {};
    {
        auto& device = fake.device();
        CHECK(device.properties().name == "Fake GPU 1"); // the device of the context, not the ordinal
        auto module = device.load(".version 8.0");
        REQUIRE(module);
        auto kernel = (*module)->kernel("k");
        REQUIRE(kernel);
        REQUIRE(device.stream().launch(**kernel, {}, {}));
        CHECK(fake->launches.at(0).stream == stream);
        CHECK(fake->launches.at(0).context == context);
    }
    fake.close();
    CHECK(fake->retained.empty());
    CHECK(fake->count("cuDevicePrimaryCtxRetain") == 0);
    CHECK(fake->count("cuDevicePrimaryCtxRelease_v2") == 0);
    CHECK(fake->count("cuStreamCreate") == 0);
    CHECK(fake->count("cuStreamDestroy_v2") == 0);
    CHECK(fake->modules == 0);
    CHECK(fake->current.empty());
}

TEST_CASE("a context that is current already is not pushed again") {
    void* context = &context;
    FakeDevice fake({.context = context});
    fake->current = {context};
    REQUIRE(fake.device().memory_info());
    CHECK(fake->count("cuCtxPushCurrent_v2") == 0);
    CHECK(fake->count("cuCtxPopCurrent_v2") == 0);
    fake.close();
    CHECK(fake->current == std::vector<void*>{context});
}

TEST_CASE("a stream of another context is refused, the default streams are not") {
    void* context = &context;
    void* other[] = {&other};
    FakeDevice wrong({.context = context, .stream = static_cast<void*>(other)});
    const auto device = wrong.create();
    REQUIRE_FALSE(device);
    CHECK(contains(device.error().message, "belongs to another context"));
    for (const std::uintptr_t handle : {0, 1, 2}) {
        FakeDevice fake({.context = context, .stream = reinterpret_cast<void*>(handle)});
        CHECK(fake.create());
    }
}

TEST_CASE("a buffer that is handed over is not freed") {
    FakeDevice fake;
    { const auto borrowed = runtime::Buffer::borrow(0x1000, 16); }
    { auto owned = fake.device().allocate(16); }
    CHECK(fake->count("cuMemFree_v2") == 1);
}

TEST_CASE("a GPU that is not there") {
    for (const int ordinal : {-1, 2}) {
        FakeDevice fake({.ordinal = ordinal});
        const auto device = fake.create();
        REQUIRE_FALSE(device);
        CHECK(device.error().message == fmt::format("no GPU {}: there are 2, numbers 0 to 1", ordinal));
    }
    FakeDevice fake;
    fake->device_count = 0;
    CHECK_FALSE(fake.create());
}

TEST_CASE("the process's driver is opened once, from PTXGEN_LIBCUDA") {
    FakeDriver fake;
    const Environment variable("PTXGEN_LIBCUDA");
    variable.set(PTXGEN_FAKE_LIBCUDA);
    const auto device = runtime::create_cuda_device({.ordinal = 1, .use_cache = false});
    REQUIRE(device);
    CHECK((*device)->properties().name == "Fake GPU 1");
    CHECK(*runtime::cuda_device_count() == 2);
    variable.set("/nonexistent");
    CHECK(runtime::create_cuda_device({.use_cache = false}));
    CHECK(fake->count("cuInit") <= 1);
    CHECK(contains((*driver())->library, "fake_libcuda"));
}
