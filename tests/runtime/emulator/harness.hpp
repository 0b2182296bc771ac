#pragma once

#include "runtime/emulator/emulator.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace ptxgen::test {

using namespace ptxgen::runtime;

inline std::unique_ptr<EmulatedDevice> make_device(bool checks = true, unsigned threads = 1,
                                                   VectorLevel level = VectorLevel::native) {
    EmulatorOptions options;
    options.target = {100, TargetVariant::arch};
    options.checks = checks;
    options.threads = threads;
    options.memory_bytes = 256 << 20;
    options.vector_level = level;
    options.stall_seconds = 5;
    return create_emulator(options);
}

template <class T>
Buffer upload(Device& device, const std::vector<T>& data) {
    auto buffer = device.allocate(data.size() * sizeof(T));
    REQUIRE(buffer.ok());
    REQUIRE(device.stream().copy_to_device(buffer->address(), data.data(), data.size() * sizeof(T)).ok());
    return std::move(*buffer);
}
template <class T>
std::vector<T> download(Device& device, const Buffer& buffer, std::size_t count) {
    std::vector<T> data(count);
    REQUIRE(device.stream().copy_to_host(data.data(), buffer.address(), count * sizeof(T)).ok());
    return data;
}

inline Result<std::unique_ptr<LoadedModule>> load(Device& device, const std::string& ptx) { return device.load(ptx); }

/// A module around the text of kernels.
inline std::string module_of(const std::string& kernels) {
    return ".version 8.8\n.target sm_100a\n.address_size 64\n\n" + kernels;
}

struct Triple {
    std::uint64_t a, b, c;
};

/// Values worth trying: small and large integers, signs, shift counts at the widths, floating-point corners in f16, f32
/// and f64, and random bits.
inline std::vector<Triple> operand_triples() {
    static const std::uint64_t corners[] = {0,
                                            1,
                                            2,
                                            3,
                                            7,
                                            15,
                                            16,
                                            17,
                                            31,
                                            32,
                                            33,
                                            63,
                                            64,
                                            65,
                                            127,
                                            128,
                                            255,
                                            256,
                                            0x7fff,
                                            0x8000,
                                            0xffff,
                                            0x7fffffff,
                                            0x80000000,
                                            0xffffffff,
                                            0x7fffffffffffffff,
                                            0x8000000000000000,
                                            0xffffffffffffffff,
                                            0x3f800000,
                                            0xbf800000,
                                            0x7f800000,
                                            0xff800000,
                                            0x7fc00000,
                                            0x00000001,
                                            0x00800000,
                                            0x007fffff,
                                            0x3f000000,
                                            0x3fc00000,
                                            0x40200000,
                                            0x4b000000,
                                            0x3c00,
                                            0x7c00,
                                            0xfc00,
                                            0x7e00,
                                            0x0400,
                                            0x03ff,
                                            0x7bff,
                                            0x3ff0000000000000,
                                            0x7ff0000000000000,
                                            0x7ff8000000000000,
                                            0x0010000000000000,
                                            0x000fffffffffffff,
                                            0xbff0000000000000,
                                            0x41dfffffffc00000,
                                            0x80000001,
                                            0x4f000000,
                                            0xcf000000,
                                            0x4effffff,
                                            0x5f000000,
                                            0x33000000,
                                            0x477fefff,
                                            0x477ff000};
    std::vector<Triple> out;
    std::mt19937_64 random(7);
    for (const auto a : corners)
        for (const auto b : corners) out.push_back({a, b, corners[random() % std::size(corners)]});
    for (int k = 0; k < 3000; ++k) out.push_back({random(), random(), random()});
    for (int k = 0; k < 1000; ++k) out.push_back({random() % 4096, random() % 80, random() % 80});
    for (int k = 0; k < 1000; ++k) {
        // floats of moderate size
        const auto moderate = [&] {
            const float f = std::ldexp(static_cast<float>(static_cast<std::int32_t>(random())),
                                       static_cast<int>(random() % 40) - 40);
            return std::uint64_t{std::bit_cast<std::uint32_t>(f)};
        };
        out.push_back({moderate(), moderate(), moderate()});
    }
    while (out.size() % 32 != 13) out.push_back({random(), random(), random()}); // the last warp is not full
    return out;
}

