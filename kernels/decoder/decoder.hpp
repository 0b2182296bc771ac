#pragma once

#include "kernels/attention/kv_cache.hpp"
#include "kernels/decoder/layout.hpp"
#include "kernels/generated.hpp"

#include <cstdint>
#include <optional>

namespace ptxgen::kernels {

class ParameterValues;

/// A kernel that decodes many tokens of one model in one cooperative launch.
struct DecoderConfig {
    ModelShape shape;
    WeightLayout weights;             ///< weight_layout(shape, …)
    std::uint32_t ctas = 132;         ///< all of them must be resident at once
    std::uint32_t context = 4096;     ///< positions of the key and value cache
    CacheType cache = CacheType::f32; ///< its element type
    /// Stream packed weights by bulk copies into a ring in shared memory (sm_90 and newer), or load them directly.
    bool ring = false;
    /// Blocks travel between CTAs in packets of 16 bytes (PTX 8.3 and newer), or of 8.
    bool wide_packets = true;
    /// Stages on their way at once while a CTA multiplies (0: as many as make a round of units, 36 KB of Q4_K), and
    /// while it waits for packets, which queue behind them.
    std::uint32_t busy_stages = 0, waiting_stages = 1;
    /// Of the ring: 1, 2, 4, 8 or 16; fewer where shared memory is short. 0: 8, or 4 where a CTA has less than a round
    /// of units of a product.
    std::uint32_t stage_units = 0;
    bool mma = true; ///< integer products by tensor cores (sm_80 and newer); the sums are the same without
    std::uint32_t shared_bytes = 99 * 1024; ///< that a CTA may have
    /// Positions up to which one CTA attends for a head alone: at least 16.
    std::uint32_t split_positions = 256;
    /// Every CTA notes the time behind each of its steps: DecoderProfile.
    bool profile = false;
    /// For tests of what becomes of a stalled grid: this CTA never publishes a feed-forward result; with `tears_blocks`
    /// it does, but of the blocks of the gated vector it leaves out the second packet.
    std::optional<std::uint32_t> silent_cta;
    bool tears_blocks = false;
};

/// The configuration that `ptxgen emit` takes from the kernel's parameters: weights packed, streamed through a ring on
/// sm_90 and newer.
DecoderConfig decoder_config(const ModelShape& model, const ParameterValues& values, std::optional<Target> target);

/// What a CTA notes in each token, over what it noted in the one before, as u64: %globaltimer at the token's begin and
/// end; then %clock64 at the begin, behind each step of each layer, and behind each of the last steps.
struct DecoderProfile {
    static constexpr std::uint32_t layer_steps = 9, last_steps = 2;
    std::uint32_t layers = 0;

    std::uint32_t words() const { return 3 + layers * layer_steps + last_steps; }
    /// Of step `step` of a layer, or of last step `step` with layer = layers.
    std::uint32_t at(std::uint32_t layer, std::uint32_t step) const { return 3 + layer * layer_steps + step; }
    static std::string_view step_name(std::uint32_t step);
    static std::string_view last_step_name(std::uint32_t step);
};

/// Sizes of the buffers that a launch needs beside weights, cache and rope tables, in bytes.
struct DecoderBuffers {
    std::uint64_t edges = 0;   ///< zero before the first launch
    std::uint64_t profile = 0; ///< [ctas][DecoderProfile::words()]; 8 without profile
    std::uint64_t status =
        0; ///< zero before every launch: a word for the grid (the first of 8), then DecoderStatus a CTA
};
DecoderBuffers decoder_buffers(const DecoderConfig& config);

/// Kernel persistent_decoder. From the given ids it evaluates token after token, appending keys and values to the cache
/// at `position` and behind; after each it takes the id of the highest logit (the lowest of equals), tells it through
/// `tokens`, and goes on with the next given id or, behind them, with the one just taken. It ends after `steps` tokens,
/// when it has taken one of the stop ids behind the given ones, when `stop` is not 0 between two tokens, or with an
/// error in `status`.
///
/// Activations of every matrix product are signed bytes with a scale for each 32; x · norm weight is quantised, and
/// rows are multiplied by 1 / rms afterwards. Errors: sizes that it cannot split (not a multiple of 32), too little
/// shared memory, a target without what `ring` needs.
Result<Generated> persistent_decoder(const DecoderConfig& config, std::optional<Target> target = {},
                                     std::optional<PtxVersion> version = {});

} // namespace ptxgen::kernels
