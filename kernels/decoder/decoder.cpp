#include "kernels/decoder/emitter.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ptxgen::kernels {
DecoderParameters::DecoderParameters(KernelBuilder& k, const DecoderConfig& config)
    : weights(k.param<global_ptr<const u8>>("weights", fmt::format("{} bytes of tensors", config.weights.bytes),
                                            align(256))),
      cache(k.param<global_ptr<u8>>("cache", "keys and values of each layer", align(256))),
      rope(k.param<global_ptr<const f32>>("rope", "f32 [positions][dim/2][2]: cosine, sine", align(16))),
      rope_sliding(
          k.param<global_ptr<const f32>>("rope_sliding", "the same for layers with a sliding window", align(16))),
      edges(k.param<PacketPtr>("edges", "packets between CTAs", align(128))),
      status(k.param<global_ptr<u32>>("status", "what CTAs that gave up were waiting for", align(32))),
      given(k.param<global_ptr<const u32>>("given", "u32 [given_count]: ids to evaluate first")),
      given_count(k.param<u32>("given_count", "from 1")), steps(k.param<u32>("steps", "tokens to evaluate, from 1")),
      position(k.param<u32>("position", "of the first token")),
      epoch(k.param<u32>("epoch", "of the first token: from 1, above those of all launches with these edges")),
      logits(k.param<global_ptr<f32>>("logits", "f32 [steps][vocab], if logits_wanted")),
      logits_wanted(k.param<u32>("logits_wanted", "0 or 1")),
      tokens(k.param<global_ptr<u64>>("tokens", "u64 [steps]: id, and above it 1 + the number of the token; the host "
                                                "may read them as they appear")),
      stop(k.param<global_ptr<const u32>>("stop", "u32: not 0 ends the launch after the token")),
      stop_ids(k.param<global_ptr<const u32>>("stop_ids", "u32 [stop_count]: ids that end the launch")),
      stop_count(k.param<u32>("stop_count")), limit_ns(k.param<u64>("limit_ns", "bound of every wait")),
      profile(k.param<global_ptr<u64>>("profile", "u64 [ctas][words], if the kernel was generated to note times")) {}

DecoderEmitter::DecoderEmitter(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
                               const DecoderParameters& parameters, const Val<shared_ptr<u8>>& memory,
                               const Val<u32>& thread)
    : k_(k), config_(config), plan_(plan), p_(parameters), memory_(memory), thread_(thread), warp_(thread >> 5),
      lane_(thread & 31), group_(lane_ >> 2), quad_(lane_ & 3), cta_(k.ctaid.x), epoch_(k.var<u32>(parameters.epoch)),
      token_(k.var<u32>(k.ld(parameters.given))),
      walk_(k, config, plan, parameters.weights), guard_{word(failed), parameters.status,
                                                         parameters.status + (cta_ + 1u) * status_words,
                                                         parameters.limit_ns} {
    if (!plan.ring) return;
    const RingLane any(k_, RingDots::dp4a);
    consumer_ = std::make_unique<RingConsumer>(k_, *plan.ring, at<u8>(plan.shared.ring), warp_, any);
}

void DecoderEmitter::emit() {
    const LabelRef again = k_.label("token");
    k_.place(again);
    emit_token();
    k_.bra_if(k_.ld(word(go_on)) != 0, again);
}

void DecoderEmitter::note(std::string_view clock, std::uint32_t first, std::uint32_t stride) {
    if (!config_.profile) return;
    const DecoderProfile profile{config_.shape.layers};
    k_.if_(thread_ == 0, [&] {
        auto word = k_.var<u32>(k_.mad_lo(cta_, profile.words(), k_.imm<u32>(first)));
        if (stride) word = k_.mad_lo(walk_.layer(), stride, word);
        const auto now = k_.var<u64>();
        k_.state().append("mov.u64", {now.operand(), Operand::special(*find_special_register(clock))});
        const auto target = p_.profile + word;
        k_.st(target, now);
    });
}

