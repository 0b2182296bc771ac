#pragma once

#include "ptxgen/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace ptxgen {

/// A file mapped read-only for as long as the object lives; the mapping does not move with the object.
class MappedFile {
public:
    /// Errors: the path cannot be opened, is not a regular file, or cannot be mapped. An empty file maps to size 0.
    static Result<MappedFile> open(const std::string& path);

    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    ~MappedFile();

    const std::string& path() const { return path_; }
    const std::byte* data() const { return data_; }
    std::uint64_t size() const { return size_; }

    /// Asks the system to read [offset, offset + bytes) ahead. A hint: never fails.
    void will_need(std::uint64_t offset, std::uint64_t bytes) const;
    /// Tells the system that the pages wholly inside [offset, offset + bytes) are not needed for now; they stay
    /// readable.
    void dont_need(std::uint64_t offset, std::uint64_t bytes) const;

private:
    MappedFile() = default;
    std::string path_;
    const std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
};

} // namespace ptxgen
