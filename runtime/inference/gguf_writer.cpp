#include "runtime/inference/gguf_writer.hpp"

#include <cstring>

namespace ptxgen::gguf {

Writer::Writer(std::uint32_t version, std::uint32_t alignment) : version_(version), alignment_(alignment) {
    if (alignment != 32) number("general.alignment", alignment);
}

void Writer::append(std::vector<std::byte>& to, const void* from, std::size_t bytes) {
    const std::size_t at = to.size();
    to.resize(at + bytes);
    if (bytes > 0) std::memcpy(to.data() + at, from, bytes);
}

void Writer::append_string(std::vector<std::byte>& to, std::string_view text) {
    const std::uint64_t length = text.size();
    append(to, &length, sizeof length);
    append(to, text.data(), text.size());
}

void Writer::begin_key(std::string_view key, ValueType type) {
    append_string(keys_, key);
    append(keys_, &type, sizeof type);
    key_count_++;
}

void Writer::begin_array(std::string_view key, ValueType element, std::uint64_t count) {
    begin_key(key, ValueType::array);
    append(keys_, &element, sizeof element);
    append(keys_, &count, sizeof count);
}

Writer& Writer::boolean(std::string_view key, bool value) {
    begin_key(key, ValueType::boolean);
    keys_.push_back(static_cast<std::byte>(value));
    return *this;
}

Writer& Writer::string(std::string_view key, std::string_view value) {
    begin_key(key, ValueType::string);
    append_string(keys_, value);
    return *this;
}

Writer& Writer::strings(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, ValueType::string, values.size());
    for (const std::string& value : values) append_string(keys_, value);
    return *this;
}

Writer& Writer::copy(std::string_view key, const Value& value) {
    if (value.type == ValueType::array)
        begin_array(key, value.element, value.count);
    else
        begin_key(key, value.type);
    append(keys_, value.data, value.bytes);
    return *this;
}

void Writer::describe(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                      std::uint64_t bytes) {
    append_string(infos_, name);
    const auto dimensions = static_cast<std::uint32_t>(ne.size());
    append(infos_, &dimensions, sizeof dimensions);
    append(infos_, ne.data(), ne.size() * sizeof(std::uint64_t));
    append(infos_, &type, sizeof type);
    append(infos_, &data_size_, sizeof data_size_);
    data_size_ = (data_size_ + bytes + alignment_ - 1) / alignment_ * alignment_;
    tensor_count_++;
}

Writer& Writer::tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                       const std::vector<std::byte>& data) {
    describe(name, type, ne, data.size());
    append(data_, data.data(), data.size());
    data_.resize(data_size_);
    return *this;
}

Writer& Writer::declare(std::string_view name, TensorType type, const std::vector<std::uint64_t>& ne,
                        std::uint64_t bytes) {
    describe(name, static_cast<std::uint32_t>(type), ne, bytes);
    return *this;
}

std::vector<std::byte> Writer::header() const {
    std::vector<std::byte> file;
    append(file, "GGUF", 4);
    append(file, &version_, sizeof version_);
    append(file, &tensor_count_, sizeof tensor_count_);
    append(file, &key_count_, sizeof key_count_);
    append(file, keys_.data(), keys_.size());
    append(file, infos_.data(), infos_.size());
    if (data_size_ > 0) file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_);
    return file;
}

std::vector<std::byte> Writer::bytes() const {
    std::vector<std::byte> file = header();
    append(file, data_.data(), data_.size());
    return file;
}

} // namespace ptxgen::gguf
