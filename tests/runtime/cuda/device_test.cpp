// Properties, memory, modules, launches, streams and graphs: what reaches the (fake) driver, and what is refused
// before.
#include "tests/runtime/cuda/fake_driver.hpp"

using namespace ptxgen;
using namespace ptxgen::cuda;
using runtime::KernelArg;
using runtime::LaunchConfig;

namespace {

constexpr char ptx[] = ".version 8.0\n.target sm_75\n";

/// A module with kernel `k` on a fake device; the fake knows its parameters.
struct Loaded {
    FakeDevice fake;
    std::unique_ptr<runtime::LoadedModule> module;
    runtime::Kernel* kernel = nullptr;

    explicit Loaded(std::vector<std::size_t> parameters = {}, std::vector<std::string> missing = {},
                    int cluster_launch = 1)
        : fake({}, std::move(missing)) {
        fake->kernels["k"] = std::move(parameters);
        fake->cluster_launch = cluster_launch;
        auto loaded = fake.device().load(ptx);
        REQUIRE(loaded);
        module = std::move(*loaded);
        auto found = module->kernel("k");
        REQUIRE(found);
        kernel = *found;
    }
    Status launch(const LaunchConfig& config, std::initializer_list<KernelArg> args = {}) {
        return fake.device().stream().launch(*kernel, config, args);
    }
    std::string refused(const LaunchConfig& config, std::initializer_list<KernelArg> args = {}) {
        const auto status = launch(config, args);
        REQUIRE_FALSE(status);
        return status.error().message;
    }
};

} // namespace

TEST_CASE("properties") {
    FakeDevice fake;
    const auto& properties = fake.device().properties();
    CHECK(properties.name == "Fake GPU 0");
    CHECK(properties.driver == "CUDA driver 13.0");
    CHECK(to_string(properties.target) == "sm_90a");
    CHECK(properties.ptx_version == PtxVersion{9, 0});
    CHECK(properties.multiprocessors == 10);
    CHECK(properties.shared_bytes_per_block == 48 * 1024);
    CHECK(properties.shared_bytes_per_block_optin == 227 * 1024);
    CHECK(properties.shared_bytes_per_multiprocessor == 228 * 1024);
    CHECK(properties.l2_bytes == 1 << 20);
    CHECK(properties.memory_bytes == 1000000);
    CHECK(properties.cluster_launch);
    CHECK(properties.cooperative_launch);
    CHECK_FALSE(properties.is_emulator);
    const auto memory = fake.device().memory_info();
    REQUIRE(memory);
    CHECK(memory->free_bytes == 4000);
    CHECK(memory->total_bytes == 1000000);
}

TEST_CASE("properties of an older GPU and driver") {
    FakeDevice fake({}, {"cuLaunchKernelEx", "cuLaunchCooperativeKernel"});
    fake->capability_major = 7, fake->capability_minor = 5;
    fake->driver_version = 11080;
    fake->knows_clusters = false;
    const auto& properties = fake.device().properties();
    CHECK(to_string(properties.target) == "sm_75");
    CHECK_FALSE(properties.cluster_launch);
    CHECK_FALSE(properties.cooperative_launch);
    CHECK(runtime::ptx_version_of_cuda(11080) == PtxVersion{7, 8});
    CHECK(runtime::ptx_version_of_cuda(12060) == PtxVersion{8, 5});
    CHECK(runtime::ptx_version_of_cuda(12080) == PtxVersion{8, 7});
    CHECK(runtime::ptx_version_of_cuda(99000) == PtxVersion{9, 5});
}

