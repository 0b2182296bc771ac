#pragma once

#include "runtime/emulator/cta.hpp"
#include "runtime/emulator/worker_pool.hpp"

#include <mutex>
#include <unordered_map>

namespace ptxgen::runtime::emulator {

class EmulatorDevice;

class EmulatorKernel final : public Kernel {
public:
    EmulatorKernel(EmulatorDevice& device, std::unique_ptr<Program> program)
        : device_(device), program_(std::move(program)) {}
    const std::string& name() const override { return program_->name; }
    Result<FunctionAttributes> attributes() const override;
    Result<std::uint32_t> occupancy(std::uint32_t threads, std::uint32_t dynamic_shared_bytes) const override;

    const Program& program() const { return *program_; }
    EmulatorDevice& device() const { return device_; }

private:
    EmulatorDevice& device_;
    std::unique_ptr<Program> program_;
};

class EmulatorModule final : public LoadedModule {
public:
    EmulatorModule(EmulatorDevice& device, std::shared_ptr<LoadedText> text, std::vector<Buffer> variables)
        : device_(device), text_(std::move(text)), variables_(std::move(variables)) {}
    Result<Kernel*> kernel(std::string_view name) override;
    Result<Buffer> global(std::string_view name) override;

private:
    EmulatorDevice& device_;
    std::shared_ptr<LoadedText> text_;
    std::vector<Buffer> variables_; ///< by index in Module::variables; empty where it is not in device memory
    std::unordered_map<std::string, std::unique_ptr<EmulatorKernel>> kernels_;
};

class EmulatorDevice final : public EmulatedDevice {
public:
    explicit EmulatorDevice(EmulatorOptions options);

    const DeviceProperties& properties() const override { return properties_; }
    Result<MemoryInfo> memory_info() override;
    Result<Buffer> allocate(std::size_t bytes) override;
    void free(DevicePtr address) noexcept override;
    Result<std::unique_ptr<HostBuffer>> allocate_host(std::size_t bytes, HostMemory kind) override;
    Result<std::unique_ptr<LoadedModule>> load(std::string_view ptx) override;
    Stream& stream() override { return *stream_; }
    Result<std::unique_ptr<Stream>> create_stream() override;
    Result<std::unique_ptr<Event>> create_event() override;
    const std::vector<Finding>& findings() const override { return findings_; }
    void clear_findings() override { findings_.clear(); }
    std::uint64_t executed_instructions() const override { return executed_; }

    void set_schedule(Schedule schedule, std::uint64_t seed) override;
    void set_choices(std::shared_ptr<Choices> choices) override { choices_ = std::move(choices); }

    const EmulatorOptions& options() const { return options_; }
    Resolver resolver() const { return resolver_; }
    DeviceMemory& memory() { return memory_; }
    std::recursive_mutex& mutex() { return mutex_; }
    std::uint64_t now() const { return time_; } ///< virtual nanoseconds
    /// CTAs of this shape that are resident at once on one multiprocessor.
    std::uint32_t occupancy(const Program& program, std::uint64_t threads, std::uint64_t shared_bytes) const;

    Status launch(const EmulatorKernel& kernel, const LaunchConfig& config, std::span<const KernelArg> args);

private:
    Status check_launch(const Program& program, const LaunchConfig& config, std::span<const KernelArg> args) const;

    EmulatorOptions options_;
    DeviceProperties properties_;
    Resolver resolver_;
    DeviceMemory memory_;
    WorkerPool pool_;
    std::vector<Worker> workers_;
    std::shared_ptr<Choices> choices_; ///< nullptr: in order
    std::unique_ptr<Stream> stream_;
    std::recursive_mutex mutex_;
    std::vector<Finding> findings_;
    std::uint64_t executed_ = 0;
    std::uint64_t time_ = 1'000'000;
    std::uint32_t launches_ = 0;
};

std::unique_ptr<Stream> make_stream(EmulatorDevice& device);
std::unique_ptr<Event> make_event(EmulatorDevice& device);

} // namespace ptxgen::runtime::emulator
