#include "runtime/emulator/device.hpp"

#include "ptxgen/text/text.hpp"
#include "runtime/emulator/choices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ptxgen::runtime {

std::unique_ptr<EmulatedDevice> create_emulator(EmulatorOptions options) {
    return std::make_unique<emulator::EmulatorDevice>(std::move(options));
}

} // namespace ptxgen::runtime

namespace ptxgen::runtime::emulator {
namespace {

Resolver pick_resolver(VectorLevel level) {
#ifdef PTXGEN_EMULATOR_X86_LEVELS
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512cd");
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                          __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (has_avx512 && has_avx2 && (level == VectorLevel::native || level == VectorLevel::avx512))
        return avx512::resolve;
    if (has_avx2 && level != VectorLevel::baseline) return avx2::resolve;
#endif
    (void)level;
    return baseline::resolve;
}

/// Limits that differ between targets (CUDA programming guide, technical specifications).
std::uint32_t shared_per_multiprocessor(Target target) {
    switch (target.sm) {
    case 75: return 64 << 10;
    case 80:
    case 87: return 164 << 10;
    case 86:
    case 89:
    case 120:
    case 121: return 100 << 10;
    default: return target.sm >= 90 ? 228 << 10 : 96 << 10;
    }
}
std::uint32_t threads_per_multiprocessor(Target target) {
    switch (target.sm) {
    case 75: return 1024;
    case 86:
    case 87:
    case 89:
    case 120:
    case 121: return 1536;
    default: return 2048;
    }
}

/// The lines of a PTX text as findings show them: without indentation and comments.
std::vector<std::string> split_lines(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        line = line.substr(0, line.find("//"));
        while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
        while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t'))
            line.remove_suffix(1);
        lines.emplace_back(line);
    }
    return lines;
}

class EmulatorHostBuffer final : public HostBuffer {
public:
    EmulatorHostBuffer(EmulatorDevice& device, Buffer buffer, bool mapped)
        : device_(device), buffer_(std::move(buffer)), mapped_(mapped) {}
    void* data() override { return device_.memory().host(buffer_.address()); }
    std::size_t size() const override { return buffer_.size(); }
    DevicePtr device_address() const override { return mapped_ ? buffer_.address() : 0; }

private:
    EmulatorDevice& device_;
    Buffer buffer_;
    bool mapped_;
};

} // namespace

EmulatorDevice::EmulatorDevice(EmulatorOptions options)
    : options_(std::move(options)), resolver_(pick_resolver(options_.vector_level)),
      memory_(options_.memory_bytes, options_.checks), pool_(options_.threads) {
    options_.multiprocessors = std::max(1u, options_.multiprocessors);
    properties_.name = fmt::format("PTX emulator ({})", ptxgen::to_string(options_.target));
    properties_.driver = "emulator";
    properties_.target = options_.target;
    properties_.ptx_version = options_.ptx_version;
    properties_.multiprocessors = options_.multiprocessors;
    properties_.max_threads_per_multiprocessor = threads_per_multiprocessor(options_.target);
    const SharedMemoryLimits limits = shared_memory_limits(options_.target);
    properties_.shared_bytes_per_block = limits.static_bytes;
    properties_.shared_bytes_per_block_optin = limits.dynamic_bytes;
    properties_.shared_bytes_per_multiprocessor = shared_per_multiprocessor(options_.target);
    properties_.l2_bytes = 4 << 20;
    properties_.memory_bytes = memory_.limit();
    properties_.cooperative_launch = true;
    properties_.cluster_launch = options_.target.sm >= 90;
    properties_.is_emulator = true;
    workers_.resize(pool_.size());
    for (unsigned k = 0; k < workers_.size(); ++k) workers_[k].index = k;
    stream_ = make_stream(*this);
    set_schedule(options_.schedule, options_.seed);
}

void EmulatorDevice::set_schedule(Schedule schedule, std::uint64_t seed) {
    const std::scoped_lock lock(mutex_);
    options_.schedule = schedule;
    options_.seed = seed;
    switch (schedule) {
    case Schedule::in_order: choices_ = nullptr; break;
    case Schedule::random: choices_ = Choices::random(seed); break;
    case Schedule::adversarial: choices_ = Choices::adversarial(seed); break;
    }
}

Result<MemoryInfo> EmulatorDevice::memory_info() {
    const std::scoped_lock lock(mutex_);
    return MemoryInfo{memory_.limit() - std::min(memory_.limit(), memory_.allocated()), memory_.limit()};
}

Result<Buffer> EmulatorDevice::allocate(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto address = memory_.allocate(bytes);
    if (!address) return address.error();
    return Buffer(*this, *address, bytes);
}

void EmulatorDevice::free(DevicePtr address) noexcept {
    const std::scoped_lock lock(mutex_);
    memory_.free(address);
}

Result<std::unique_ptr<HostBuffer>> EmulatorDevice::allocate_host(std::size_t bytes, HostMemory kind) {
    auto buffer = allocate(bytes);
    if (!buffer) return buffer.error();
    const std::scoped_lock lock(mutex_);
    memory_.mark_initialised(buffer->address(), bytes); // the host writes it unseen
    return std::unique_ptr<HostBuffer>(
        std::make_unique<EmulatorHostBuffer>(*this, std::move(*buffer), kind == HostMemory::mapped));
}