void DecoderEmitter::emit_token() {
    note("%globaltimer", 0);
    note("%clock64", 2);
    embed(token_);
    const DecoderOp& qkv = plan_.op(OpName::qkv);
    take_embedding(p_.weights + config_.weights.at(0, LayerTensor::attn_norm), qkv.any_general());
    walk_.each([&] { emit_layer(); });
    emit_output();
    note("%globaltimer", 1);
}

void DecoderEmitter::emit_layer() {
    const ModelShape& s = config_.shape;
    const EdgePlan& e = plan_.edges;
    const DecoderProfile profile{s.layers};
    std::uint32_t step = 0;
    const auto note_step = [&] { note("%clock64", profile.at(0, step++), DecoderProfile::layer_steps); };
    const auto publish_at = [&](std::uint32_t first) {
        return [this, first](const Val<u32>& number, const Val<f32>& value) {
            emit_publish(k_, layer_edges() + number + first, value, epoch());
        };
    };
    k_.comment("queries, keys, values");
    emit_op(plan_.op(OpName::qkv), publish_at(e.q));
    note_step();
    emit_attention();
    note_step();
    const auto post = [&](LayerTensor norm) { return s.post_norms ? std::optional(norm) : std::nullopt; };
    const DecoderOp& out = plan_.op(OpName::attention_output);
    if (plan_.attention_blocks)
        take_blocks(e.attention, out.cols, WaitSite::attention_output, out.any_general());
    else
        take_vector(e.attention, out.cols, WaitSite::attention_output, out.any_general());
    note_step();
    emit_op(out, publish_at(e.attention_block));
    note_step();
    const DecoderOp& gate_up = plan_.op(OpName::gate_up);
    take_residual(e.attention_block, WaitSite::attention_block, post(LayerTensor::post_attention_norm),
                  walk_.tensor(LayerTensor::ffn_norm), gate_up.any_general());
    note_step();
    emit_op(gate_up, [&](const Val<u32>& number, const Val<f32>& value) {
        const auto block = number >> 5U;
        const auto publish = [&](std::optional<std::uint32_t> withheld) {
            emit_publish_block(k_, block_edge(e.gated), block, value, lane_, epoch(), config_.mma, withheld);
        };
        if (!config_.silent_cta || !config_.tears_blocks) return publish({});
        k_.if_(
            cta_ == *config_.silent_cta, [&] { publish(1); }, [&] { publish({}); });
    });
    note_step();
    const DecoderOp& down = plan_.op(OpName::down);
    take_blocks(e.gated, down.cols, WaitSite::ffn_gated, down.any_general());
    note_step();
    const RowBody publish_down = publish_at(e.ffn_block);
    if (config_.silent_cta && !config_.tears_blocks) {
        const auto speaks = cta_ != *config_.silent_cta;
        emit_op(down, [&](const Val<u32>& number, const Val<f32>& value) {
            k_.if_(speaks, [&] { publish_down(number, value); });
        });
    } else {
        emit_op(down, publish_down);
    }
    note_step();
    const bool general = plan_.op(OpName::qkv).any_general() || plan_.op(OpName::output).any_general();
    prefetch_rows();
    take_residual(e.ffn_block, WaitSite::ffn_block, post(LayerTensor::post_ffw_norm), walk_.next_norm(), general);
    note_step();
}

