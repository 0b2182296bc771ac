#include "runtime/inference/device_weights.hpp"

#include "kernels/ring/format.hpp"
#include "runtime/inference/staged_upload.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace ptxgen {
namespace {

constexpr std::uint64_t tensor_alignment = 256;
// Large enough to be fast, small enough for a progress bar that moves.
constexpr std::uint64_t slot_bytes = 32u << 20;
// What a thread takes at least, so that small tensors start none.
constexpr std::uint64_t bytes_of_thread = 1u << 20;

std::uint64_t aligned(std::uint64_t bytes) {
    return (bytes + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
}

struct UsedTensor {
    const gguf::Tensor* tensor;
    bool packed;

    std::uint64_t rows() const { return tensor->ne[1]; }
    std::uint64_t cols() const { return tensor->ne[0]; }
    std::uint64_t bytes() const { return packed ? kernels::ring_bytes(tensor->type, rows(), cols()) : tensor->bytes; }
};

/// The matrices of a layer that are multiplied with.
std::array<const gguf::Tensor*, 7> matrices_of(const LayerTensors& l) {
    return {l.attn_q, l.attn_k, l.attn_v, l.attn_output, l.ffn_gate, l.ffn_up, l.ffn_down};
}

/// Every tensor once (the output matrix may be the embedding), in the order in which they lie in the buffer.
std::vector<UsedTensor> used_tensors(const Model& model, MatrixLayout layout) {
    std::vector<UsedTensor> all;
    const auto packed_type = [&](const gguf::Tensor& tensor) {
        return layout == MatrixLayout::ring && kernels::ring_format(tensor.type).has_value();
    };
    const auto add = [&](const gguf::Tensor* tensor, bool is_matrix) {
        const auto same = [&](const UsedTensor& other) { return other.tensor == tensor; };
        if (tensor && std::find_if(all.begin(), all.end(), same) == all.end())
            all.push_back({tensor, is_matrix && packed_type(*tensor)});
    };
    add(model.token_embd, model.token_embd == model.output);
    add(model.output_norm, false);
    add(model.output, true);
    for (const auto& l : model.layers) {
        const auto matrices = matrices_of(l);
        for (const auto* tensor : {l.attn_norm, l.attn_q, l.attn_k, l.attn_v, l.attn_q_bias, l.attn_k_bias,
                                   l.attn_v_bias, l.attn_q_norm, l.attn_k_norm, l.attn_output, l.post_attention_norm,
                                   l.ffn_norm, l.ffn_gate, l.ffn_up, l.ffn_down, l.post_ffw_norm})
            add(tensor, std::find(matrices.begin(), matrices.end(), tensor) != matrices.end());
    }
    return all;
}

/// Pieces of a tensor that fit a slot, and how each is written.
Status send(StagedUpload& upload, const UsedTensor& used, runtime::DevicePtr address,
            const std::function<void(std::uint64_t)>& on_sent) {
    const gguf::Tensor& tensor = *used.tensor;
    // Elements of pieces: bytes, or whole row tiles.
    const std::uint64_t count = used.packed ? kernels::ring_shape(used.rows(), used.cols()).tiles : tensor.bytes;
    const std::uint64_t element_bytes = used.packed ? used.bytes() / count : 1;
    const std::uint64_t most = std::max<std::uint64_t>(upload.slot_bytes() / element_bytes, 1);
    for (std::uint64_t at = 0; at < count; at += most) {
        const std::uint64_t piece = std::min(most, count - at);
        const auto fill = [&](std::byte* to) {
            parallel_parts(piece, bytes_of_thread / element_bytes, [&](std::size_t begin, std::size_t end) {
                if (used.packed)
                    kernels::pack_ring(tensor.type, used.rows(), used.cols(), tensor.data, at + begin, end - begin,
                                       to + begin * element_bytes);
                else
                    std::memcpy(to + begin, tensor.data + at + begin, end - begin);
            });
        };
        if (auto ok = upload.send(address + at * element_bytes, piece * element_bytes, fill); !ok) return ok;
        on_sent(piece * element_bytes);
    }
    return {};
}

} // namespace

std::uint64_t DeviceWeights::bytes(const Model& model, MatrixLayout layout) {
    std::uint64_t total = 0;
    for (const auto& used : used_tensors(model, layout)) total += aligned(used.bytes());
    return total;
}

std::vector<TensorType> DeviceWeights::types_without_ring(const Model& model) {
    std::vector<TensorType> types;
    const auto look_at = [&](const gguf::Tensor* matrix) {
        if (kernels::ring_format(matrix->type)) return;
        if (std::find(types.begin(), types.end(), matrix->type) == types.end()) types.push_back(matrix->type);
    };
    for (const auto& l : model.layers)
        for (const auto* matrix : matrices_of(l)) look_at(matrix);
    look_at(model.output);
    return types;
}

Result<DeviceWeights> DeviceWeights::upload(runtime::Device& device, const Model& model, MatrixLayout layout,
                                            const std::function<void(std::uint64_t)>& on_progress) {
    DeviceWeights weights;
    const std::uint64_t total = bytes(model, layout);
    auto buffer = device.allocate(total);
    if (!buffer) return std::move(buffer).error();
    weights.buffer_ = std::move(*buffer);
    weights.packed_ = layout == MatrixLayout::ring;

    const auto tensors = used_tensors(model, layout);
    // A row tile must fit a slot.
    std::uint64_t slot = std::min(slot_bytes, total);
    for (const auto& used : tensors)
        if (used.packed) slot = std::max(slot, used.bytes() / kernels::ring_shape(used.rows(), used.cols()).tiles);
    auto staged = StagedUpload::create(device, slot);
    if (!staged) return std::move(staged).error();

    std::uint64_t offset = 0, done = 0;
    for (const auto& used : tensors) {
        const runtime::DevicePtr address = weights.buffer_.address() + offset;
        weights.places_.emplace(used.tensor, Place{address, used.packed});
        offset += aligned(used.bytes());
        const auto sent = [&](std::uint64_t bytes) {
            done += bytes;
            if (on_progress) on_progress(done);
        };
        if (auto ok = send(*staged, used, address, sent); !ok) return ok.error();
    }
    if (auto ok = staged->finish(); !ok) return ok.error();
    return weights;
}

} // namespace ptxgen
