#include "runtime/emulator/device.hpp"

#include <fmt/format.h>

#include <cstring>
#include <functional>

// Streams of the emulator execute at once: when an operation returns, it is done.
namespace ptxgen::runtime::emulator {
namespace {

class EmulatorEvent final : public Event {
public:
    Status synchronize() override { return {}; }
    Result<bool> ready() override { return true; }
    Result<float> elapsed_ms(Event& later) override {
        const auto* other = dynamic_cast<EmulatorEvent*>(&later);
        if (!other || !recorded || !other->recorded)
            return Error{"the time between two events needs both of them recorded"};
        return static_cast<float>(static_cast<double>(other->time) - static_cast<double>(time)) * 1e-6f;
    }

    bool recorded = false;
    std::uint64_t time = 0;
};

class EmulatorGraph final : public Graph {
public:
    std::vector<std::function<Status(Stream&)>> operations;
};

class EmulatorStream final : public Stream {
public:
    explicit EmulatorStream(EmulatorDevice& device) : device_(device) {}

    Status copy_to_device(DevicePtr target, const void* source, std::size_t bytes) override {
        if (capture_) return keep([=](Stream& s) { return s.copy_to_device(target, source, bytes); });
        const std::scoped_lock lock(device_.mutex());
        if (auto status = device_.memory().check_range(target, bytes); !status) return at("copy to the device", status);
        if (bytes) std::memcpy(device_.memory().host(target), source, bytes);
        if (bytes) device_.memory().mark_initialised(target, bytes);
        return {};
    }
    Status copy_to_host(void* target, DevicePtr source, std::size_t bytes) override {
        if (capture_) return keep([=](Stream& s) { return s.copy_to_host(target, source, bytes); });
        const std::scoped_lock lock(device_.mutex());
        if (auto status = device_.memory().check_range(source, bytes); !status) return at("copy to the host", status);
        if (bytes) std::memcpy(target, device_.memory().host(source), bytes);
        return {};
    }
    Status copy(DevicePtr target, DevicePtr source, std::size_t bytes) override {
        if (capture_) return keep([=](Stream& s) { return s.copy(target, source, bytes); });
        const std::scoped_lock lock(device_.mutex());
        if (auto status = device_.memory().check_range(target, bytes); !status) return at("copy, target", status);
        if (auto status = device_.memory().check_range(source, bytes); !status) return at("copy, source", status);
        if (bytes) std::memmove(device_.memory().host(target), device_.memory().host(source), bytes);
        device_.memory().copy_initialised(target, source, bytes);
        return {};
    }
    Status fill(DevicePtr target, std::uint8_t value, std::size_t bytes) override {
        if (capture_) return keep([=](Stream& s) { return s.fill(target, value, bytes); });
        const std::scoped_lock lock(device_.mutex());
        if (auto status = device_.memory().check_range(target, bytes); !status) return at("fill", status);
        if (bytes) std::memset(device_.memory().host(target), value, bytes);
        if (bytes) device_.memory().mark_initialised(target, bytes);
        return {};
    }
    Status launch(Kernel& kernel, const LaunchConfig& config, std::span<const KernelArg> args) override {
        if (capture_) {
            std::vector<KernelArg> own(args.begin(), args.end());
            return keep([&kernel, config, own = std::move(own)](Stream& s) {
                return s.launch(kernel, config, std::span<const KernelArg>(own));
            });
        }
        const auto* emulated = dynamic_cast<EmulatorKernel*>(&kernel);
        if (!emulated)
            return Error{fmt::format("launch of '{}': the kernel was loaded on another device", kernel.name())};
        Status status = device_.launch(*emulated, config, args);
        if (!status) failed_ = status;
        return status;
    }
    Status launch(Graph& graph) override {
        auto* recorded = dynamic_cast<EmulatorGraph*>(&graph);
        if (!recorded) return Error{"the graph was recorded on another device"};
        if (capture_) {
            for (const auto& operation : recorded->operations) capture_->operations.push_back(operation);
            return {};
        }
        for (const auto& operation : recorded->operations)
            if (auto status = operation(*this); !status) return status;
        return {};
    }
    Status record(Event& event) override {
        if (capture_) return keep([&event](Stream& s) { return s.record(event); });
        auto* own = dynamic_cast<EmulatorEvent*>(&event);
        if (!own) return Error{"the event belongs to another device"};
        own->recorded = true;
        own->time = device_.now();
        return {};
    }
    Status wait(Event&) override { return {}; }
    Status synchronize() override {
        if (capture_) return Error{"a stream cannot be synchronised while it records"};
        return std::exchange(failed_, Status{});
    }
    Status begin_capture() override {
        if (capture_) return Error{"the stream records already"};
        capture_ = std::make_unique<EmulatorGraph>();
        return {};
    }
    Result<std::unique_ptr<Graph>> end_capture() override {
        if (!capture_) return Error{"the stream does not record: begin_capture() comes first"};
        return std::unique_ptr<Graph>(std::move(capture_));
    }

private:
    Status keep(std::function<Status(Stream&)> operation) {
        capture_->operations.push_back(std::move(operation));
        return {};
    }
    static Error at(std::string_view what, const Status& status) {
        return Error{fmt::format("{}: {}", what, status.error().message)};
    }

    EmulatorDevice& device_;
    std::unique_ptr<EmulatorGraph> capture_;
    Status failed_; ///< of a launch, told once more by synchronize()
};

} // namespace

std::unique_ptr<Stream> make_stream(EmulatorDevice& device) { return std::make_unique<EmulatorStream>(device); }
std::unique_ptr<Event> make_event(EmulatorDevice&) { return std::make_unique<EmulatorEvent>(); }

} // namespace ptxgen::runtime::emulator
