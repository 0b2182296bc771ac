// Builds a kernel with the compiler and emits one of the library's, without a runtime.
#include <kernels/registry.hpp>
#include <ptxgen/ptxgen.hpp>

#include <cstdio>

using namespace ptxgen;

int main() {
    ModuleBuilder module;
    auto k = module.kernel("fill");
    const auto n = k.param<u32>("n");
    const auto out = k.param<global_ptr<f32>>("out");
    k.ret_if(k.tid.x >= n);
    k.st(out + k.tid.x, 1.f);
    const auto text = std::move(module).ptx();
    if (!text) return std::fprintf(stderr, "%s\n", text.error().message.c_str()), 1;
    if (text->find(".visible .entry fill(") == std::string::npos) return std::fprintf(stderr, "%s\n", text->c_str()), 1;
    return kernels::registry().empty();
}
