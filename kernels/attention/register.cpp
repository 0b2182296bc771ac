#include "kernels/attention/attention.hpp"
#include "kernels/attention/decode_attention.hpp"
#include "kernels/attention/head_inputs.hpp"
#include "kernels/attention/kv_append.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/registry.hpp"

namespace ptxgen::kernels {
namespace {

ParameterSpec cache_word() { return ParameterSpec::choice("cache", "element type of the cache", {"f32", "f16"}); }

ParameterSpec capacity() { return ParameterSpec::integer("capacity", "positions of the cache", 2048, 1, 1 << 20); }

KvCacheShape cache_shape(const ParameterValues& values) {
    return {values.u32("kv-heads"), values.u32("head-dim"), values.u32("capacity"),
            values.word("cache") == "f16" ? CacheType::f16 : CacheType::f32};
}

/// What both kernels of attention take, and `more`.
std::vector<ParameterSpec> attention_parameters(const std::vector<ParameterSpec>& more) {
    std::vector<ParameterSpec> all{
        ParameterSpec::integer("heads", "query heads, a multiple of kv-heads", 9, 1, 1 << 12),
        ParameterSpec::integer("kv-heads", "key heads", 3, 1, 1 << 12),
        ParameterSpec::integer("head-dim", "elements of a head", 64, 1, 256),
        capacity(),
        cache_word(),
        ParameterSpec::integer("window", "positions that a token sees, its own included; 0: all", 0, 0, 1 << 20),
        ParameterSpec::real("scale", "factor of q·k before softmax", 0.125, -1e6, 1e6),
    };
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace

std::vector<KernelSpec> attention_kernels() {
    std::vector<KernelSpec> kernels(5);
    for (auto& kernel : kernels) kernel.family = "attention";

    kernels[0].name = "rope";
    kernels[0].summary = "rotary position embedding in place, from a table of cosines and sines";
    kernels[0].parameters = {
        ParameterSpec::choice("kind", "elements that turn together: (2p, 2p+1) or (p, p + dim/2)",
                              {"interleaved", "neox"}),
        ParameterSpec::integer("heads", "heads of a row", 9, 1, 1 << 16),
        ParameterSpec::integer("head-dim", "elements of a head", 64, 2, 1024),
        ParameterSpec::integer("dim", "leading elements of a head that turn, at most head-dim", 64, 2, 1024, 2),
    };
    kernels[0].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        const RopeKind kind = values.word("kind") == "neox" ? RopeKind::neox : RopeKind::interleaved;
        return rope({kind, values.u32("heads"), values.u32("head-dim"), values.u32("dim")}, target, version);
    };

    kernels[1].name = "kv_append";
    kernels[1].summary = "copies new keys and values into the cache";
    kernels[1].parameters = {
        ParameterSpec::integer("kv-heads", "key heads", 3, 1, 1 << 12),
        ParameterSpec::integer("head-dim", "elements of a head", 64, 1, 1024),
        capacity(),
        cache_word(),
    };
    kernels[1].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        return kv_append(cache_shape(values), target, version);
    };

    kernels[2].name = "attention";
    kernels[2].summary = "causal attention with grouped heads and a sliding window over the cache";
    kernels[2].parameters = attention_parameters({
        ParameterSpec::integer("warps", "warps of a CTA, at most", 8, 1, 16),
        ParameterSpec::integer("splits", "CTAs that share the positions, at most", 1, 1, 256),
        ParameterSpec::integer("split-positions", "positions of each of them, at least", 128, 1, 1 << 20),
    });
    kernels[2].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        AttentionConfig config;
        config.cache = cache_shape(values);
        config.heads = values.u32("heads");
        config.window = values.u32("window");
        config.scale = values.real("scale");
        config.warps = values.u32("warps");
        config.splits = values.u32("splits");
        config.split_positions = values.u32("split-positions");
        return attention(config, target, version);
    };

    kernels[3].name = "head_inputs";
    kernels[3].summary = "head norms, rotary embedding and the copy into the cache, in one kernel";
    kernels[3].parameters = {
        ParameterSpec::integer("heads", "query heads", 9, 1, 1 << 12),
        ParameterSpec::integer("kv-heads", "key heads", 3, 1, 1 << 12),
        ParameterSpec::integer("head-dim", "elements of a head", 64, 2, 1024),
        ParameterSpec::integer("rope-dim", "leading elements of a head that turn, at most head-dim", 64, 2, 1024, 2),
        ParameterSpec::choice("kind", "elements that turn together: (2p, 2p+1) or (p, p + dim/2)",
                              {"interleaved", "neox"}),
        ParameterSpec::choice("norms", "whether queries and keys are normed", {"no", "yes"}),
        ParameterSpec::real("epsilon", "added to the mean square", 1e-6, 0, 1),
        capacity(),
        cache_word(),
    };
    kernels[3].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        HeadInputsConfig config;
        config.cache = cache_shape(values);
        config.heads = values.u32("heads");
        config.kind = values.word("kind") == "neox" ? RopeKind::neox : RopeKind::interleaved;
        config.rope_dim = values.u32("rope-dim");
        config.norms = values.word("norms") == "yes";
        config.epsilon = values.real("epsilon");
        return head_inputs(config, target, version);
    };

    kernels[4].name = "decode_attention";
    kernels[4].summary = "attention of one token, its positions shared out as in the persistent decoder";
    kernels[4].parameters = attention_parameters({
        ParameterSpec::integer("ctas", "CTAs that work on a token", 132, 1, 4096),
        ParameterSpec::integer("split-positions", "up to which a CTA has a head alone", 256, 2, 1 << 20),
        ParameterSpec::choice("mma", "whether tensor cores multiply where they can", {"no", "yes"}),
    });
    kernels[4].generate = [](const ParameterValues& values, std::optional<Target> target,
                             std::optional<PtxVersion> version) {
        DecodeAttentionConfig config;
        config.cache = cache_shape(values);
        config.heads = values.u32("heads");
        config.scale = values.real("scale");
        config.ctas = values.u32("ctas");
        config.split_positions = values.u32("split-positions");
        config.mma = values.word("mma") == "yes";
        return decode_attention(config, values.u32("window"), target, version);
    };
    return kernels;
}

} // namespace ptxgen::kernels