TEST_CASE("memory") {
    FakeDevice fake;
    auto& device = fake.device();
    auto& stream = device.stream();
    {
        auto a = device.allocate(8), b = device.allocate(8);
        REQUIRE(a);
        REQUIRE(b);
        const char text[] = "fine by";
        char back[8] = {};
        CHECK(stream.copy_to_device(a->address(), text, 8));
        CHECK(stream.copy(b->address(), a->address(), 8));
        CHECK(stream.copy_to_host(back, b->address(), 8));
        CHECK(std::string(back) == text);
        CHECK(stream.fill(b->address(), 7, 8));
        CHECK(stream.copy_to_host(back, b->address(), 8));
        CHECK(back[3] == 7);
    }
    CHECK(fake->allocations.empty());

    const auto calls = fake->calls.size();
    CHECK(stream.copy_to_device(0, nullptr, 0));
    CHECK(stream.copy_to_host(nullptr, 0, 0));
    CHECK(stream.copy(0, 0, 0));
    CHECK(stream.fill(0, 0, 0));
    const auto nothing = device.allocate(0);
    REQUIRE(nothing);
    CHECK_FALSE(*nothing);
    CHECK(fake->calls.size() == calls);

    fake->failures["cuMemAlloc_v2"] = 2;
    const auto too_much = device.allocate(123456);
    REQUIRE_FALSE(too_much);
    CHECK(contains(too_much.error().message, "CUDA_ERROR_OUT_OF_MEMORY"));
    CHECK(contains(too_much.error().message, "123456 bytes are needed, 4000 of 1000000 are free on Fake GPU 0"));
}

TEST_CASE("page-locked memory") {
    FakeDevice fake;
    {
        auto pinned = fake.device().allocate_host(64, runtime::HostMemory::pinned);
        auto mapped = fake.device().allocate_host(64, runtime::HostMemory::mapped);
        REQUIRE(pinned);
        REQUIRE(mapped);
        CHECK((*pinned)->size() == 64);
        CHECK((*pinned)->data() != nullptr);
        CHECK((*pinned)->device_address() == 0);
        CHECK((*mapped)->device_address() != 0);
        fake.close(); // buffers keep their context
    }
    CHECK(fake->allocations.empty());
    fake->failures["cuMemHostGetDevicePointer_v2"] = 999;
    CHECK_FALSE(fake.device().allocate_host(64, runtime::HostMemory::mapped));
    CHECK(fake->allocations.empty());
}

TEST_CASE("module variables and kernels by name") {
    Loaded loaded;
    loaded.fake->globals["table"] = {0x4000, 12};
    const auto table = loaded.module->global("table");
    REQUIRE(table);
    CHECK(table->address() == 0x4000);
    CHECK(table->size() == 12);
    CHECK(loaded.module->global("nope").error().message ==
          "the module has no variable nope: it needs a .visible .global or .const of that name");
    CHECK(loaded.module->kernel("nope").error().message ==
          "the module has no kernel nope: it needs a .visible .entry of that name");
    CHECK(*loaded.module->kernel("k") == loaded.kernel);
    const auto attributes = loaded.kernel->attributes();
    REQUIRE(attributes);
    CHECK(attributes->registers == 32);
    CHECK(attributes->static_shared_bytes == 256);
    CHECK(attributes->local_bytes == 16);
    CHECK(attributes->max_threads_per_block == 1024);
    CHECK(*loaded.kernel->occupancy(128, 0) == 2);
}

TEST_CASE("a launch passes shape, stream and arguments") {
    struct Pair {
        int a, b, c;
    };
    Loaded loaded({4, 8, 12});
    LaunchConfig config;
    config.grid = {3, 4, 5};
    config.block = {32, 2, 1};
    config.shared_bytes = 100;
    REQUIRE(loaded.launch(config, {std::uint32_t{7}, std::uint64_t{9}, Pair{1, 2, 3}}));
    REQUIRE(loaded.fake->launches.size() == 1);
    const auto& launch = loaded.fake->launches[0];
    CHECK(launch.symbol == "cuLaunchKernel");
    CHECK(launch.kernel == "k");
    CHECK((launch.grid[0] == 3 && launch.grid[1] == 4 && launch.grid[2] == 5));
    CHECK((launch.block[0] == 32 && launch.block[1] == 2 && launch.block[2] == 1));
    CHECK(launch.shared_bytes == 100);
    CHECK(launch.arguments[0] == std::string("\7\0\0\0", 4));
    CHECK(launch.arguments[1] == std::string("\11\0\0\0\0\0\0\0", 8));
    CHECK(launch.arguments[2] == std::string("\1\0\0\0\2\0\0\0\3\0\0\0", 12));
}

