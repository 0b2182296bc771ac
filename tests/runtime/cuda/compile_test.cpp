// Compiling PTX with the (fake) driver and keeping the result on disk.
#include "runtime/cuda/compile.hpp"

#include "tests/runtime/cuda/fake_driver.hpp"
#include "tests/runtime/cuda/scratch.hpp"

#include <fstream>

using namespace ptxgen;
using namespace ptxgen::cuda;
namespace fs = std::filesystem;

namespace {
constexpr char good[] = ".version 8.0\n.target sm_75\n// good\n";
constexpr char bad[] = ".version 8.0\n.target sm_75\n  BAD.f32 %f1, %f2;\n";
} // namespace

TEST_CASE("a compiled module is kept and used again") {
    const Scratch scratch;
    {
        FakeDevice fake({.cache_directory = scratch.path()});
        auto module = fake.device().load(good);
        REQUIRE(module);
        CHECK(fake->count("cuLinkComplete") == 1);
        CHECK(fake->links == 0);
        CHECK(fake->jit_target == 0x10000 + 90);
        REQUIRE(fake.device().load(good));
        CHECK(fake->count("cuLinkComplete") == 1);
        module->reset();
        fake.close();
        CHECK(fake->modules == 0);
    }
    // By another process, too; not for another device, driver or text.
    const auto compiles = [&](auto change, const char* text) {
        FakeDevice fake({.cache_directory = scratch.path()});
        change(fake.state());
        REQUIRE(fake.device().load(text));
        return fake->count("cuLinkComplete") == 1;
    };
    CHECK_FALSE(compiles([](FakeCuda&) {}, good));
    CHECK(compiles([](FakeCuda&) {}, ".version 8.0\n.target sm_75\n// other\n"));
    CHECK(compiles([](FakeCuda& fake) { fake.capability_major = 10; }, good));
    CHECK(ModuleCache({scratch.path()}).stats().entries == 3);
}

TEST_CASE("a kept module depends on the driver's version") {
    const Scratch scratch;
    FakeDevice fake({.cache_directory = scratch.path()});
    REQUIRE(fake.device().load(good));
    fake->driver_version = 13010;
    auto newer = fake.resolve();
    REQUIRE(newer);
    auto device = CudaDevice::create(*newer, {.cache_directory = scratch.path()});
    REQUIRE(device);
    REQUIRE((*device)->load(good));
    CHECK(fake->count("cuLinkComplete") == 2);
}

TEST_CASE("a damaged or refused entry is compiled again") {
    const Scratch scratch;
    FakeDevice fake({.cache_directory = scratch.path()});
    REQUIRE(fake.device().load(good));
    const auto file = fs::directory_iterator(scratch.path())->path();
    std::ofstream(file, std::ios::app) << "x";
    REQUIRE(fake.device().load(good));
    CHECK(fake->count("cuLinkComplete") == 2);

    // The driver refuses what the cache holds: the entry goes, and the module is compiled.
    fake->failures["cuModuleLoadDataEx"] = 200;
    CHECK_FALSE(fake.device().load(good));
    CHECK(fake->count("cuLinkComplete") == 3);
    CHECK(ModuleCache({scratch.path()}).stats().entries == 0);
    fake->failures.clear();
    REQUIRE(fake.device().load(good));
    CHECK(fake->count("cuLinkComplete") == 4);
    CHECK(ModuleCache({scratch.path()}).stats().entries == 1);
}

TEST_CASE("a failure shows the log with the line") {
    const Scratch scratch;
    for (const bool cached : {false, true}) {
        FakeDevice fake({.cache_directory = cached ? scratch.path() : fs::path()});
        const auto module = fake.device().load(bad);
        REQUIRE_FALSE(module);
        const auto& message = module.error().message;
        CHECK(contains(message, "the driver cannot compile this PTX for sm_90a: cu"));
        CHECK(contains(message, "CUDA_ERROR_INVALID_PTX (218)"));
        CHECK(contains(message, "\nptxas application ptx input, line 3; error   : Not a name of any known instruction: "
                                "'BAD'\n     3 | BAD.f32 %f1, %f2;\nptxas fatal"));
        CHECK(fake->links == 0);
        CHECK(fake->modules == 0);
    }
    CHECK(ModuleCache({scratch.path()}).stats().entries == 0);
}

TEST_CASE("without the linker functions there is no cache, but modules load") {
    const Scratch scratch;
    FakeDevice fake({.cache_directory = scratch.path()}, {"cuLinkComplete"});
    CHECK(fake.device().load(good));
    CHECK(fake->count("cuLinkCreate_v2") == 0);
    CHECK(fake->jit_target == 0x10000 + 90);
    CHECK(ModuleCache({scratch.path()}).stats().entries == 0);
}

TEST_CASE("a cache that cannot be written does no harm") {
    FakeDevice fake({.cache_directory = "/proc/nowhere"});
    CHECK(fake.device().load(good));
    CHECK(fake.device().load(good));
}

TEST_CASE("reasons that are known are explained") {
    FakeDevice fake;
    fake->failures["cuModuleLoadDataEx"] = 222;
    auto module = fake.device().load(".version 9.4\n.target sm_75\n");
    REQUIRE_FALSE(module);
    CHECK(contains(module.error().message, "the module says .version 9.4, this driver takes PTX up to 9.0"));

    fake->failures["cuModuleLoadDataEx"] = 218;
    module = fake.device().load(".version 9.4\n.target sm_75\n");
    REQUIRE_FALSE(module);
    CHECK(contains(module.error().message, "the module says .version 9.4, this driver takes PTX up to 9.0"));

    fake->failures["cuModuleLoadDataEx"] = 209;
    module = fake.device().load(".version 8.0\n.target sm_100a\n");
    REQUIRE_FALSE(module);
    CHECK(contains(module.error().message, "the module says .target sm_100a, which does not run on this device, "
                                           "sm_90a"));
    CHECK(fake.device().load(std::string("a\0b", 3)).error().message ==
          "PTX is text, but this has a NUL byte at offset 1 of 3");
}

TEST_CASE("instructions that the driver or the device lacks are named") {
    FakeDevice fake;
    fake->capability_major = 7, fake->capability_minor = 5;
    fake->failures["cuModuleLoadDataEx"] = 209;
    const auto module = fake.device().load(".version 7.0\n.target sm_80\n.address_size 64\n"
                                           ".visible .entry k()\n{\n"
                                           ".reg .b32 %r<3>;\n"
                                           "add.u32 %r1, %r2, 1;\n"
                                           "min.NaN.f32 %r1, %r2, %r2;\n"
                                           "ret;\n}\n");
    REQUIRE_FALSE(module);
    CHECK(contains(module.error().message, "\nline 8: min.NaN.f32"));
    CHECK(contains(module.error().message, "needs PTX 7.0 with sm_80"));
    CHECK(contains(module.error().message, "this device is sm_75"));
    CHECK_FALSE(contains(module.error().message, "add.u32"));
}

TEST_CASE("the compiler is told the real compute capability") {
    CHECK(jit_target({75, TargetVariant::plain}) == 75);
    CHECK(jit_target({90, TargetVariant::arch}) == 0x1005a);
}
