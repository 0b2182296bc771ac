#include "runtime/cuda/compile.hpp"

#include "ptxgen/ir/needs.hpp"
#include "ptxgen/text/text.hpp"
#include "runtime/cuda/jit_log.hpp"

#include <array>
#include <string>

namespace ptxgen::cuda {
namespace {

/// Options of a compilation: its target and the buffers that its log is written to.
class JitOptions {
public:
    explicit JitOptions(unsigned target) {
        add(abi::JitOption::info_log_buffer, info_.data());
        add(abi::JitOption::info_log_buffer_size_bytes, number(info_.size()));
        add(abi::JitOption::error_log_buffer, errors_.data());
        add(abi::JitOption::error_log_buffer_size_bytes, number(errors_.size()));
        add(abi::JitOption::target, number(target));
    }
    JitOptions(const JitOptions&) = delete;
    JitOptions& operator=(const JitOptions&) = delete;

    unsigned count() const { return count_; }
    abi::JitOption* options() { return options_.data(); }
    void** values() { return values_.data(); }

    std::string_view errors() const { return errors_.data(); }
    std::string_view info() const { return info_.data(); }

private:
    /// Numbers are passed in the place of pointers.
    static void* number(std::size_t value) { return reinterpret_cast<void*>(value); }
    void add(abi::JitOption option, void* value) {
        options_[count_] = option;
        values_[count_++] = value;
    }

    std::array<char, 16384> errors_{};
    std::array<char, 4096> info_{};
    std::array<abi::JitOption, 5> options_{};
    std::array<void*, 5> values_{};
    unsigned count_ = 0;
};

/// What of the module's header explains a failure on this device. The driver's code alone does not tell: the linker
/// reports a version that is too new as invalid PTX.
std::string explain(abi::Code code, const PtxHeader& header, const runtime::DeviceProperties& device) {
    const auto version = parse_ptx_version(header.version);
    if (code == abi::Code::unsupported_ptx_version || (version && *version > device.ptx_version))
        return fmt::format("; the module says .version {}, this driver takes PTX up to {}: emit it for that version, "
                           "or update the driver",
                           header.version, to_string(device.ptx_version));
    if (const auto target = parse_target(header.target); target && !device.target.provides(*target))
        return fmt::format("; the module says .target {}, which does not run on this device, {}", header.target,
                           to_string(device.target));
    return {};
}

/// The instructions that this device or driver lacks, one a line, with what they need. Nothing for text that our parser
/// cannot read: the driver's log stands alone then.
std::string missing_instructions(std::string_view ptx, const runtime::DeviceProperties& device) {
    constexpr std::size_t most = 8;
    const auto parsed = parse(ptx);
    if (!parsed.ok()) return {};
    std::string lines;
    std::size_t count = 0;
    for (const auto& need : collect_needs(parsed.module)) {
        if (need.available(device.ptx_version, device.target) || need.places.empty()) continue;
        if (++count > most) return lines + "\n...";
        lines +=
            fmt::format("\nline {}: {} {}; this driver takes PTX {}, this device is {}",
                        need.places.front().location.line, need.what, need.describe(device.ptx_version, device.target),
                        to_string(device.ptx_version), to_string(device.target));
    }
    return lines;
}

class Compiler {
public:
    Compiler(const Context& context, const runtime::DeviceProperties& device, std::string_view ptx)
        : driver_(context.driver()), device_(device), ptx_(ptx), options_(jit_target(device.target)) {}

    bool can_link() const {
        return driver_.link_create && driver_.link_add_data && driver_.link_complete && driver_.link_destroy;
    }

    /// The compiled module as bytes that can be loaded later; only the driver's linker gives them.
    Result<std::vector<std::byte>> link() {
        abi::LinkState state = nullptr;
        auto code = driver_.link_create(options_.count(), options_.options(), options_.values(), &state);
        if (code != abi::Code::success)
            return driver_.error(code, driver_.link_create, options_.count(), options_.options(), options_.values(),
                                 &state);
        auto result = link(state);
        (void)driver_.link_destroy(state);
        return result;
    }