Result<std::unique_ptr<Stream>> EmulatorDevice::create_stream() { return make_stream(*this); }
Result<std::unique_ptr<Event>> EmulatorDevice::create_event() { return make_event(*this); }

Result<std::unique_ptr<LoadedModule>> EmulatorDevice::load(std::string_view ptx) {
    ParseResult parsed = parse(ptx);
    if (!parsed.ok()) {
        std::string log;
        for (const Diagnostic& d : parsed.diagnostics)
            if (d.severity == Severity::error) log += (log.empty() ? "" : "\n") + to_string(d, "ptx");
        return Error{log};
    }
    auto text = std::make_shared<LoadedText>();
    text->module = std::move(parsed.module);
    text->lines = split_lines(ptx);
    const Module& module = text->module;
    if (module.target && !options_.target.provides(*module.target))
        return Error{fmt::format("the module is for {}, this device is {}", ptxgen::to_string(*module.target),
                                 ptxgen::to_string(options_.target))};
    if (module.version && *module.version > options_.ptx_version)
        return Error{fmt::format("the module's PTX version {} is newer than the device's, {}",
                                 ptxgen::to_string(*module.version), ptxgen::to_string(options_.ptx_version))};
    std::vector<Buffer> variables(module.variables.size());
    text->variable_addresses.assign(module.variables.size(), 0);
    const std::scoped_lock lock(mutex_);
    for (std::size_t k = 0; k < module.variables.size(); ++k) {
        const Variable& v = module.variables[k];
        const std::uint64_t bytes = v.byte_size();
        if ((v.space != Space::global && v.space != Space::constant) || bytes == 0 || v.linkage == Linkage::external)
            continue;
        auto buffer = allocate(bytes);
        if (!buffer) return Error{fmt::format("variable '{}': {}", v.name, buffer.error().message)};
        std::uint8_t* at = memory_.host(buffer->address());
        std::memset(at, 0, bytes);
        const unsigned size = byte_size(v.type);
        for (std::size_t e = 0; e < v.initial.size() && (e + 1) * size <= bytes; ++e)
            std::memcpy(at + e * size, &v.initial[e], std::min(size, 8u));
        memory_.mark_initialised(buffer->address(), bytes); // variables without a value are zero
        text->variable_addresses[k] = buffer->address();
        variables[k] = std::move(*buffer);
    }
    return std::unique_ptr<LoadedModule>(
        std::make_unique<EmulatorModule>(*this, std::move(text), std::move(variables)));
}

Result<Kernel*> EmulatorModule::kernel(std::string_view name) {
    const std::scoped_lock lock(device_.mutex());
    const auto known = kernels_.find(std::string(name));
    if (known != kernels_.end()) return static_cast<Kernel*>(known->second.get());
    const Function* function = text_->module.find_function(name);
    if (!function || !function->is_kernel) {
        std::string names;
        for (const Function& f : text_->module.functions)
            if (f.is_kernel) names += (names.empty() ? "" : ", ") + f.name;
        return Error{fmt::format("no kernel '{}' in the module; it has: {}", name, names.empty() ? "none" : names)};
    }
    auto program = decode(text_, *function, device_.resolver(), device_.options().checks);
    if (!program) return program.error();
    auto& slot = kernels_[std::string(name)];
    slot = std::make_unique<EmulatorKernel>(device_, std::move(*program));
    return static_cast<Kernel*>(slot.get());
}

Result<Buffer> EmulatorModule::global(std::string_view name) {
    for (std::size_t k = 0; k < variables_.size(); ++k)
        if (text_->module.variables[k].name == name && variables_[k])
            return Buffer::borrow(variables_[k].address(), variables_[k].size());
    return Error{fmt::format("no variable '{}' in the module's global or constant memory", name)};
}

Result<FunctionAttributes> EmulatorKernel::attributes() const {
    FunctionAttributes a;
    a.registers = 32;
    a.static_shared_bytes = program_->static_shared_bytes;
    a.local_bytes = program_->local_bytes;
    a.max_threads_per_block = program_->max_threads;
    return a;
}

Result<std::uint32_t> EmulatorKernel::occupancy(std::uint32_t threads, std::uint32_t dynamic_shared_bytes) const {
    if (threads == 0 || threads > program_->max_threads)
        return Error{fmt::format("kernel '{}' runs with 1 to {} threads a CTA, not {}", program_->name,
                                 program_->max_threads, threads)};
    return device_.occupancy(*program_, threads, program_->dynamic_shared_offset + std::uint64_t{dynamic_shared_bytes});
}

std::uint32_t EmulatorDevice::occupancy(const Program& program, std::uint64_t threads,
                                        std::uint64_t shared_bytes) const {
    (void)program;
    const std::uint64_t warps = (threads + 31) / 32;
    std::uint64_t n = std::min<std::uint64_t>(
        properties_.max_threads_per_multiprocessor / 32 / std::max<std::uint64_t>(warps, 1), 32);
    if (shared_bytes)
        n = std::min<std::uint64_t>(n, properties_.shared_bytes_per_multiprocessor / (shared_bytes + 1024));
    return static_cast<std::uint32_t>(n);
}

} // namespace ptxgen::runtime::emulator
