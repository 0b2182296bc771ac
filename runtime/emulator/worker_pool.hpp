#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ptxgen::runtime::emulator {

/// Threads that run one job at a time together with the caller.
class WorkerPool {
public:
    explicit WorkerPool(unsigned threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    unsigned size() const { return threads_; }
    /// Calls job(k) for k < n at the same time, job(0) on this thread, and waits for all. n <= size().
    void run(unsigned n, const std::function<void(unsigned)>& job);

private:
    void loop(unsigned index);

    unsigned threads_;
    std::vector<std::thread> helpers_; ///< started at the first job that wants them
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(unsigned)>* job_ = nullptr;
    unsigned job_size_ = 0;
    unsigned long generation_ = 0;
    unsigned running_ = 0;
    bool quit_ = false;
};

} // namespace ptxgen::runtime::emulator