    Result<abi::Module> load() {
        abi::Module module = nullptr;
        const auto code =
            driver_.module_load_data_ex(&module, ptx_.c_str(), options_.count(), options_.options(), options_.values());
        if (code != abi::Code::success)
            return failure(code, driver_.error(code, driver_.module_load_data_ex, &module, ptx_.c_str(),
                                               options_.count(), options_.options(), options_.values()));
        return module;
    }

private:
    Result<std::vector<std::byte>> link(abi::LinkState state) {
        // The linker reads the text only, though its parameter is not const.
        void* text = const_cast<char*>(ptx_.c_str());
        auto code = driver_.link_add_data(state, abi::JitInput::ptx, text, ptx_.size() + 1, "ptx", 0, nullptr, nullptr);
        if (code != abi::Code::success)
            return failure(code, driver_.error(code, driver_.link_add_data, state, abi::JitInput::ptx, text,
                                               ptx_.size() + 1, "ptx", 0, nullptr, nullptr));
        void* cubin = nullptr;
        std::size_t size = 0;
        code = driver_.link_complete(state, &cubin, &size);
        if (code != abi::Code::success)
            return failure(code, driver_.error(code, driver_.link_complete, state, &cubin, &size));
        const auto* bytes = static_cast<const std::byte*>(cubin);
        return std::vector<std::byte>(bytes, bytes + size);
    }

    Error failure(abi::Code code, const Error& call) const {
        auto log = annotate_log(options_.errors(), ptx_);
        if (log.empty()) log = annotate_log(options_.info(), ptx_);
        return {fmt::format("the driver cannot compile this PTX for {}: {}{}{}{}{}", to_string(device_.target),
                            call.message, explain(code, read_ptx_header(ptx_), device_),
                            missing_instructions(ptx_, device_), log.empty() ? "" : "\n", log)};
    }

    const Driver& driver_;
    const runtime::DeviceProperties& device_;
    std::string ptx_;
    JitOptions options_;
};

Result<abi::Module> load_cubin(const Driver& driver, const std::vector<std::byte>& cubin) {
    abi::Module module = nullptr;
    if (auto status = driver.call(driver.module_load_data_ex, &module, cubin.data(), 0u, nullptr, nullptr); !status)
        return status.error();
    return module;
}

/// Digest of everything that a compiled module depends on.
ModuleCache::Key key_of(const Driver& driver, const runtime::DeviceProperties& device, std::string_view ptx) {
    Sha256 hash;
    hash.update_field("ptxgen module 1");
    hash.update_field(driver.library);
    hash.update_field(driver.version_text());
    hash.update_field(device.name);
    hash.update_field(fmt::format("target={}", jit_target(device.target)));
    hash.update_field(ptx);
    return hash.finish();
}

} // namespace

unsigned jit_target(const Target& target) {
    return target.sm + (target.variant == TargetVariant::arch ? abi::accelerated_target_base : 0);
}

Result<abi::Module> load_ptx(const Context& context, const runtime::DeviceProperties& properties,
                             const std::optional<ModuleCache>& cache, std::string_view ptx) {
    if (const auto nul = ptx.find('\0'); nul != std::string_view::npos)
        return Error{fmt::format("PTX is text, but this has a NUL byte at offset {} of {}", nul, ptx.size())};
    const Driver& driver = context.driver();
    const Current current(context);
    if (!current.status()) return current.status().error();
    const RelaxedCapture relaxed(driver);

    Compiler compiler(context, properties, ptx);
    if (!cache || !compiler.can_link()) return compiler.load();
    const auto key = key_of(driver, properties, ptx);
    if (const auto stored = cache->find(key)) {
        if (auto module = load_cubin(driver, *stored)) return module;
        cache->remove(key);
    }
    auto cubin = compiler.link();
    if (!cubin) return cubin.error();
    auto module = load_cubin(driver, *cubin);
    if (module) cache->store(key, *cubin);
    return module;
}

} // namespace ptxgen::cuda
