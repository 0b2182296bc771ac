#pragma once

#include "runtime/emulator/machine.hpp"

#include <atomic>
#include <optional>
#include <vector>

namespace ptxgen::runtime::emulator {

class Choices;

/// The clusters of a grid that have not started. Each leaves exactly once: launched, or cancelled by a cluster that
/// does its work. Without choices they leave by increasing number, to any number of threads; with them, one thread
/// takes, and ChoiceKind::order says which.
class Dispatcher {
public:
    void start(u64 clusters, Choices* choices);
    /// The next cluster to become resident; nothing if none is pending.
    std::optional<u64> launch();
    /// A pending cluster that will never be launched, for whoever asked to cancel one; nothing if none is pending.
    std::optional<u64> cancel();
    u64 pending() const;

private:
    std::optional<u64> take();

    Choices* choices_ = nullptr;
    u64 count_ = 0;
    std::atomic<u64> next_{0}; ///< without choices: the first that is pending
    // with choices: `first_`, then [low_, high_), then `last_`, each by increasing number
    std::vector<u64> first_, last_;
    u64 low_ = 0, high_ = 0;
};

} // namespace ptxgen::runtime::emulator
