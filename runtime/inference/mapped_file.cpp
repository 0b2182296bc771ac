#include "runtime/inference/mapped_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ptxgen {

Result<MappedFile> MappedFile::open(const std::string& path) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return Error{fmt::format("{}: cannot open: {}", path, std::strerror(errno))};
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(fd);
        return Error{fmt::format("{}: expected a regular file, found something else", path)};
    }
    MappedFile file;
    file.path_ = path;
    file.size_ = static_cast<std::uint64_t>(status.st_size);
    if (file.size_ > 0) {
        void* address = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
        if (address == MAP_FAILED) {
            const int reason = errno;
            ::close(fd);
            return Error{
                fmt::format("{}: cannot map its {} bytes into memory: {}", path, file.size_, std::strerror(reason))};
        }
        file.data_ = static_cast<const std::byte*>(address);
    }
    ::close(fd);
    return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::will_need(std::uint64_t offset, std::uint64_t bytes) const {
    if (offset >= size_ || bytes == 0) return;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t first = offset / page * page;
    const std::uint64_t last = offset + std::min(bytes, size_ - offset);
    (void)::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_WILLNEED);
}

void MappedFile::dont_need(std::uint64_t offset, std::uint64_t bytes) const {
    if (offset >= size_ || bytes == 0) return;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t first = (offset + page - 1) / page * page;
    const std::uint64_t last = (offset + std::min(bytes, size_ - offset)) / page * page;
    if (first < last) (void)::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

} // namespace ptxgen