/// Runs `instruction` for every triple and returns what it leaves in its destination. Operands: %ha %hb %hc (16 bits),
/// %ra %rb %rc (32), %da %db %dc (64), %pc (bit 0 of c); destinations %h, %r, %d, %p by `width` 16, 32, 64, 1. The
/// second half of the result holds a run in which only odd lanes execute it, over a destination of 0x5a5a….
inline std::vector<std::uint64_t> run_instruction(EmulatedDevice& device, const std::string& instruction,
                                                  unsigned width, const std::vector<Triple>& triples) {
    const std::string store = width == 16   ? "cvt.u64.u16 %out, %h;"
                              : width == 32 ? "cvt.u64.u32 %out, %r;"
                              : width == 64 ? "mov.b64 %out, %d;"
                                            : "selp.b64 %out, 1, 0, %p;";
    // a sequence stands in braces; each of its instructions is guarded
    const bool sequence = instruction.front() == '{';
    std::string guarded = sequence ? "" : "@%odd " + instruction;
    if (sequence)
        for (std::size_t at = 1, end; (end = instruction.find(';', at)) != std::string::npos; at = end + 1)
            guarded += "@%odd " + instruction.substr(at, end + 1 - at);
    const std::string text = module_of(fmt::format(R"(
.visible .entry k(.param .u64 in, .param .u64 result, .param .u32 n)
{{
    .reg .pred %odd, %p, %q, %pc, %end;
    .reg .b16 %h, %ha, %hb, %hc, %hx;
    .reg .b32 %r, %ra, %rb, %rc, %rx, %i, %t, %m;
    .reg .b64 %d, %da, %db, %dc, %dx, %out, %from, %to, %o;
    mov.u32 %i, %tid.x;
    mov.u32 %t, %ctaid.x;
    mov.u32 %m, %ntid.x;
    mad.lo.u32 %i, %t, %m, %i;
    ld.param.u32 %m, [n];
    setp.ge.u32 %end, %i, %m;
    @%end bra DONE;
    ld.param.u64 %from, [in];
    ld.param.u64 %to, [result];
    mul.wide.u32 %o, %i, 24;
    add.u64 %from, %from, %o;
    mul.wide.u32 %o, %i, 8;
    add.u64 %to, %to, %o;
    ld.global.u64 %da, [%from];
    ld.global.u64 %db, [%from+8];
    ld.global.u64 %dc, [%from+16];
    cvt.u32.u64 %ra, %da;
    cvt.u32.u64 %rb, %db;
    cvt.u32.u64 %rc, %dc;
    cvt.u16.u64 %ha, %da;
    cvt.u16.u64 %hb, %db;
    cvt.u16.u64 %hc, %dc;
    and.b32 %t, %rc, 1;
    setp.ne.u32 %pc, %t, 0;
    and.b32 %t, %i, 1;
    setp.ne.u32 %odd, %t, 0;
    mov.b64 %d, 0x5a5a5a5a5a5a5a5a;
    mov.b32 %r, 0x5a5a5a5a;
    mov.b16 %h, 0x5a5a;
    setp.ne.u32 %p, %t, %t;
    setp.ne.u32 %q, %t, %t;
    {}
    {}
    st.global.u64 [%to], %out;
    mul.wide.u32 %o, %m, 8;
    add.u64 %to, %to, %o;
    mov.b64 %d, 0x5a5a5a5a5a5a5a5a;
    mov.b32 %r, 0x5a5a5a5a;
    mov.b16 %h, 0x5a5a;
    setp.ne.u32 %p, %t, %t;
    {}
    {}
    st.global.u64 [%to], %out;
DONE:
    ret;
}}
)",
                                                   instruction, store, guarded, store));
    auto module = device.load(text);
    if (!module.ok()) FAIL(instruction << ": " << module.error().message);
    auto kernel = (*module)->kernel("k");
    if (!kernel.ok()) FAIL(instruction << ": " << kernel.error().message);
    const Buffer in = upload(device, triples);
    auto out = device.allocate(triples.size() * 16);
    REQUIRE(out.ok());
    const auto n = static_cast<std::uint32_t>(triples.size());
    const auto status = device.stream().launch(**kernel, {.grid = {(n + 127) / 128}, .block = {128}},
                                               {in.address(), out->address(), n});
    if (!status.ok()) FAIL(instruction << ": " << status.error().message);
    return download<std::uint64_t>(device, *out, triples.size() * 2);
}

/// Compares an instruction with what C++ computes, for all lanes and for odd lanes alone.
inline void check_on_device(EmulatedDevice& device, const std::string& instruction, unsigned width,
                            const std::function<std::uint64_t(const Triple&)>& expected) {
    static const std::vector<Triple> triples = operand_triples();
    const auto got = run_instruction(device, instruction, width, triples);
    const std::uint64_t mask = width == 64 ? ~std::uint64_t{0} : width == 1 ? 1 : (std::uint64_t{1} << width) - 1;
    const std::uint64_t untouched = width == 1 ? 0 : 0x5a5a5a5a5a5a5a5aull & mask;
    int wrong = 0;
    for (std::size_t k = 0; k < triples.size() && wrong < 3; ++k) {
        const std::uint64_t want = expected(triples[k]) & mask;
        const std::uint64_t want_odd = k % 2 ? want : untouched;
        if (got[k] != want || got[k + triples.size()] != want_odd) {
            ++wrong;
            FAIL_CHECK(fmt::format("{} with a={:#x} b={:#x} c={:#x}: got {:#x} (odd lanes: {:#x}), expected {:#x}",
                                   instruction, triples[k].a, triples[k].b, triples[k].c, got[k],
                                   got[k + triples.size()], want));
        }
    }
    CHECK(wrong == 0);
}

/// The same on `device` and on the narrower builds of the interpreter.
inline void check_instruction(EmulatedDevice& device, const std::string& instruction, unsigned width,
                              const std::function<std::uint64_t(const Triple&)>& expected) {
    check_on_device(device, instruction, width, expected);
    static const auto avx2 = make_device(true, 1, VectorLevel::avx2);
    static const auto baseline = make_device(false, 1, VectorLevel::baseline);
    check_on_device(*avx2, instruction, width, expected);
    check_on_device(*baseline, instruction, width, expected);
}

} // namespace ptxgen::test
