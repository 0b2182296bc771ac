#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"
#include "runtime/inference/model.hpp"

#include <functional>
#include <map>

namespace ptxgen {

/// A model's tensors in device memory, as they are in the file, each at an address that is a multiple of 256.
class DeviceWeights {
public:
    /// Uploads what `model` refers to. `on_progress` gets the bytes done.
    static Result<DeviceWeights> upload(runtime::Device& device, const Model& model,
                                        const std::function<void(std::uint64_t)>& on_progress);
    /// Device memory that upload() takes.
    static std::uint64_t bytes(const Model& model);

    /// Address of a tensor of the model; 0 for nullptr.
    runtime::DevicePtr operator[](const gguf::Tensor* tensor) const {
        const auto found = addresses_.find(tensor);
        return found == addresses_.end() ? 0 : found->second;
    }

    /// Whether matrices of types that have a ring format are in it.
    bool packed() const { return packed_; }

private:
    bool packed_ = false;
    runtime::Buffer buffer_;
    std::map<const gguf::Tensor*, runtime::DevicePtr> addresses_;
};

} // namespace ptxgen
