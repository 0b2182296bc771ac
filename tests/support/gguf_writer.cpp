#include "tests/support/gguf_writer.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace ptxgen::test {

GgufWriter::GgufWriter(std::uint32_t version, std::uint32_t alignment) : version_(version), alignment_(alignment) {
    if (alignment != 32) number("general.alignment", alignment);
}

void GgufWriter::append(std::vector<std::byte>& to, const void* from, std::size_t bytes) {
    const std::size_t at = to.size();
    to.resize(at + bytes);
    if (bytes > 0) std::memcpy(to.data() + at, from, bytes);
}

void GgufWriter::append_string(std::vector<std::byte>& to, std::string_view text) {
    const std::uint64_t length = text.size();
    append(to, &length, sizeof length);
    append(to, text.data(), text.size());
}

void GgufWriter::begin_key(std::string_view key, gguf::ValueType type) {
    append_string(keys_, key);
    append(keys_, &type, sizeof type);
    key_count_++;
}

void GgufWriter::begin_array(std::string_view key, gguf::ValueType element, std::uint64_t count) {
    begin_key(key, gguf::ValueType::array);
    append(keys_, &element, sizeof element);
    append(keys_, &count, sizeof count);
}

GgufWriter& GgufWriter::boolean(std::string_view key, bool value) {
    begin_key(key, gguf::ValueType::boolean);
    keys_.push_back(static_cast<std::byte>(value));
    return *this;
}

GgufWriter& GgufWriter::string(std::string_view key, std::string_view value) {
    begin_key(key, gguf::ValueType::string);
    append_string(keys_, value);
    return *this;
}

GgufWriter& GgufWriter::strings(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, gguf::ValueType::string, values.size());
    for (const std::string& value : values) append_string(keys_, value);
    return *this;
}

GgufWriter& GgufWriter::copy(std::string_view key, const gguf::Value& value) {
    if (value.type == gguf::ValueType::array)
        begin_array(key, value.element, value.count);
    else
        begin_key(key, value.type);
    append(keys_, value.data, value.bytes);
    return *this;
}

GgufWriter& GgufWriter::tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                               const std::vector<std::byte>& data) {
    append_string(infos_, name);
    const auto dimensions = static_cast<std::uint32_t>(ne.size());
    append(infos_, &dimensions, sizeof dimensions);
    append(infos_, ne.data(), ne.size() * sizeof(std::uint64_t));
    append(infos_, &type, sizeof type);
    const std::uint64_t offset = data_.size();
    append(infos_, &offset, sizeof offset);
    append(data_, data.data(), data.size());
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_);
    tensor_count_++;
    return *this;
}

std::vector<std::byte> GgufWriter::bytes() const {
    std::vector<std::byte> file;
    append(file, "GGUF", 4);
    append(file, &version_, sizeof version_);
    append(file, &tensor_count_, sizeof tensor_count_);
    append(file, &key_count_, sizeof key_count_);
    append(file, keys_.data(), keys_.size());
    append(file, infos_.data(), infos_.size());
    if (!data_.empty()) file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_);
    append(file, data_.data(), data_.size());
    return file;
}

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
