#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// The state of the fake driver: what tests set, and what they read after calls. Device memory is host memory, so
/// copies work; PTX is "compiled" by prefixing it; kernels are recorded instead of run.
struct FakeCuda {
    // Set by tests
    int driver_version = 13000;
    int device_count = 2;
    int capability_major = 9, capability_minor = 0;
    int cluster_launch = 1;
    bool knows_clusters = true;                              ///< the driver knows CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH
    std::map<std::string, int> failures;                     ///< CUresult that a symbol returns instead of working
    std::map<std::string, std::vector<std::size_t>> kernels; ///< name → parameter sizes in bytes
    int max_threads_per_block = 1024;
    int static_shared_bytes = 256;
    int resident_blocks = 2;
    std::map<std::string, std::pair<std::uint64_t, std::size_t>> globals;

    // Read by tests
    struct Launch {
        std::string symbol;
        std::string kernel;
        unsigned grid[3], block[3], shared_bytes;
        void* stream;
        std::vector<std::string> arguments; ///< bytes of each
        bool cooperative = false;
        unsigned cluster[3] = {0, 0, 0};
        void* context; ///< current at the call
    };
    std::vector<std::string> calls; ///< symbols, in order
    std::vector<Launch> launches;
    std::vector<void*> current;    ///< the thread's stack of contexts
    std::map<void*, int> retained; ///< primary contexts
    std::map<void*, std::size_t> allocations;
    std::map<std::string, int> function_attributes; ///< "kernel/attribute" → value set
    int modules = 0, streams = 0, events = 0, graphs = 0, links = 0;
    unsigned jit_target = 0;
    int capture_mode = 0; ///< the thread's CUstreamCaptureMode
    std::vector<int> capture_modes_at_alloc;

    int count(const std::string& symbol) const {
        int n = 0;
        for (const auto& call : calls) n += call == symbol;
        return n;
    }
};
