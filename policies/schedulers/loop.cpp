#include "policies/schedulers/loop.hpp"

namespace ptxgen::policies {

Behaviour behaviour_of(Policy policy) {
    ModuleBuilder module;
    KernelBuilder k = module.kernel("nobody");
    PolicyContext context(k, 1);
    policy.init(context);
    Behaviour behaviour;
    const std::size_t before = k.function().body.size();
    const KeepGoing going = policy.keep_going_after_success(context);
    behaviour.minds_success = going.known() != true || k.function().body.size() > before;
    behaviour.always_goes_on = going.known() == true;
    const Answer answer = policy.should_try_steal(context);
    behaviour.may_steal = answer.may_be(Decision::steal);
    behaviour.may_delay = answer.may_be(Decision::delay);
    behaviour.may_exit = answer.may_be(Decision::exit) || !behaviour.always_goes_on;
    return behaviour;
}

TileLoop::TileLoop(KernelBuilder& builder, TileCode tile_code, Policy tile_policy,
                   const ScheduleOptions& schedule_options, bool flat_block)
    : k(builder), code(std::move(tile_code)), options(schedule_options), behaviour(behaviour_of(tile_policy)),
      block_is_flat_(flat_block), policy_(std::move(tile_policy)), context_(builder, dimensions()) {}

void TileLoop::declare_counters() {
    if (options.counters)
        counters_.emplace(k.param<global_ptr<u32>>(
            "counters", "u32 [4], added to: tiles at a CTA's start, tiles stolen, asks declined, requests failed"));
}

Pred TileLoop::first_thread() {
    auto thread = k.var<u32>();
    k.raw("mov.u32 {0}, %tid.x;", thread);
    if (!block_is_flat_) {
        const Val<u32> any = k.tid.y | k.tid.z;
        thread = thread | any;
    }
    return thread == 0U;
}

void TileLoop::init() {
    policy_.init(context_);
    if (!behaviour.always_goes_on) stopped_ = context_.state<u32>(static_cast<std::uint32_t>(Decision::steal));
}

Answer TileLoop::answer_of_policy() {
    const Answer answer = policy_.should_try_steal(context_);
    if (behaviour.always_goes_on) return answer;
    const Val<u32> stopped = stopped_.get();
    return stricter(k, answer, Answer(stopped == 0U, Decision::steal, Decision::exit));
}

std::optional<Pred> TileLoop::ask(const std::function<void()>& submit, const std::function<void()>& leave) {
    const Answer answer = answer_of_policy();
    if (const auto known = answer.known()) {
        if (*known == Decision::steal) {
            submit();
            return std::nullopt;
        }
        count(Counter::declined);
        leave(); // DELAY alone is refused
        return std::nullopt;
    }
    const Val<u32> decision = answer.value(k);
    if (answer.may_be(Decision::steal)) k.if_(decision == static_cast<std::uint32_t>(Decision::steal), submit);
    if (counts()) k.if_(decision != static_cast<std::uint32_t>(Decision::steal), [&] { count(Counter::declined); });
    if (answer.may_be(Decision::exit)) k.if_(decision == static_cast<std::uint32_t>(Decision::exit), leave);
    if (!answer.may_be(Decision::delay)) return std::nullopt;
    return decision == static_cast<std::uint32_t>(Decision::delay);
}

void TileLoop::ask_again(const Pred& delayed, const std::function<void()>& submit, const std::function<void()>& leave) {
    const LabelRef nap = k.label("nap"), awake = k.label("awake");
    k.bra_if(!delayed, awake);
    k.place(nap);
    k.nanosleep(options.nap_nanoseconds);
    const auto again = ask(submit, leave);
    k.bra_if(*again, nap);
    k.place(awake);
}

void TileLoop::succeeded(std::uint32_t tiles) {
    count(Counter::stolen, tiles);
    const KeepGoing going = policy_.keep_going_after_success(context_);
    if (behaviour.always_goes_on) return;
    if (going.known())
        stopped_.set(k.imm<u32>(static_cast<std::uint32_t>(Decision::exit)));
    else
        stopped_.set(Answer(going.value(), Decision::steal, Decision::exit).value(k));
}

void TileLoop::count(Counter counter, std::uint32_t n) {
    if (counters_) k.red_add(*counters_ + static_cast<std::uint32_t>(counter), n, relaxed, gpu);
}

} // namespace ptxgen::policies
