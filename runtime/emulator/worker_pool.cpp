#include "runtime/emulator/worker_pool.hpp"

#include <algorithm>

namespace ptxgen::runtime::emulator {

WorkerPool::WorkerPool(unsigned threads)
    : threads_(threads ? threads : std::max(1u, std::thread::hardware_concurrency())) {}

WorkerPool::~WorkerPool() {
    {
        const std::scoped_lock lock(mutex_);
        quit_ = true;
    }
    wake_.notify_all();
    for (auto& t : helpers_) t.join();
}

void WorkerPool::run(unsigned n, const std::function<void(unsigned)>& job) {
    if (n <= 1) return job(0);
    {
        const std::scoped_lock lock(mutex_);
        while (helpers_.size() + 1 < n)
            helpers_.emplace_back(&WorkerPool::loop, this, static_cast<unsigned>(helpers_.size() + 1));
        job_ = &job;
        job_size_ = n;
        running_ = n - 1;
        ++generation_;
    }
    wake_.notify_all();
    job(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
    job_ = nullptr;
}

void WorkerPool::loop(unsigned index) {
    unsigned long seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return quit_ || (job_ && generation_ != seen); });
        if (quit_) return;
        seen = generation_;
        if (index >= job_size_) continue;
        const auto* job = job_;
        lock.unlock();
        (*job)(index);
        lock.lock();
        if (--running_ == 0) done_.notify_one();
    }
}

} // namespace ptxgen::runtime::emulator
