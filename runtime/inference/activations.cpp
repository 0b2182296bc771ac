#include "runtime/inference/activations.hpp"

#include "kernels/ring/columns.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ptxgen {
namespace {

using Part = std::pair<runtime::DevicePtr Activations::*, std::uint64_t>;

/// Each buffer's bytes.
std::array<Part, 18> parts(const ModelShape& shape, std::uint32_t rows, const kernels::AttentionScratch& scratch) {
    const std::uint64_t row_bytes = 4ull * rows, widest = std::max({shape.hidden, shape.q_dim(), shape.ffn});
    return {{{&Activations::state, 4 + row_bytes},
             {&Activations::x, row_bytes * shape.hidden},
             {&Activations::last, 4ull * shape.hidden},
             {&Activations::y, row_bytes * shape.hidden},
             {&Activations::q, row_bytes * shape.q_dim()},
             {&Activations::k, row_bytes * shape.kv_dim()},
             {&Activations::v, row_bytes * shape.kv_dim()},
             {&Activations::attention, row_bytes * shape.q_dim()},
             {&Activations::gate, row_bytes * shape.ffn},
             {&Activations::up, row_bytes * shape.ffn},
             {&Activations::rounded, row_bytes * widest},
             {&Activations::columns, kernels::ring_column_bytes(rows, widest)},
             {&Activations::scale, row_bytes},
             {&Activations::logits, 4ull * shape.vocab},
             {&Activations::best_values, 4ull * Activations::best_parts},
             {&Activations::best_ids, 4ull * Activations::best_parts},
             {&Activations::attention_parts, 4 * scratch.parts},
             {&Activations::attention_arrivals, 4 * scratch.arrivals}}};
}

} // namespace

std::uint64_t Activations::bytes(const ModelShape& shape, std::uint32_t rows,
                                 const kernels::AttentionScratch& scratch) {
    std::uint64_t total = 0;
    for (const auto& [address, bytes] : parts(shape, rows, scratch)) total += bytes;
    return total;
}

Status Activations::allocate(runtime::Device& device, const ModelShape& shape, std::uint32_t rows,
                             const kernels::AttentionScratch& scratch) {
    for (const auto& [address, bytes] : parts(shape, rows, scratch)) {
        if (bytes == 0) continue;
        auto buffer = device.allocate(bytes);
        if (!buffer) return std::move(buffer).error();
        this->*address = buffer->address();
        buffers_.push_back(std::move(*buffer));
    }
    return device.stream().fill(attention_arrivals, 0, 4 * scratch.arrivals);
}

} // namespace ptxgen