TEST_CASE("wrong arguments are refused") {
    Loaded loaded({4, 8});
    CHECK(loaded.refused({}, {std::uint32_t{7}}) == "kernel k has 2 parameters, 1 arguments were given");
    CHECK(loaded.refused({}, {std::uint32_t{7}, std::uint32_t{7}}) ==
          "kernel k: parameter 1 (the first is 0) is 8 bytes, the argument given is 4");
    CHECK(loaded.fake->launches.empty());
    Loaded old({4, 8}, {"cuFuncGetParamInfo"});
    CHECK(old.launch({}, {std::uint32_t{7}, std::uint64_t{7}}));
}

TEST_CASE("wrong shapes are refused") {
    Loaded loaded;
    CHECK(contains(loaded.refused({.grid = {1, 0, 1}}), "must not have a dimension of zero"));
    CHECK(contains(loaded.refused({.block = {1024, 2, 1}}), "block 1024x2x1 is 2048 threads, at most 1024"));
    CHECK(contains(loaded.refused({.grid = {3, 1, 1}, .cluster = runtime::Dim3{2, 1, 1}}),
                   "cluster 2x1x1 does not divide grid 3x1x1"));
    CHECK(contains(loaded.refused({.shared_bytes = 227 * 1024}),
                   "232448 bytes of dynamic and 256 of static shared memory, Fake GPU 0 has 232448 for a CTA"));
    CHECK(loaded.fake->launches.empty());
    Loaded before_hopper({}, {}, 0);
    CHECK(contains(before_hopper.refused({.cluster = runtime::Dim3{1, 1, 1}}), "needs a device of sm_90 or later"));
}

TEST_CASE("much dynamic shared memory is opted in for once") {
    Loaded loaded;
    REQUIRE(loaded.launch({.shared_bytes = 48 * 1024 - 256}));
    CHECK(loaded.fake->function_attributes.empty());
    REQUIRE(loaded.launch({.shared_bytes = 100000}));
    CHECK(loaded.fake->function_attributes["k/8"] == 100000);
    REQUIRE(loaded.launch({.shared_bytes = 90000}));
    REQUIRE(loaded.launch({.shared_bytes = 100000}));
    CHECK(loaded.fake->count("cuFuncSetAttribute") == 1);
    CHECK(loaded.fake->launches.back().shared_bytes == 100000);
}

TEST_CASE("cooperative and cluster launches") {
    Loaded loaded;
    REQUIRE(loaded.launch({.grid = {8, 1, 1}, .cluster = runtime::Dim3{4, 1, 1}, .cooperative = true}));
    const auto& both = loaded.fake->launches.back();
    CHECK(both.symbol == "cuLaunchKernelEx");
    CHECK(both.cooperative);
    CHECK((both.cluster[0] == 4 && both.cluster[1] == 1 && both.cluster[2] == 1));
    CHECK(loaded.fake->function_attributes.empty());
    REQUIRE(loaded.launch({.grid = {16, 1, 1}, .cluster = runtime::Dim3{16, 1, 1}}));
    CHECK(loaded.fake->function_attributes["k/14"] == 1);
    CHECK_FALSE(loaded.fake->launches.back().cooperative);

    Loaded old({}, {"cuLaunchKernelEx"});
    REQUIRE(old.launch({.grid = {8, 1, 1}, .cooperative = true}));
    CHECK(old.fake->launches.back().symbol == "cuLaunchCooperativeKernel");
    CHECK(contains(old.refused({.cluster = runtime::Dim3{1, 1, 1}}), "cuLaunchKernelEx, which cluster launch needs"));

    Loaded oldest({}, {"cuLaunchKernelEx", "cuLaunchCooperativeKernel"});
    CHECK(contains(oldest.refused({.cooperative = true}),
                   "has no cuLaunchCooperativeKernel, which cooperative launch needs"));
    CHECK(oldest.launch({}));
}

