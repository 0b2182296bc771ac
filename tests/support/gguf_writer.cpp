#include "tests/support/gguf_writer.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace ptxgen::test {

TemporaryFolder::TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ptxgen-test-XXXXXX").string();
    if (const char* made = mkdtemp(name.data())) path_ = made;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const std::vector<std::byte>& bytes) const {
    std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
}

} // namespace ptxgen::test
