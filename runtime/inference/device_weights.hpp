#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"
#include "runtime/inference/model.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace ptxgen {

/// How the matrices that are multiplied with lie in device memory.
enum class MatrixLayout : std::uint8_t {
    stored, ///< as in the file
    ring    ///< in the ring format (kernels/ring/format.hpp) if their type has one, else as in the file
};

/// A model's tensors in device memory, once each, in one buffer at addresses that are multiples of 256: token_embd,
/// output_norm, output, then the tensors of one layer after the other.
class DeviceWeights {
public:
    /// Uploads what `model` refers to, through page-locked memory, repacked on the way by as many threads as the host
    /// has. `on_progress` gets the bytes done.
    static Result<DeviceWeights> upload(runtime::Device& device, const Model& model, MatrixLayout layout,
                                        const std::function<void(std::uint64_t)>& on_progress);
    /// Types of matrices that stay as in the file although MatrixLayout::ring is asked for, as they occur.
    static std::vector<TensorType> types_without_ring(const Model& model);
    /// Device memory that upload() takes.
    static std::uint64_t bytes(const Model& model, MatrixLayout layout);

    /// Address of a tensor of the model; 0 for nullptr.
    runtime::DevicePtr operator[](const gguf::Tensor* tensor) const {
        const auto found = places_.find(tensor);
        return found == places_.end() ? 0 : found->second.address;
    }
    /// Whether it is in the ring format.
    bool is_packed(const gguf::Tensor* tensor) const {
        const auto found = places_.find(tensor);
        return found != places_.end() && found->second.packed;
    }

    /// Whether matrices of types that have a ring format are in it.
    bool packed() const { return packed_; }

private:
    struct Place {
        runtime::DevicePtr address;
        bool packed;
    };
    bool packed_ = false;
    runtime::Buffer buffer_;
    std::map<const gguf::Tensor*, Place> places_;
};

} // namespace ptxgen
