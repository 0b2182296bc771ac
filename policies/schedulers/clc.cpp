#include "policies/schedulers/loop.hpp"

namespace ptxgen::policies {
namespace {

constexpr std::uint32_t response_bytes = 16;

/// Cluster launch control. Each CTA has a mbarrier that every round completes once: by the 16 bytes of the response to
/// the round's request, or by a plain arrival when the leader requests nothing more, which `left` then says. So threads
/// wait for one thing only, and the request is in flight while the tile in hand runs. In a cluster the leader of its
/// first CTA arms the mbarriers of all of them.
class Clc {
public:
    explicit Clc(TileLoop& loop)
        : l_(loop), k_(loop.k), ctas_(loop.options.cluster_ctas()),
          response_(k_.shared<b32>("clc_response", 4, align(16)).as<shared_ptr<b128>>()),
          arrival_(k_.shared<b64>("clc_arrival", 1)) {
        l_.declare_counters();
        if (l_.behaviour.may_exit) left_.emplace(k_.shared<u32>("clc_left", 1));
        if (l_.behaviour.may_delay) delayed_.emplace(k_.shared<u32>("clc_delayed", 1));
    }

    void emit() {
        start();
        std::vector<Var<u32>> at; // the tile in hand
        at.push_back(k_.var<u32>(k_.ctaid.x));
        if (l_.dimensions() > 1) at.push_back(k_.var<u32>(k_.ctaid.y));
        if (l_.dimensions() > 2) at.push_back(k_.var<u32>(k_.ctaid.z));
        auto parity = k_.var<u32>(0);
        const LabelRef round = k_.label("round"), arrived = k_.label("arrived"), done = k_.label("done");
        k_.place(round);
        next_round();
        k_.comment("whether and how to get the next tile, which is on its way while this one runs");
        k_.if_(leader(), [&] { request(); });

        const Val<u32> none = k_.imm<u32>(0);
        const auto coordinate = [&](std::size_t d) -> Val<u32> {
            return d < at.size() ? Val<u32>(k_.state(), at[d].operand()) : none;
        };
        l_.code.tile({coordinate(0), coordinate(1), coordinate(2)});

        if (delayed_) k_.if_(leader(), [&] { request_later(); });
        k_.comment("the response, or that there will be none");
        k_.place(arrived);
        k_.bra_if(!wait(parity), arrived);
        parity ^= 1U;
        if (left_) {
            const Val<u32> left = k_.ld(*left_);
            k_.bra_if(left != 0U, done);
        }
        const Val<b128> response = k_.ld(response_, shared_cta);
        const Pred claimed = k_.clusterlaunchcontrol_query_cancel_is_canceled(response);
        if (l_.counts()) {
            const Pred first = leader();
            k_.if_(first & !claimed, [&] { l_.count(Counter::failed); });
        }
        k_.bra_if(!claimed, done); // a failed response has no id, and no request may follow it
        decode(at, response);
        k_.fence_proxy_async_generic_release();
        if (l_.minds_success()) k_.if_(leader(), [&] { l_.succeeded(ctas_); });
        k_.bra_if(claimed, round);
        k_.place(done);
    }

private:
    void start() {
        const auto begin_policy = [&] {
            l_.init();
            l_.count(Counter::launched, ctas_);
        };
        k_.if_(l_.first_thread(), [&] {
            k_.mbarrier_init(arrival_, 1U, shared_cta);
            if (left_) k_.st(*left_, k_.imm<u32>(0));
            k_.fence_mbarrier_init();
            if (ctas_ == 1) begin_policy();
        });
        if (ctas_ > 1) k_.if_(leader(), begin_policy);
    }

    /// The thread that asks the policy.
    Pred leader() {
        const Pred first = l_.first_thread();
        if (ctas_ == 1) return first;
        auto rank = k_.var<u32>();
        k_.raw("mov.u32 {0}, %cluster_ctarank;", rank);
        const Pred first_cta = rank == 0U;
        return first & first_cta;
    }

