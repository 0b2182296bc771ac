#include "kernels/registry.hpp"
#include "kernels/ring/matmul_ring.hpp"
#include "tests/kernels/ptxas.hpp"

#include <array>
#include <cstdio>
#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace ptxgen;
using namespace ptxgen::kernels;
using test::assemble;
using test::Assembled;
using test::find_ptxas;

namespace {

constexpr std::array targets{
    Target{75, TargetVariant::plain},  Target{80, TargetVariant::plain}, Target{86, TargetVariant::plain},
    Target{89, TargetVariant::plain},  Target{90, TargetVariant::plain}, Target{90, TargetVariant::arch},
    Target{100, TargetVariant::plain}, Target{100, TargetVariant::arch}, Target{120, TargetVariant::plain},
    Target{120, TargetVariant::arch},  Target{121, TargetVariant::arch},
};

void check_assembles(const std::string& ptxas, const KernelSpec& kernel,
                     const std::map<std::string, std::string>& texts, Target target) {
    CAPTURE(kernel.name);
    CAPTURE(to_string(target));
    const auto values = read_parameters(kernel, texts);
    if (!values) FAIL(values.error().message);
    const auto generated = kernel.generate(*values, target, std::nullopt);
    if (!generated) FAIL(generated.error().message);
    const auto text = print(generated->module);
    if (!text) FAIL(text.error().message);
    const Assembled assembled = assemble(ptxas, target, *text);
    INFO(assembled.log);
    CHECK(assembled.ok);
    // No kernel needs local memory: nothing is spilled, nothing indexed in registers.
    CHECK(assembled.log.find(" 0 bytes stack frame") != std::string::npos);
}

} // namespace

TEST_CASE("every kernel assembles for every target") {
    const auto ptxas = find_ptxas();
    if (!ptxas) return (void)std::puts("[SKIP] every kernel assembles for every target: no ptxas");
    for (const KernelSpec& kernel : registry()) {
        if (kernel.needs_model) continue;
        for (const Target target : targets)
            if (target.provides(kernel.minimum_target)) check_assembles(*ptxas, kernel, {}, target);
    }
}

TEST_CASE("attention needs no local memory for any heads") {
    const auto ptxas = find_ptxas();
    if (!ptxas) return (void)std::puts("[SKIP] attention needs no local memory for any heads: no ptxas");
    const auto kernel = find_kernel("attention");
    REQUIRE(kernel.ok());
    for (const auto& [heads, kv_heads, head_dim] : {std::array{"4", "1", "256"},
                                                    {"14", "2", "64"},
                                                    {"32", "8", "128"},
                                                    {"32", "32", "80"},
                                                    {"7", "7", "96"},
                                                    {"71", "1", "64"},
                                                    {"7", "1", "127"},
                                                    {"64", "4", "255"},
                                                    {"3", "3", "1"}})
        for (const char* cache : {"f32", "f16"})
            for (const Target target : {Target{75, TargetVariant::plain}, Target{90, TargetVariant::arch}})
                check_assembles(*ptxas, **kernel,
                                {{"heads", heads}, {"kv-heads", kv_heads}, {"head-dim", head_dim}, {"cache", cache}},
                                target);
}

TEST_CASE("ring GEMV needs no local memory for any width or number of tokens") {
    const auto ptxas = find_ptxas();
    if (!ptxas) return (void)std::puts("[SKIP] ring GEMV needs no local memory for any width: no ptxas");
    for (const char* type : {"q4_k", "q6_k", "q8_0", "q4_1", "q5_0"}) {
        const auto kernel = find_kernel(std::string("gemv_ring_") + type);
        REQUIRE(kernel.ok());
        for (const Target target : {Target{75, TargetVariant::plain}, Target{80, TargetVariant::plain},
                                    Target{90, TargetVariant::plain}, Target{100, TargetVariant::plain}})
            for (const auto& [cols, tokens] : {std::array{"4608", "1"}, {"768", "1"}, {"4608", "4"}, {"1024", "8"}})
                check_assembles(*ptxas, **kernel, {{"cols", cols}, {"token-tile", tokens}}, target);
    }
}

TEST_CASE("ring matmul needs no local memory for any shape that is chosen") {
    const auto ptxas = find_ptxas();
    if (!ptxas) return (void)std::puts("[SKIP] ring matmul needs no local memory for any shape: no ptxas");
    for (const TensorType type : ring_types()) {
        const auto kernel = find_kernel(matmul_ring_name(type));
        REQUIRE(kernel.ok());
        for (const Target target : {Target{80, TargetVariant::plain}, Target{90, TargetVariant::plain},
                                    Target{100, TargetVariant::arch}, Target{120, TargetVariant::arch}}) {
            const MatmulRingConfig many = spread({.type = type, .rows = 12288, .cols = 4096}, 512, 132, target);
            for (const auto& [tiles, tokens] : {std::pair{many.row_tiles, "64"}, {1u, "16"}})
                check_assembles(*ptxas, **kernel,
                                {{"row-tiles", std::to_string(tiles)}, {"token-tile", tokens}, {"residual", "yes"}},
                                target);
        }
    }
}

TEST_CASE("without a target, kernels are printed for the lowest that they need") {
    for (const KernelSpec& kernel : registry()) {
        if (kernel.needs_model) continue;
        CAPTURE(kernel.name);
        const auto values = read_parameters(kernel, {});
        REQUIRE(values.ok());
        const auto lowest = kernel.generate(*values, std::nullopt, std::nullopt);
        REQUIRE(lowest.ok());
        const auto resolved = resolve_target(lowest->module);
        REQUIRE(resolved.ok());
        CHECK(kernel.minimum_target.provides(resolved->target));
        const auto again = kernel.generate(*values, std::nullopt, std::nullopt);
        REQUIRE(again.ok());
        CHECK(*print(lowest->module) == *print(again->module));
    }
}

TEST_CASE("kernels build at both ends of every parameter's range, or say what does not fit") {
    for (const KernelSpec& kernel : registry()) {
        if (kernel.needs_model) continue;
        for (const ParameterSpec& parameter : kernel.parameters) {
            std::vector<std::string> texts = parameter.words;
            if (texts.empty() && parameter.is_real)
                texts = {fmt::format("{}", parameter.real_min), fmt::format("{}", parameter.real_max)};
            else if (texts.empty())
                texts = {fmt::format("{}", parameter.min), fmt::format("{}", parameter.max)};
            for (const auto& text : texts) {
                CAPTURE(kernel.name);
                CAPTURE(parameter.name);
                CAPTURE(text);
                const auto values = read_parameters(kernel, {{parameter.name, text}});
                REQUIRE(values.ok());
                const auto generated = kernel.generate(*values, std::nullopt, std::nullopt);
                if (!generated) CHECK(generated.error().message.size() > 10);
            }
        }
    }
}
