#include "runtime/inference/device_weights.hpp"

#include <algorithm>
#include <vector>

namespace ptxgen {
namespace {

constexpr std::uint64_t tensor_alignment = 256;
// Large enough to be fast, small enough for a progress bar that moves.
constexpr std::uint64_t upload_chunk = 32u << 20;

std::uint64_t aligned(std::uint64_t bytes) {
    return (bytes + tensor_alignment - 1) / tensor_alignment * tensor_alignment;
}

/// Every tensor once; the output matrix may be the embedding.
std::vector<const gguf::Tensor*> used_tensors(const Model& model) {
    std::vector<const gguf::Tensor*> all{model.token_embd, model.output_norm, model.output};
    for (const auto& l : model.layers)
        for (const auto* tensor : {l.attn_norm, l.attn_q, l.attn_k, l.attn_v, l.attn_q_bias, l.attn_k_bias,
                                   l.attn_v_bias, l.attn_q_norm, l.attn_k_norm, l.attn_output, l.post_attention_norm,
                                   l.ffn_norm, l.ffn_gate, l.ffn_up, l.ffn_down, l.post_ffw_norm})
            if (tensor) all.push_back(tensor);
    std::vector<const gguf::Tensor*> unique;
    for (const auto* tensor : all)
        if (std::find(unique.begin(), unique.end(), tensor) == unique.end()) unique.push_back(tensor);
    return unique;
}

} // namespace

std::uint64_t DeviceWeights::bytes(const Model& model) {
    std::uint64_t total = 0;
    for (const auto* tensor : used_tensors(model)) total += aligned(tensor->bytes);
    return total;
}

Result<DeviceWeights> DeviceWeights::upload(runtime::Device& device, const Model& model,
                                            const std::function<void(std::uint64_t)>& on_progress) {
    DeviceWeights weights;
    auto buffer = device.allocate(bytes(model));
    if (!buffer) return std::move(buffer).error();
    weights.buffer_ = std::move(*buffer);
    std::uint64_t offset = 0, done = 0;
    for (const auto* tensor : used_tensors(model)) {
        const runtime::DevicePtr address = weights.buffer_.address() + offset;
        weights.addresses_.emplace(tensor, address);
        offset += aligned(tensor->bytes);
        for (std::uint64_t at = 0; at < tensor->bytes; at += upload_chunk) {
            const std::uint64_t n = std::min(upload_chunk, tensor->bytes - at);
            if (auto copied = device.stream().copy_to_device(address + at, tensor->data + at, n); !copied)
                return std::move(copied).error();
            done += n;
            if (on_progress) on_progress(done);
        }
    }
    if (auto synchronised = device.stream().synchronize(); !synchronised) return std::move(synchronised).error();
    return weights;
}

} // namespace ptxgen
