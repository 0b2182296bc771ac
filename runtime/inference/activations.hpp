#pragma once

#include "kernels/attention/attention.hpp"
#include "kernels/model_shape.hpp"
#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <cstdint>
#include <vector>

namespace ptxgen {

/// Device buffers that the kernels of one round of tokens hand to each other, f32 rows of `rows` tokens each.
struct Activations {
    runtime::DevicePtr state = 0;     ///< u32 position of the first token, then the tokens' ids, u32 [rows]
    runtime::DevicePtr x = 0;         ///< [hidden], the residual stream
    runtime::DevicePtr last = 0;      ///< [hidden] of one token, whose logits are wanted
    runtime::DevicePtr y = 0;         ///< [hidden], a block's output; normed x, where a kernel of its own norms it
    runtime::DevicePtr q = 0;         ///< [q_dim]
    runtime::DevicePtr k = 0;         ///< [kv_dim]
    runtime::DevicePtr v = 0;         ///< [kv_dim]
    runtime::DevicePtr attention = 0; ///< [q_dim]
    runtime::DevicePtr gate = 0;      ///< [ffn]
    runtime::DevicePtr up = 0;        ///< [ffn]
    runtime::DevicePtr rounded = 0;   ///< the widest of [hidden], [q_dim] and [ffn]: what a product takes, at q8_1
    runtime::DevicePtr columns = 0;   ///< the same as column blocks (kernels/ring/columns.hpp)
    runtime::DevicePtr scale = 0;     ///< of a product's rows, f32: 1 / rms of its normed vector, at q8_1
    runtime::DevicePtr logits = 0;    ///< [vocab], of one token
    runtime::DevicePtr best_values = 0, best_ids = 0; ///< f32 and u32 [best_parts], of argmax_parts

    /// Shares of the logits that are searched at once: enough for every multiprocessor of today's devices.
    static constexpr std::uint32_t best_parts = 128;

    /// Parts of one token's attention, and the CTAs that have delivered theirs; see kernels::attention_scratch()
    /// and kernels::decode_attention_scratch().
    runtime::DevicePtr attention_parts = 0, attention_arrivals = 0;

    Status allocate(runtime::Device& device, const ModelShape& shape, std::uint32_t rows,
                    const kernels::AttentionScratch& attention_scratch);
    /// Device memory that allocate() takes.
    static std::uint64_t bytes(const ModelShape& shape, std::uint32_t rows,
                               const kernels::AttentionScratch& attention_scratch);

    runtime::DevicePtr position() const { return state; }
    runtime::DevicePtr ids() const { return state + 4; }

private:
    std::vector<runtime::Buffer> buffers_;
};

} // namespace ptxgen
