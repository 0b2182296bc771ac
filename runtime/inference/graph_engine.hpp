#pragma once

#include "runtime/inference/device_model.hpp"
#include "runtime/inference/engine.hpp"

#include <cstdint>
#include <memory>

namespace ptxgen {

/// The engine that launches one kernel per operation, for code that shares its DeviceModel.
class GraphEngine : public Engine {
public:
    /// Builds the kernels for `on_device`, which create_graph_engine() makes by itself. `model` must outlive the call
    /// only. `on_progress` gets a share of the work in [0, 1].
    static Result<std::unique_ptr<GraphEngine>> create(runtime::Device& device, const Model& model,
                                                       std::shared_ptr<DeviceModel> on_device,
                                                       const EngineOptions& options,
                                                       const std::function<void(double)>& on_progress = {});
    /// Device memory that create() takes.
    static std::uint64_t bytes(const Model& model, const EngineOptions& options,
                               const runtime::DeviceProperties& properties);

    /// Goes to a position up to which the cache has been filled, by this engine or another one. Error: beyond the
    /// context.
    virtual Status go_to(std::uint32_t position) = 0;
};

} // namespace ptxgen