    /// All have read the last response, and what the tile had in shared memory.
    void next_round() {
        if (ctas_ == 1) return (void)k_.barrier_sync(0U);
        k_.barrier_cluster_arrive(release);
        k_.barrier_cluster_wait(acquire);
    }

    void request() {
        const auto delayed = l_.ask([&] { submit(); }, [&] { leave(); });
        if (delayed_) {
            const Val<u32> yes = k_.imm<u32>(1);
            k_.st(*delayed_, k_.selp(yes, 0U, *delayed));
        }
    }
    void request_later() {
        const Val<u32> delayed = k_.ld(*delayed_);
        l_.ask_again(
            delayed != 0U, [&] { submit(); }, [&] { leave(); });
    }

    void submit() {
        k_.fence_proxy_async_generic_acquire();
        if (ctas_ == 1) {
            k_.mbarrier_arrive_expect_tx(arrival_, response_bytes, relaxed, cta, shared_cta);
            k_.clusterlaunchcontrol_try_cancel(response_, arrival_, shared_cta);
            return;
        }
        for (std::uint32_t rank = 0; rank < ctas_; rank++) {
            const auto there = in_cta(arrival_, rank);
            k_.raw("mbarrier.arrive.expect_tx.relaxed.cluster.shared::cluster.b64 _, [{0}], 16;", there);
        }
        k_.clusterlaunchcontrol_try_cancel(response_, arrival_, shared_cta, multicast_cluster_all);
    }

    void leave() {
        const Val<u32> yes = k_.imm<u32>(1);
        if (ctas_ == 1) {
            k_.st(*left_, yes);
            k_.mbarrier_arrive(arrival_, release, cta, shared_cta);
            return;
        }
        for (std::uint32_t rank = 0; rank < ctas_; rank++) {
            const auto left_there = in_cta(*left_, rank);
            k_.raw("st.shared::cluster.u32 [{0}], 1;", left_there);
            const auto there = in_cta(arrival_, rank);
            k_.raw("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [{0}];", there);
        }
    }

    Pred wait(const Var<u32>& parity) {
        if (ctas_ == 1) return k_.mbarrier_try_wait_parity(arrival_, parity, acquire, cta, shared_cta);
        return k_.mbarrier_try_wait_parity(arrival_, parity, acquire, cluster, shared_cta);
    }

    void decode(std::vector<Var<u32>>& at, const Val<b128>& response) {
        at[0] = k_.clusterlaunchcontrol_query_cancel_get_first_ctaid_x(response).as<u32>();
        if (at.size() > 1) at[1] = k_.clusterlaunchcontrol_query_cancel_get_first_ctaid_y(response).as<u32>();
        if (at.size() > 2) at[2] = k_.clusterlaunchcontrol_query_cancel_get_first_ctaid_z(response).as<u32>();
        if (ctas_ == 1) return;
        constexpr std::string_view axes = "xyz";
        for (std::size_t d = 0; d < at.size(); d++) {
            if (l_.options.cluster[d] == 1) continue;
            auto mine = k_.var<u32>();
            k_.raw(std::string("mov.u32 {0}, %cluster_ctaid.") + axes[d] + ";", mine);
            at[d] += mine;
        }
    }

    /// The same variable in another CTA of the cluster.
    template <class P>
    Var<u32> in_cta(const P& pointer, std::uint32_t rank) {
        auto address = k_.var<u32>();
        k_.raw("mapa.shared::cluster.u32 {0}, {1}, {2};", address, pointer, k_.imm<u32>(rank));
        return address;
    }

    TileLoop& l_;
    KernelBuilder& k_;
    std::uint32_t ctas_;
    Val<shared_ptr<b128>> response_;
    Val<shared_ptr<b64>> arrival_;
    std::optional<Val<shared_ptr<u32>>> left_;    ///< not 0: nothing more is requested
    std::optional<Val<shared_ptr<u32>>> delayed_; ///< the leader's: the first ask of the round was answered with DELAY
};

} // namespace

void emit_clc(TileLoop& loop) { Clc(loop).emit(); }

} // namespace ptxgen::policies