void DecoderEmitter::emit_output() {
    const DecoderOp& op = plan_.op(OpName::output);
    k_.comment("logits");
    auto stop = k_.var<u32>(0u);
    const auto first_thread = thread_ == 0;
    const auto first_cta = cta_ == 0;
    const auto speaks_for_host = first_thread & first_cta;
    // Far away: asked for now, used behind the products.
    k_.predicated(speaks_for_host, [&] { stop = k_.ld(p_.stop, relaxed, sys); });
    Best best = no_best(k_);
    emit_op(op, [&](const Val<u32>& number, const Val<f32>& value) {
        take_better(k_, best, value, number);
        k_.if_(p_.logits_wanted != 0, [&] {
            const auto of_step = row(k_, p_.logits, step(), config_.shape.vocab);
            k_.st(of_step + number, value);
        });
    });
    const DecoderProfile profile{config_.shape.layers};
    note("%clock64", profile.at(profile.layers, 0));
    k_.comment("the best of all CTAs");
    best_of_cta(k_, best, thread_, 32 * ring_warps, float_word(best_values), word(best_indices), consumers_);
    // Two buffers take turns: whoever still reads one has not let the others come to write it again.
    const auto parity = epoch_ & 1;
    const auto buffer = p_.edges + plan_.edges.best + parity * (4 * config_.ctas);
    k_.if_(first_thread, [&] {
        // Whoever has this packet sees the rows that the CTA has appended to the cache.
        k_.fence(acq_rel, gpu);
        const auto own = buffer + cta_ * 4u;
        emit_publish(k_, own, best.value, epoch());
        emit_publish(k_, own + 1, Val<u32>(best.index).as<f32>(), epoch());
        emit_publish(k_, own + 2, Val<u32>(stop).as<f32>(), epoch());
        emit_publish(k_, own + 3, k_.imm<f32>(0.f), epoch());
    });
    barrier(); // the scratch of the best has been read
    Best overall = no_best(k_);
    for (std::uint32_t first = 0; first < config_.ctas; first += 32 * ring_warps) {
        const auto number = thread_ + first;
        const auto has = number < config_.ctas;
        const auto packet = number * 4u;
        const Values found =
            emit_poll(k_, {buffer + packet}, 4, has, epoch(), guard_, {WaitSite::best_logit, walk_.layer(), packet});
        k_.if_(has, [&] { take_better(k_, overall, found[0], found[1].as<u32>()); });
        if (first == 0) k_.predicated(first_thread, [&] { k_.st(word(next_token), found[2].as<u32>()); });
    }
    best_of_cta(k_, overall, thread_, 32 * ring_warps, float_word(best_values), word(best_indices), consumers_);
    const auto id = k_.selp(k_.imm<u32>(0), overall.index, overall.index == no_index);

    note("%clock64", profile.at(profile.layers, 1));
    k_.comment("what comes next");
    k_.if_(speaks_for_host, [&] {
        const auto done = step();
        const auto number = done + 1u;
        const auto both = k_.mov(std::array{id, number}).as<u64>();
        k_.st(p_.tokens + done, both, relaxed, sys);
    });
    epoch_ += 1;
    const auto done = step();
    auto ends = k_.var<u32>(k_.ld(word(next_token)));
    ends = ends | k_.ld(word(failed));
    const auto last = done >= p_.steps;
    k_.predicated(last, [&] { ends = 1u; });
    k_.if_(
        done < p_.given_count, [&] { token_ = k_.ld(p_.given + done); },
        [&] {
            token_ = id;
            k_.for_<u32>(0, p_.stop_count, 1, [&](Var<u32>& i) {
                const auto stop_id = k_.ld(p_.stop_ids + i);
                k_.predicated(stop_id == id, [&] { ends = 1u; });
            });
        });
    const auto goes_on = k_.selp(k_.imm<u32>(1), k_.imm<u32>(0), ends == 0);
    // What other CTAs appended to the cache is there for this one's next token.
    k_.fence(acq_rel, gpu);
    barrier();
    k_.predicated(first_thread, [&] { k_.st(word(go_on), goes_on); });
    if (plan_.ring) k_.bar_arrive(2, ring_threads);
    barrier();
}

