#include "runtime/emulator/clc.hpp"
#include "runtime/emulator/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ptxgen::runtime::emulator {
namespace {

/// CTAs of a cluster: as the launch says, else as the kernel does, else one.
Dim3 cluster_of(const Program& program, const LaunchConfig& config) {
    return config.cluster ? *config.cluster : program.cluster.count() ? program.cluster : Dim3{};
}

} // namespace

Status EmulatorDevice::check_launch(const Program& program, const LaunchConfig& config,
                                    std::span<const KernelArg> args) const {
    const auto error = [&](std::string message) {
        return Error{fmt::format("launch of '{}': {}", program.name, message)};
    };
    const auto& parameters = program.function->parameters;
    if (args.size() != parameters.size())
        return error(
            fmt::format("the kernel has {} parameters, {} arguments are given", parameters.size(), args.size()));
    for (std::size_t k = 0; k < args.size(); ++k)
        if (args[k].size() != parameters[k].byte_size())
            return error(fmt::format("parameter {} ('{}') has {} bytes, the argument {}", k, parameters[k].name,
                                     parameters[k].byte_size(), args[k].size()));
    const Dim3 &grid = config.grid, &block = config.block;
    if (grid.count() == 0 || block.count() == 0)
        return error(fmt::format("a grid of ({},{},{}) CTAs of ({},{},{}) threads is empty", grid.x, grid.y, grid.z,
                                 block.x, block.y, block.z));
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return error(fmt::format("a grid of ({},{},{}) CTAs is over the limit of (2147483647,65535,65535)", grid.x,
                                 grid.y, grid.z));
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || block.count() > program.max_threads)
        return error(fmt::format("a block of ({},{},{}) = {} threads is over the kernel's limit of {}", block.x,
                                 block.y, block.z, block.count(), program.max_threads));
    const std::uint64_t shared = std::uint64_t{program.dynamic_shared_offset} + config.shared_bytes;
    if (program.static_shared_bytes > properties_.shared_bytes_per_block)
        return error(fmt::format("{} bytes of static shared memory are over the limit of {}",
                                 program.static_shared_bytes, properties_.shared_bytes_per_block));
    if (shared > properties_.shared_bytes_per_block_optin)
        return error(fmt::format("{} bytes of shared memory ({} static, {} dynamic) are over the device's limit of {}",
                                 shared, program.static_shared_bytes, config.shared_bytes,
                                 properties_.shared_bytes_per_block_optin));
    const Dim3& required = program.cluster;
    if (program.explicit_cluster && !config.cluster && required.count() == 0)
        return error("the kernel is .explicitcluster: the launch must say how many CTAs a cluster has");
    const Dim3 c = cluster_of(program, config);
    if (config.cluster && required.count() && !(c.x == required.x && c.y == required.y && c.z == required.z))
        return error(fmt::format("a cluster of ({},{},{}) CTAs, but the kernel's .reqnctapercluster is ({},{},{})", c.x,
                                 c.y, c.z, required.x, required.y, required.z));
    if (config.cluster || required.count()) {
        if (!properties_.cluster_launch)
            return error(fmt::format("clusters need sm_90, this device is {}", ptxgen::to_string(options_.target)));
        if (c.count() == 0 || c.count() > 16 || grid.x % c.x || grid.y % c.y || grid.z % c.z)
            return error(
                fmt::format("a cluster of ({},{},{}) CTAs does not divide the grid of ({},{},{}) or has more than 16",
                            c.x, c.y, c.z, grid.x, grid.y, grid.z));
        if (program.max_cluster && c.count() > program.max_cluster)
            return error(fmt::format("a cluster of {} CTAs is over the kernel's .maxclusterrank of {}", c.count(),
                                     program.max_cluster));
    }
    const std::uint64_t cluster = c.count();
    if (options_.resident && options_.resident < cluster)
        return error(fmt::format("clusters of {} CTAs cannot run when only {} are resident at once", cluster,
                                 options_.resident));
    if (config.cooperative && options_.resident && grid.count() > options_.resident)
        return error(fmt::format("a cooperative grid of {} CTAs does not fit: {} are resident at once", grid.count(),
                                 options_.resident));
    if (config.cooperative) {
        const std::uint64_t fit =
            std::uint64_t{occupancy(program, block.count(), shared)} * properties_.multiprocessors;
        if (grid.count() > fit)
            return error(fmt::format("a cooperative grid of {} CTAs does not fit: at most {} are resident ({} on each "
                                     "of {} multiprocessors)",
                                     grid.count(), fit, fit / properties_.multiprocessors,
                                     properties_.multiprocessors));
    }
    return {};
}

Status EmulatorDevice::launch(const EmulatorKernel& kernel, const LaunchConfig& config,
                              std::span<const KernelArg> args) {
    const std::scoped_lock lock(mutex_);
    const Program& program = kernel.program();
    if (&kernel.device() != this)
        return Error{fmt::format("launch of '{}': the kernel was loaded on another device", program.name)};
    if (auto status = check_launch(program, config, args); !status) return status;
    Launch l;
    l.program = &program;
    l.memory = &memory_;
    l.options = &options_;
    l.config = config;
    l.params.assign(program.param_bytes + 16, 0);
    for (std::size_t k = 0; k < args.size(); ++k)
        std::memcpy(l.params.data() + program.param_offsets[k], args[k].data(), args[k].size());
    l.shared_bytes = program.dynamic_shared_offset + config.shared_bytes;
    l.cluster = cluster_of(program, config);
    l.explicit_cluster = config.cluster || program.cluster.count();
    l.cluster_count = config.grid.count() / l.cluster.count();
    l.choices = choices_.get();
    l.dispatcher.start(l.cluster_count, l.choices);
    l.time_base = time_;
    l.grid_id = ++launches_;
    if (program.uses_clc) l.clc = std::make_shared<ClcLedger>(program, options_.seed + (u64{l.grid_id} << 32));
    memory_.prepare_shadows();

    const std::uint64_t resident = std::max<std::uint64_t>(
        1, std::uint64_t{occupancy(program, config.block.count(), l.shared_bytes)} * properties_.multiprocessors);
    l.workers = l.choices ? 1 : static_cast<unsigned>(std::min<std::uint64_t>(pool_.size(), l.cluster_count));
    // all CTAs of a cooperative grid are resident; else workers share what the device would hold
    std::uint64_t together = options_.resident ? options_.resident : std::max<std::uint64_t>(resident, l.workers);
    if (config.cooperative) together = config.grid.count();
    l.residents_per_worker = (together + l.workers - 1) / l.workers;
    l.progress = std::make_unique<Launch::Progress[]>(l.workers);
    pool_.run(l.workers, [&](unsigned k) { run_worker(workers_[k], l); });

    executed_ += l.executed;
    time_ += std::max<std::uint64_t>(l.virtual_time, 1000);
    if (l.findings.empty()) return {};
    for (const Finding& f : l.findings) {
        findings_.push_back(f);
        if (options_.on_finding) options_.on_finding(f);
    }
    return Error{to_string(l.findings.front())};
}

} // namespace ptxgen::runtime::emulator
