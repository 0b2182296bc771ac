// y = a x + y: build a kernel in C++, get verified PTX, run it on a GPU or on the CPU emulator, handle an error.

#include <ptxgen/ptxgen.hpp>
#include <runtime/open_device.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace ptxgen;

// The kernel. Operators and methods emit PTX; the types of its values exist in C++ and mixing them does not compile.
Result<std::string> axpy_ptx() {
    ModuleBuilder module; // no target: the text names the lowest that the instructions need
    KernelBuilder k = module.kernel("axpy");
    auto n = k.param<u32>("n", "number of elements");
    auto a = k.param<f32>("a");
    auto x = k.param<global_ptr<const f32>>("x");
    auto y = k.param<global_ptr<f32>>("y");

    Val<u32> i = k.mad_lo(k.ctaid.x, k.ntid.x, k.tid.x);
    k.if_(i < n, [&] { k.st(y + i, k.fma(a, k.ld(x + i), k.ld(y + i))); });
    return std::move(module).ptx(); // everything that the verifier finds wrong comes back as the error
}

// Runs it on a device. Every call can fail, and says why.
Status run(runtime::Device& device, const std::string& ptx) {
    constexpr std::uint32_t n = 1000, threads = 128;
    std::vector<float> x(n), y(n, 1.0f);
    for (std::uint32_t i = 0; i < n; i++) x[i] = static_cast<float>(i);

    auto module = device.load(ptx);
    if (!module) return module.error();
    auto kernel = (*module)->kernel("axpy");
    if (!kernel) return kernel.error();
    auto dx = device.allocate(n * sizeof(float)), dy = device.allocate(n * sizeof(float));
    if (!dx) return dx.error();
    if (!dy) return dy.error();

    runtime::Stream& stream = device.stream();
    if (auto ok = stream.copy_to_device(dx->address(), x.data(), n * sizeof(float)); !ok) return ok;
    if (auto ok = stream.copy_to_device(dy->address(), y.data(), n * sizeof(float)); !ok) return ok;
    runtime::LaunchConfig config;
    config.grid = {(n + threads - 1) / threads};
    config.block = {threads};
    if (auto ok = stream.launch(**kernel, config, {n, 2.0f, dx->address(), dy->address()}); !ok) return ok;
    if (auto ok = stream.copy_to_host(y.data(), dy->address(), n * sizeof(float)); !ok) return ok;
    if (auto ok = stream.synchronize(); !ok) return ok;

    for (std::uint32_t i = 0; i < n; i++)
        if (y[i] != 2.0f * static_cast<float>(i) + 1.0f) return Error{"wrong result at " + std::to_string(i)};
    return {};
}

int main() {
    auto ptx = axpy_ptx();
    if (!ptx) {
        std::fprintf(stderr, "%s\n", ptx.error().message.c_str());
        return 1;
    }
    std::printf("%s\n", ptx->c_str());

    // A GPU if there is one, else the emulator; the kernel's text is the same.
    auto opened = runtime::open_device();
    if (!opened) {
        std::fprintf(stderr, "%s\n", opened.error().message.c_str());
        return 1;
    }
    if (auto ok = run(*opened->device, *ptx); !ok) {
        std::fprintf(stderr, "axpy failed: %s\n", ok.error().message.c_str());
        return 1;
    }
    std::printf("axpy is right on %s\n", opened->device->properties().name.c_str());

    // An error is a value: text that is no PTX, refused with the place and the reason.
    auto broken =
        opened->device->load(".version 7.0\n.target sm_75\n.address_size 64\n.entry k() { addd.u32 %r1, 1; }\n");
    if (broken) return 1;
    std::printf("as it should, this failed: %s\n", broken.error().message.c_str());
    return 0;
}