void emit_decoder_producer(KernelBuilder& k, const DecoderConfig& config, const DecoderPlan& plan,
                           const DecoderParameters& parameters, const Val<shared_ptr<u8>>& memory,
                           const Val<u32>& thread) {
    const auto words = (memory + plan.shared.scratch).as<shared_ptr<u32>>();
    const auto go_on = words + 50;
    RingThrottle throttle;
    const std::uint32_t round = ring_warps / plan.ring->stage_units; // stages of a round of units
    throttle.busy = std::min(plan.ring->stages, config.busy_stages ? config.busy_stages : round);
    throttle.waiting = config.waiting_stages;
    throttle.flag.emplace(words + 51);
    RingProducer producer(k, *plan.ring, memory + plan.shared.ring, throttle);
    LayerWalk walk(k, config, plan, parameters.weights);
    const Val<u32> cta = k.ctaid.x;
    const auto first_lane = (thread & 31) == 0;
    const auto produce = [&](const DecoderOp& op) {
        const TileRange range = emit_tile_range(k, op, cta, config.ctas);
        const auto of_variant = [&](const std::vector<DecoderSegment>& segments) {
            const auto pass = [&](const Val<u32>& begin, const Val<u32>& end) {
                for (const DecoderSegment& segment : segments) {
                    if (!segment.packed) continue;
                    const SegmentPart part = emit_segment_part(k, op, segment, begin, end);
                    const std::uint32_t unit_bytes = ring_format(segment.type)->unit_bytes;
                    const auto base = segment.tensors.empty() ? parameters.weights + config.weights.output
                                                              : walk.tensor(segment.tensors[0]);
                    const auto bits = k.add(base.as<u64>(), k.imm<u64>(std::uint64_t{0}));
                    const auto from =
                        k.mad_wide(part.first, op.super_blocks() * unit_bytes, bits).as<global_ptr<const u8>>();
                    producer.produce(from, part.count * op.super_blocks(), unit_bytes);
                }
            };
            if (op.pass_tiles >= op.max_tiles)
                pass(range.begin, range.end);
            else
                k.for_<u32>(range.begin, range.end, op.pass_tiles, [&](Var<u32>& begin) {
                    const auto wanted = begin + op.pass_tiles;
                    pass(Val<u32>(k.state(), begin.operand()), k.min(wanted, range.end));
                });
        };
        if (op.variant_of_kind.empty())
            of_variant(op.variants[0]);
        else
            walk.each_variant(op, of_variant);
    };
    const LabelRef again = k.label("produce");
    k.place(again);
    k.if_(first_lane, [&] {
        walk.each([&] {
            for (const OpName name : {OpName::qkv, OpName::attention_output, OpName::gate_up, OpName::down})
                produce(plan.op(name));
        });
        produce(plan.op(OpName::output));
    });
    k.bar_warp_sync(0xffffffffu);
    k.bar_sync(2, ring_threads);
    k.bra_if(k.ld(go_on) != 0, again);
}

Result<Generated> persistent_decoder(const DecoderConfig& config, std::optional<Target> target,
                                     std::optional<PtxVersion> version) {
    auto plan = plan_decoder(config);
    if (!plan) return plan.error();
    plan->attention.movmatrix = has_movmatrix(version);
    ModuleBuilder module{target, version};
    KernelBuilder k = module.kernel("persistent_decoder");
    const std::uint32_t threads = plan->ring ? ring_threads : 32 * ring_warps;
    k.max_threads(threads);
    k.min_ctas_per_sm(1);
    const DecoderParameters parameters(k, config);
    const auto memory = k.dynamic_shared<u8>("memory", align(128));
    const Val<u32> thread = k.tid.x;
    k.if_(thread == 0, [&] {
        k.st((memory + plan->shared.scratch).as<shared_ptr<u32>>() + 48, k.imm<u32>(0));
        k.st((memory + plan->shared.scratch).as<shared_ptr<u32>>() + 51, k.imm<u32>(0));
        if (plan->ring) emit_ring_init(k, *plan->ring, memory + plan->shared.ring);
    });
    k.bar_sync(0);
    const auto consume = [&] { DecoderEmitter(k, config, *plan, parameters, memory, thread).emit(); };
    if (plan->ring)
        k.if_(thread < 32 * ring_warps, consume,
              [&] { emit_decoder_producer(k, config, *plan, parameters, memory, thread); });
    else
        consume();
    LaunchShape launch;
    launch.grid_x = fmt::format("{}", config.ctas);
    launch.block_x = threads;
    launch.dynamic_shared_bytes = plan->shared.bytes;
    launch.cooperative = true;
    return finish(std::move(module), launch);
}

} // namespace ptxgen::kernels
