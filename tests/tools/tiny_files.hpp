#pragma once

#include "tests/support/gguf_writer.hpp"
#include "tests/support/tiny_models.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::test {

/// Files for the tools to read, in a folder that goes away with the object.
class TinyFiles {
public:
    const std::string& folder() const { return folder_.path(); }
    std::string path(std::string_view name) const { return fmt::format("{}/{}", folder_.path(), name); }

    std::string text(const std::string& name, std::string_view content) const {
        std::vector<std::byte> bytes(content.size());
        if (!content.empty()) std::memcpy(bytes.data(), content.data(), content.size());
        return folder_.write(name, bytes);
    }
    std::string model(const std::string& name) const {
        return folder_.write(name + ".gguf", tiny_model_file(tiny_model(name)));
    }
    /// A tiny model with `change` applied to the file's bytes.
    template <class Change>
    std::string changed_model(const std::string& name, const std::string& file, Change change) const {
        auto bytes = tiny_model_file(tiny_model(name));
        change(bytes);
        return folder_.write(file, bytes);
    }

private:
    TemporaryFolder folder_;
};

/// Where `text` first is in a file; its size if it is not there.
inline std::size_t find_bytes(const std::vector<std::byte>& bytes, std::string_view text) {
    const auto* begin = reinterpret_cast<const char*>(bytes.data());
    const auto* end = begin + bytes.size();
    return static_cast<std::size_t>(std::search(begin, end, text.begin(), text.end()) - begin);
}

/// Replaces the first `from` by a `to` of the same length.
inline void overwrite(std::vector<std::byte>& bytes, std::string_view from, std::string_view to) {
    const std::size_t at = find_bytes(bytes, from);
    if (at < bytes.size() && from.size() == to.size()) std::memcpy(&bytes[at], to.data(), to.size());
}

} // namespace ptxgen::test