TEST_CASE("a cooperative launch that does not fit says what does") {
    Loaded loaded;
    loaded.fake->failures["cuLaunchKernelEx"] = 720;
    CHECK(loaded.refused({.grid = {21, 1, 1}, .block = {64, 1, 1}, .cooperative = true}) ==
          "cuLaunchKernelEx(k, grid 21x1x1, block 64x1x1, cooperative, 0 bytes of dynamic shared memory): "
          "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE (720): the description; 21 CTAs must be resident at once, 20 fit: "
          "2 on each of 10 multiprocessors");
}

TEST_CASE("an error that turns up at the end names the last kernel") {
    Loaded loaded;
    REQUIRE(loaded.launch({}));
    loaded.fake->failures["cuStreamSynchronize"] = 700;
    const auto status = loaded.fake.device().stream().synchronize();
    REQUIRE_FALSE(status);
    CHECK(contains(status.error().message, "CUDA_ERROR_ILLEGAL_ADDRESS"));
    CHECK(contains(status.error().message, "last launch was of kernel k"));
}

TEST_CASE("events") {
    FakeDevice fake;
    {
        auto a = fake.device().create_event(), b = fake.device().create_event();
        REQUIRE(a);
        REQUIRE(b);
        auto& stream = fake.device().stream();
        CHECK(stream.record(**a));
        CHECK(stream.record(**b));
        CHECK(stream.wait(**a));
        CHECK((*a)->synchronize());
        CHECK(*(*a)->ready());
        CHECK(*(*a)->elapsed_ms(**b) == 1.5f);
        fake->failures["cuEventQuery"] = 600;
        CHECK_FALSE(*(*a)->ready());
        fake->failures["cuEventQuery"] = 700;
        CHECK_FALSE((*a)->ready().ok());
    }
    CHECK(fake->events == 0);
}

TEST_CASE("objects of another context are refused") {
    Loaded loaded;
    void* context = &context;
    auto driver = loaded.fake.resolve();
    auto other = CudaDevice::create(*driver, {.context = context, .use_cache = false});
    REQUIRE(other);
    const auto status = (*other)->stream().launch(*loaded.kernel, {}, {});
    REQUIRE_FALSE(status);
    CHECK(status.error().message == "this kernel belongs to another device or context than the stream");
    auto event = loaded.fake.device().create_event();
    REQUIRE(event);
    CHECK_FALSE((*other)->stream().record(**event));
}

TEST_CASE("graphs") {
    Loaded loaded;
    auto& stream = loaded.fake.device().stream();
    REQUIRE(stream.begin_capture());
    CHECK(loaded.fake->capture_mode == 1);
    {
        // Allocation is possible meanwhile, and the mode is as it was after.
        auto buffer = loaded.fake.device().allocate(4);
        CHECK(buffer);
        CHECK(loaded.fake->capture_modes_at_alloc == std::vector<int>{2});
        CHECK(loaded.fake->capture_mode == 1);
    }
    REQUIRE(loaded.launch({}));
    {
        auto graph = stream.end_capture();
        REQUIRE(graph);
        CHECK(loaded.fake->graphs == 1); // the template is gone, the executable graph is there
        CHECK(stream.launch(**graph));
    }
    CHECK(loaded.fake->graphs == 0);
    REQUIRE(stream.begin_capture());
    loaded.fake->failures["cuGraphInstantiateWithFlags"] = 1;
    CHECK_FALSE(stream.end_capture());
    CHECK(loaded.fake->graphs == 0);

    FakeDevice old({}, {"cuGraphInstantiateWithFlags"});
    const auto status = old.device().stream().begin_capture();
    REQUIRE_FALSE(status);
    CHECK(contains(status.error().message, "cuGraphInstantiateWithFlags, which graphs needs"));
    CHECK(old->count("cuStreamBeginCapture_v2") == 0);
}
