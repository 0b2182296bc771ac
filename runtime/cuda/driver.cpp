#include "runtime/cuda/driver.hpp"

#include <climits>
#include <cstdlib>
#include <dlfcn.h>
#include <fmt/ranges.h>

namespace ptxgen::cuda {
namespace {

enum class Need { required, optional };

/// The file behind a loaded function, for error messages and as the driver's identity: the resolved name carries
/// the driver's build number (libcuda.so.580.65.06).
std::string file_of(void* function, const std::string& otherwise) {
    Dl_info info{};
    char resolved[PATH_MAX];
    if (!dladdr(function, &info) || !info.dli_fname) return otherwise;
    return realpath(info.dli_fname, resolved) ? resolved : info.dli_fname;
}

} // namespace

bool is_sticky(abi::Code code) {
    using abi::Code;
    switch (code) {
    case Code::ecc_uncorrectable:
    case Code::nvlink_uncorrectable:
    case Code::illegal_address:
    case Code::launch_timeout:
    case Code::context_is_destroyed:
    case Code::assert_triggered:
    case Code::hardware_stack_error:
    case Code::illegal_instruction:
    case Code::misaligned_address:
    case Code::invalid_address_space:
    case Code::invalid_pc:
    case Code::launch_failed: return true;
    default: return false;
    }
}

Result<Driver> Driver::resolve(const Lookup& lookup, std::string library) {
    Driver driver;
    driver.library = std::move(library);
    std::vector<const char*> absent;
    const auto bind = [&](auto& function, Need need) {
        function.pointer = reinterpret_cast<decltype(function.pointer)>(lookup(function.symbol));
        if (!function && need == Need::required) absent.push_back(function.symbol);
    };
#define PTXGEN_CUDA_SYMBOL(member, symbol, need, disables, parameters) bind(driver.member, Need::need);
#include "runtime/cuda/symbols.inc"
#undef PTXGEN_CUDA_SYMBOL
    if (!absent.empty())
        return Error{fmt::format("{} lacks {}: it is no CUDA driver, or one that is too old (CUDA 11.1 or later is "
                                 "needed); update the NVIDIA driver",
                                 driver.library, fmt::join(absent, ", "))};

    if (const auto code = driver.init(0); code == abi::Code::no_device)
        return Error{fmt::format("the NVIDIA driver ({}) is installed but finds no GPU: {}", driver.library,
                                 driver.error(code, driver.init, 0u).message)};
    else if (code != abi::Code::success)
        return driver.error(code, driver.init, 0u);
    if (auto status = driver.call(driver.driver_get_version, &driver.version); !status) return status.error();
    constexpr int oldest = 11010;
    if (driver.version < oldest)
        return Error{fmt::format("the NVIDIA driver ({}) supports CUDA up to {}, 11.1 or later is needed; update it",
                                 driver.library, driver.version_text())};
    return driver;
}

Result<Driver> Driver::open(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char* why = dlerror();
        return Error{fmt::format("no CUDA driver: cannot open {} ({}); install the NVIDIA driver, or run without a GPU",
                                 path, why ? why : "unknown reason")};
    }
    void* any = dlsym(handle, "cuInit");
    return resolve([handle](const char* symbol) { return dlsym(handle, symbol); }, any ? file_of(any, path) : path);
}

std::string Driver::version_text() const { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Error Driver::missing(const char* symbol, const char* disables) const {
    return {fmt::format("this NVIDIA driver (CUDA {}) has no {}, which {} needs; update the driver", version_text(),
                        symbol, *disables ? disables : "this")};
}

Error Driver::describe(abi::Code code, const char* symbol, const std::vector<std::string>& arguments) const {
    const char* name = nullptr;
    const char* text = nullptr;
    // A code that the driver does not know leaves the pointers alone.
    if (get_error_name) (void)get_error_name(code, &name);
    if (get_error_string) (void)get_error_string(code, &text);
    return {fmt::format("{}({}): {} ({}): {}{}", symbol, fmt::join(arguments, ", "), name ? name : "unknown CUDA error",
                        static_cast<unsigned>(code), text ? text : "no description",
                        is_sticky(code) ? "; an earlier launch failed on the GPU, and this context cannot be used any "
                                          "more: start the process (or its context) again, and run the kernel on the "
                                          "emulator to see the faulty access"
                                        : "")};
}

Result<const Driver*> driver() {
    // Never destroyed, so that objects of static storage may still call it when the process ends.
    static const auto& opened = *new Result<Driver>([] {
        const char* path = std::getenv("PTXGEN_LIBCUDA");
        return Driver::open(path && *path ? path : "libcuda.so.1");
    }());
    if (!opened) return opened.error();
    return &*opened;
}

} // namespace ptxgen::cuda
