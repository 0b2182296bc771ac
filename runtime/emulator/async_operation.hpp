#pragma once

#include "runtime/emulator/machine.hpp"

#include <string>

namespace ptxgen::runtime::emulator {

/// Where an operation was issued, for findings about it. The warp stays where it is as long as its cluster is resident.
struct Origin {
    Warp* warp;
    const Inst* inst;
    int lane;
};

/// An operation in flight: it has been issued (issue_async()) and takes effect in one step, later. When is up to the
/// scheduler: in order, when somebody asks an mbarrier that it signals; else when a choice says so, at the latest when
/// everybody waits. What it is going to write counts as not written until then: poison() it at issue.
class AsyncOperation {
public:
    explicit AsyncOperation(const Origin& where) : origin(where) {}
    virtual ~AsyncOperation() = default;
    AsyncOperation(const AsyncOperation&) = delete;
    AsyncOperation& operator=(const AsyncOperation&) = delete;

    /// Writes and signals, with deliver() for each CTA it reaches.
    virtual void complete() = 0;
    /// Whether it signals the mbarrier at this place in host memory.
    virtual bool signals(const u8* mbarrier) const = 0;
    /// Whether it reads or writes shared memory of this CTA, which then must not end.
    virtual bool reaches(const Cta& cta) const = 0;
    /// "a bulk copy of 256 bytes", for messages.
    virtual std::string describe() const = 0;

    const Origin origin;
};

/// Bytes of a CTA's shared memory, and the mbarrier there that is told when they have come: offsets from its start.
struct AsyncTarget {
    Cta* cta;
    u64 offset;
    u64 mbarrier;
};

/// Lets [offset, offset + bytes) count as not written.
void poison(Cta& cta, u64 offset, u64 bytes);
/// Copies `bytes` from `data` to the target and completes as many bytes on its mbarrier. Reports an mbarrier that is
/// not there any more as a finding about `origin`.
void deliver(const AsyncTarget& target, const u8* data, u64 bytes, const Origin& origin);

} // namespace ptxgen::runtime::emulator
