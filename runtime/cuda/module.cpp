#include "runtime/cuda/module.hpp"

#include <algorithm>

namespace ptxgen::cuda {
namespace {

using runtime::Dim3;
using runtime::KernelArg;
using runtime::LaunchConfig;

/// CTAs of a cluster that every device with clusters supports (CUDA C++ Programming Guide, thread block clusters).
constexpr std::uint64_t portable_cluster = 8;

std::string shape(const Dim3& dim) { return fmt::format("{}x{}x{}", dim.x, dim.y, dim.z); }

bool divides(const Dim3& cluster, const Dim3& grid) {
    return grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0;
}

} // namespace

Result<std::unique_ptr<CudaKernel>> CudaKernel::create(ContextPtr context,
                                                       std::shared_ptr<const runtime::DeviceProperties> device,
                                                       abi::Function function, std::string name) {
    std::unique_ptr<CudaKernel> kernel(
        new CudaKernel(std::move(context), std::move(device), function, std::move(name)));
    if (auto status = kernel->read_attributes(); !status) return status.error();
    kernel->read_parameters();
    return kernel;
}

Status CudaKernel::read_attributes() {
    const Driver& driver = context_->driver();
    using abi::FunctionAttribute;
    const std::pair<FunctionAttribute, std::uint32_t*> wanted[] = {
        {FunctionAttribute::num_regs, &attributes_.registers},
        {FunctionAttribute::shared_size_bytes, &attributes_.static_shared_bytes},
        {FunctionAttribute::local_size_bytes, &attributes_.local_bytes},
        {FunctionAttribute::max_threads_per_block, &attributes_.max_threads_per_block},
        {FunctionAttribute::max_dynamic_shared_size_bytes, nullptr},
    };
    for (const auto& [attribute, target] : wanted) {
        int value = 0;
        if (auto status = driver.call(driver.func_get_attribute, &value, attribute, function_); !status) return status;
        if (target)
            *target = static_cast<std::uint32_t>(value);
        else
            allowed_shared_ = static_cast<std::uint32_t>(std::max(value, 0));
    }
    return {};
}

void CudaKernel::read_parameters() {
    const Driver& driver = context_->driver();
    if (!driver.func_get_param_info) return;
    // The call fails with `invalid_value` at the first index that there is no parameter for.
    std::vector<std::size_t> sizes;
    std::size_t offset = 0, size = 0;
    abi::Code code;
    while ((code = driver.func_get_param_info(function_, sizes.size(), &offset, &size)) == abi::Code::success)
        sizes.push_back(size);
    if (code == abi::Code::invalid_value) parameter_bytes_ = std::move(sizes);
}

Result<std::uint32_t> CudaKernel::occupancy(std::uint32_t threads, std::uint32_t dynamic_shared_bytes) const {
    if (auto status = allow_shared(dynamic_shared_bytes); !status) return status.error();
    int blocks = 0;
    const auto status = call_in(*context_, context_->driver().occupancy_max_active_blocks, &blocks, function_,
                                static_cast<int>(threads), std::size_t{dynamic_shared_bytes});
    if (!status) return status.error();
    return static_cast<std::uint32_t>(blocks);
}

Status CudaKernel::check_shape(const LaunchConfig& config) const {
    const auto threads = config.block.count();
    if (config.grid.count() == 0 || threads == 0)
        return Error{fmt::format("kernel {}: grid {} and block {} must not have a dimension of zero", name(),
                                 shape(config.grid), shape(config.block))};
    if (threads > attributes_.max_threads_per_block)
        return Error{fmt::format("kernel {}: block {} is {} threads, at most {} are possible (its .maxntid, its {} "
                                 "registers a thread, {})",
                                 name(), shape(config.block), threads, attributes_.max_threads_per_block,
                                 attributes_.registers, device_->name)};
    if (!config.cluster) return {};
    if (const auto& needed = context_->driver().launch_kernel_ex; !needed) return context_->driver().missing(needed);
    if (!device_->cluster_launch)
        return Error{fmt::format("kernel {}: cluster launch needs a device of sm_90 or later, {} is {}", name(),
                                 device_->name, to_string(device_->target))};
    if (config.cluster->count() == 0 || !divides(*config.cluster, config.grid))
        return Error{fmt::format("kernel {}: cluster {} does not divide grid {}", name(), shape(*config.cluster),
                                 shape(config.grid))};
    return {};
}

Status CudaKernel::check_arguments(std::span<const KernelArg> args) const {
    if (!parameter_bytes_) return {};
    if (args.size() != parameter_bytes_->size())
        return Error{fmt::format("kernel {} has {} parameters, {} arguments were given", name(),
                                 parameter_bytes_->size(), args.size())};
    for (std::size_t i = 0; i < args.size(); ++i)
        if (args[i].size() != (*parameter_bytes_)[i])
            return Error{fmt::format("kernel {}: parameter {} (the first is 0) is {} bytes, the argument given is {}",
                                     name(), i, (*parameter_bytes_)[i], args[i].size())};
    return {};
}

Status CudaKernel::allow_shared(std::uint32_t bytes) const {
    if (bytes <= allowed_shared_.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(setup_);
    if (bytes <= allowed_shared_) return {};
    const auto limit = device_->shared_bytes_per_block_optin;
    if (std::uint64_t{bytes} + attributes_.static_shared_bytes > limit)
        return Error{fmt::format("kernel {}: {} bytes of dynamic and {} of static shared memory, {} has {} for a CTA",
                                 name(), bytes, attributes_.static_shared_bytes, device_->name, limit)};
    const auto status = call_in(*context_, context_->driver().func_set_attribute, function_,
                                abi::FunctionAttribute::max_dynamic_shared_size_bytes, static_cast<int>(bytes));
    if (status) allowed_shared_ = bytes;
    return status;
}

Status CudaKernel::allow_cluster(const Dim3& cluster) const {
    if (cluster.count() <= portable_cluster) return {};
    return call_in(*context_, context_->driver().func_set_attribute, function_,
                   abi::FunctionAttribute::non_portable_cluster_size_allowed, 1);
}

Error CudaKernel::launch_error(abi::Code code, const char* symbol, const LaunchConfig& config) const {
    std::vector<std::string> arguments{name(), "grid " + shape(config.grid), "block " + shape(config.block)};
    if (config.cluster) arguments.push_back("cluster " + shape(*config.cluster));
    if (config.cooperative) arguments.emplace_back("cooperative");
    arguments.push_back(fmt::format("{} bytes of dynamic shared memory", config.shared_bytes));
    auto error = context_->driver().describe(code, symbol, arguments);
    if (code == abi::Code::cooperative_launch_too_large) {
        if (const auto resident = occupancy(static_cast<std::uint32_t>(config.block.count()), config.shared_bytes))
            error.message += fmt::format("; {} CTAs must be resident at once, {} fit: {} on each of {} multiprocessors",
                                         config.grid.count(), std::uint64_t{*resident} * device_->multiprocessors,
                                         *resident, device_->multiprocessors);
    } else if (code == abi::Code::launch_out_of_resources) {
        error.message +=
            fmt::format("; {} threads of {} registers, {} bytes of shared memory in all", config.block.count(),
                        attributes_.registers, std::uint64_t{attributes_.static_shared_bytes} + config.shared_bytes);
    }
    return error;
}

Status CudaKernel::launch(abi::Stream stream, const LaunchConfig& config, std::span<const KernelArg> args) const {
    if (auto status = check_shape(config); !status) return status;
    if (auto status = check_arguments(args); !status) return status;
    const Current current(*context_);
    if (!current.status()) return current.status();
    if (auto status = allow_shared(config.shared_bytes); !status) return status;

    const Driver& driver = context_->driver();
    const auto &grid = config.grid, &block = config.block;
    std::vector<void*> values;
    values.reserve(args.size());
    // The driver copies the arguments before it returns and does not write to them.
    for (const auto& arg : args) values.push_back(const_cast<void*>(arg.data()));

    abi::Code code;
    const char* symbol;
    if (config.cluster || (config.cooperative && driver.launch_kernel_ex)) {
        if (config.cluster)
            if (auto status = allow_cluster(*config.cluster); !status) return status;
        symbol = driver.launch_kernel_ex.symbol;
        code = launch_with_attributes(stream, config, values.data());
    } else if (config.cooperative) {
        if (!driver.launch_cooperative_kernel) return driver.missing(driver.launch_cooperative_kernel);
        symbol = driver.launch_cooperative_kernel.symbol;
        code = driver.launch_cooperative_kernel(function_, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                                config.shared_bytes, stream, values.data());
    } else {
        symbol = driver.launch_kernel.symbol;
        code = driver.launch_kernel(function_, grid.x, grid.y, grid.z, block.x, block.y, block.z, config.shared_bytes,
                                    stream, values.data(), nullptr);
    }
    if (code == abi::Code::success) return {};
    return launch_error(code, symbol, config);
}

abi::Code CudaKernel::launch_with_attributes(abi::Stream stream, const LaunchConfig& config, void** values) const {
    abi::LaunchAttribute attributes[2]{};
    unsigned count = 0;
    if (config.cooperative) {
        attributes[count].id = abi::LaunchAttributeId::cooperative;
        attributes[count++].value.cooperative = 1;
    }
    if (config.cluster) {
        attributes[count].id = abi::LaunchAttributeId::cluster_dimension;
        attributes[count++].value.cluster_dim = {config.cluster->x, config.cluster->y, config.cluster->z};
    }
    const auto& [grid, block, cluster, shared_bytes, cooperative] = config;
    const abi::LaunchConfig launch{grid.x,  grid.y,       grid.z, block.x,    block.y,
                                   block.z, shared_bytes, stream, attributes, count};
    return context_->driver().launch_kernel_ex(&launch, function_, values, nullptr);
}

CudaModule::~CudaModule() {
    const Current current(*context_);
    const RelaxedCapture relaxed(context_->driver());
    if (current.status()) (void)context_->driver().module_unload(module_);
}

Result<runtime::Kernel*> CudaModule::kernel(std::string_view name) {
    const std::lock_guard lock(kernels_lock_);
    if (const auto found = kernels_.find(name); found != kernels_.end()) return found->second.get();
    const Current current(*context_);
    if (!current.status()) return current.status().error();
    const Driver& driver = context_->driver();
    std::string key(name);
    abi::Function function = nullptr;
    const auto code = driver.module_get_function(&function, module_, key.c_str());
    if (code == abi::Code::not_found)
        return Error{fmt::format("the module has no kernel {}: it needs a .visible .entry of that name", key)};
    if (code != abi::Code::success)
        return driver.error(code, driver.module_get_function, &function, module_, key.c_str());
    auto kernel = CudaKernel::create(context_, device_, function, key);
    if (!kernel) return kernel.error();
    return kernels_.emplace(std::move(key), std::move(*kernel)).first->second.get();
}

Result<runtime::Buffer> CudaModule::global(std::string_view name) {
    const std::string key(name);
    abi::DevicePtr address = 0;
    std::size_t bytes = 0;
    const Current current(*context_);
    if (!current.status()) return current.status().error();
    const Driver& driver = context_->driver();
    const auto code = driver.module_get_global(&address, &bytes, module_, key.c_str());
    if (code == abi::Code::not_found)
        return Error{
            fmt::format("the module has no variable {}: it needs a .visible .global or .const of that name", key)};
    if (code != abi::Code::success)
        return driver.error(code, driver.module_get_global, &address, &bytes, module_, key.c_str());
    return runtime::Buffer::borrow(address, bytes);
}

} // namespace ptxgen::cuda
