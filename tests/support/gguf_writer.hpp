#pragma once

#include "runtime/inference/gguf_writer.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace ptxgen::test {

using GgufWriter = gguf::Writer;

/// A folder of its own below the system's temporary folder, removed with what is in it.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::string& path() const { return path_; }
    /// Writes FOLDER/name and returns its path.
    std::string write(const std::string& name, const std::vector<std::byte>& bytes) const;

private:
    std::string path_;
};

} // namespace ptxgen::test
