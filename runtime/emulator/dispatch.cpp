#include "runtime/emulator/dispatch.hpp"

#include "runtime/emulator/choices.hpp"

#include <algorithm>

namespace ptxgen::runtime::emulator {
namespace {

/// So many of the first and of the last pending clusters can be chosen; of small grids, all.
constexpr u64 window = 256;

} // namespace

void Dispatcher::start(u64 clusters, Choices* choices) {
    choices_ = choices;
    count_ = clusters;
    next_ = 0;
    first_.clear();
    last_.clear();
    if (!choices) return;
    low_ = std::min(clusters, window);
    high_ = std::max(low_, clusters - std::min(clusters, window));
    for (u64 k = 0; k < low_; ++k) first_.push_back(k);
    for (u64 k = high_; k < clusters; ++k) last_.push_back(k);
}

std::optional<u64> Dispatcher::take() {
    if (!choices_) {
        const u64 k = next_.fetch_add(1, std::memory_order_relaxed);
        return k < count_ ? std::optional(k) : std::nullopt;
    }
    const std::size_t n = first_.size() + last_.size();
    if (n == 0) return std::nullopt;
    const std::size_t k = choices_->pick(static_cast<u32>(n), ChoiceKind::order);
    const bool from_first = k < first_.size();
    std::vector<u64>& from = from_first ? first_ : last_;
    const auto at = from.begin() + static_cast<std::ptrdiff_t>(from_first ? k : k - first_.size());
    const u64 cluster = *at;
    from.erase(at);
    if (low_ < high_) {
        if (from_first)
            first_.push_back(low_++);
        else
            last_.insert(last_.begin(), --high_);
    }
    return cluster;
}

std::optional<u64> Dispatcher::launch() { return take(); }
std::optional<u64> Dispatcher::cancel() { return take(); }

u64 Dispatcher::pending() const {
    if (!choices_) return count_ - std::min(count_, next_.load(std::memory_order_relaxed));
    return first_.size() + last_.size() + (high_ - low_);
}

} // namespace ptxgen::runtime::emulator
