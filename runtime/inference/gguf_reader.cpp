#include "runtime/inference/gguf.hpp"

#include <bit>
#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace ptxgen::gguf {
namespace {

constexpr std::uint32_t magic = 0x46554747; // "GGUF"
constexpr std::uint32_t max_dimensions = 4;

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place, so the host is little-endian");

/// Bytes of a number; 0 for strings and arrays.
std::uint64_t number_bytes(ValueType type) {
    switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32: return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    default: return 0;
    }
}

/// NAME-00002-of-00003.gguf taken apart.
struct SplitName {
    std::string prefix;
    std::uint32_t count = 0;
    std::string path(std::uint32_t part) const {
        return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part + 1, count);
    }
};

std::optional<SplitName> parse_split_name(std::string_view path) {
    constexpr std::string_view form = "-00001-of-00001.gguf";
    if (path.size() <= form.size()) return std::nullopt;
    const std::string_view tail = path.substr(path.size() - form.size());
    for (std::size_t i = 0; i < form.size(); i++) {
        const bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (form[i] == '0' || form[i] == '1' ? !digit : tail[i] != form[i]) return std::nullopt;
    }
    SplitName name{std::string(path.substr(0, path.size() - form.size())), 0};
    std::from_chars(tail.data() + 10, tail.data() + 15, name.count);
    return name;
}

} // namespace

/// Reads one file front to back. Each length and count is compared with the bytes that are left before it is used.
class Reader {
public:
    explicit Reader(const MappedFile& file) : path_(file.path()), data_(file.data()), size_(file.size()) {}

    static Result<File> open(const std::string& path, Contents contents);

private:
    struct Begun;
    static Result<Begun> begin(const std::string& path);
    static Result<std::uint64_t> alignment(const File& file);

    Result<std::uint32_t> header();
    Status keys(File& out);
    Status tensors(File& out, std::uint32_t part, std::uint64_t alignment);

    std::uint64_t left() const { return size_ - at_; }
    Error error_at(std::uint64_t offset, std::string_view message) const {
        return {fmt::format("{}: offset {}: {}", path_, offset, message)};
    }
    Error truncated(std::string_view what, std::uint64_t bytes) const {
        return error_at(at_,
                        fmt::format("expected {} ({} bytes), found the end of the file after {} bytes; is the file "
                                    "complete?",
                                    what, bytes, left()));
    }
    template <class T>
    Result<T> number(std::string_view what);
    Result<std::string_view> string(std::string_view what);
    Status value(std::string_view key, Value& out);
    Status skip_elements(std::string_view key, const Value& array);
    Result<Tensor> tensor_info(std::uint64_t index);
    Status place(Tensor& tensor, std::uint64_t data_start, std::uint64_t info_offset) const;

    std::string path_;
    const std::byte* data_;
    std::uint64_t size_;
    std::uint64_t at_ = 0;
    std::uint64_t tensor_count_ = 0;
    std::uint64_t key_count_ = 0;
};

struct Reader::Begun {
    File file;
    Reader reader;
};

template <class T>
Result<T> Reader::number(std::string_view what) {
    if (left() < sizeof(T)) return truncated(what, sizeof(T));
    T result;
    std::memcpy(&result, data_ + at_, sizeof(T));
    at_ += sizeof(T);
    return result;
}

Result<std::string_view> Reader::string(std::string_view what) {
    const auto length = number<std::uint64_t>(fmt::format("the length of {}", what));
    if (!length) return length.error();
    if (*length > left())
        return error_at(
            at_ - 8, fmt::format("{} is {} bytes long, but only {} bytes are left in the file", what, *length, left()));
    const std::string_view result(reinterpret_cast<const char*>(data_) + at_, *length);
    at_ += *length;
    return result;
}

/// Checks magic and version and reads the counts; returns the version.
Result<std::uint32_t> Reader::header() {
    if (size_ == 0) return Error{fmt::format("{}: the file is empty; expected a GGUF model", path_)};
    const auto found = number<std::uint32_t>("the magic \"GGUF\"");
    if (!found) return found.error();
    if (*found != magic)
        return error_at(0, fmt::format("expected the magic \"GGUF\", found \"{}\"; this is not a GGUF model",
                                       printable({reinterpret_cast<const char*>(data_), 4})));
    const auto version = number<std::uint32_t>("the version");
    if (!version) return version.error();
    if ((*version & 0xffff) == 0 && *version != 0)
        return error_at(4, "the file is big-endian; expected a little-endian GGUF file");
    if (*version != 2 && *version != 3)
        return error_at(4, fmt::format("expected GGUF version 2 or 3, found {}", *version));
    const auto tensor_count = number<std::uint64_t>("the tensor count");
    if (!tensor_count) return tensor_count.error();
    const auto key_count = number<std::uint64_t>("the key count");
    if (!key_count) return key_count.error();
    // The shortest tensor info has 32 bytes (an empty name, one dimension), the shortest key 13.
    if (*tensor_count > left() / 32)
        return error_at(8,
                        fmt::format("the tensor count {} does not fit the {} bytes of the file", *tensor_count, size_));
    if (*key_count > left() / 13)
        return error_at(16, fmt::format("the key count {} does not fit the {} bytes of the file", *key_count, size_));
    tensor_count_ = *tensor_count;
    key_count_ = *key_count;
    return *version;
}

Status Reader::skip_elements(std::string_view key, const Value& array) {
    const std::uint64_t start = at_;
    if (array.element == ValueType::string) {
        if (array.count > left() / 8)
            return error_at(start - 8, fmt::format("key '{}': {} strings do not fit the {} bytes left in the file",
                                                   printable(key), array.count, left()));
        for (std::uint64_t i = 0; i < array.count; i++) {
            std::uint64_t length = 0;
            if (left() >= 8) std::memcpy(&length, data_ + at_, 8);
            if (left() < 8 || length > left() - 8)
                return error_at(at_, fmt::format("key '{}': string {} of {} does not fit the {} bytes left in the file",
                                                 printable(key), i, array.count, left()));
            at_ += 8 + length;
        }
        return {};
    }
    const std::uint64_t size = number_bytes(array.element);
    if (size == 0)
        return error_at(array.offset + 4,
                        fmt::format("key '{}': expected an array of numbers or strings, found element "
                                    "type {} ({})",
                                    printable(key), static_cast<std::uint32_t>(array.element), name(array.element)));
    if (array.count > left() / size)
        return error_at(start - 8,
                        fmt::format("key '{}': {} elements of {} bytes do not fit the {} bytes left in the file",
                                    printable(key), array.count, size, left()));
    at_ += array.count * size;
    return {};
}

Status Reader::value(std::string_view key, Value& out) {
    out.offset = at_;
    const auto type = number<std::uint32_t>(fmt::format("the type of key '{}'", printable(key)));
    if (!type) return type.error();
    if (*type > static_cast<std::uint32_t>(ValueType::f64))
        return error_at(out.offset,
                        fmt::format("key '{}': expected a value type from 0 to 12, found {}", printable(key), *type));
    out.type = static_cast<ValueType>(*type);
    if (out.type == ValueType::string) {
        out.data = data_ + at_;
        if (const auto text = string(fmt::format("the value of key '{}'", printable(key))); !text) return text.error();
        return {};
    }
    if (out.type == ValueType::array) {
        const auto element = number<std::uint32_t>(fmt::format("the element type of key '{}'", printable(key)));
        if (!element) return element.error();
        const auto count = number<std::uint64_t>(fmt::format("the element count of key '{}'", printable(key)));
        if (!count) return count.error();
        out.element = static_cast<ValueType>(*element);
        out.count = *count;
        out.data = data_ + at_;
        return skip_elements(key, out);
    }
    const std::uint64_t size = number_bytes(out.type);
    if (left() < size) return truncated(fmt::format("the value of key '{}'", printable(key)), size);
    out.data = data_ + at_;
    at_ += size;
    return {};
}

Status Reader::keys(File& out) {
    for (std::uint64_t i = 0; i < key_count_; i++) {
        const std::uint64_t offset = at_;
        const auto key = string(fmt::format("the name of key {} of {}", i, key_count_));
        if (!key) return key.error();
        Value parsed;
        if (const Status status = value(*key, parsed); !status) return status;
        parsed.bytes = static_cast<std::uint64_t>(data_ + at_ - parsed.data);
        if (!out.values_.emplace(*key, parsed).second)
            return error_at(offset, fmt::format("key '{}' occurs twice", printable(*key)));
        out.keys_.push_back(*key);
    }
    return {};
}

Result<Tensor> Reader::tensor_info(std::uint64_t index) {
    Tensor tensor;
    const auto tensor_name = string(fmt::format("the name of tensor {} of {}", index, tensor_count_));
    if (!tensor_name) return tensor_name.error();
    tensor.name = *tensor_name;
    const std::string shown = printable(tensor.name);
    const auto dimensions = number<std::uint32_t>(fmt::format("the dimension count of tensor '{}'", shown));
    if (!dimensions) return dimensions.error();
    if (*dimensions < 1 || *dimensions > max_dimensions)
        return error_at(at_ - 4, fmt::format("tensor '{}': expected 1 to {} dimensions, found {}", shown,
                                             max_dimensions, *dimensions));
    tensor.dimensions = *dimensions;
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < *dimensions; d++) {
        const auto extent = number<std::uint64_t>(fmt::format("dimension {} of tensor '{}'", d, shown));
        if (!extent) return extent.error();
        if (*extent == 0 || __builtin_mul_overflow(elements, *extent, &elements))
            return error_at(at_ - 8,
                            fmt::format("tensor '{}': dimension {} is {}; expected at least 1 and a product below "
                                        "2^64",
                                        shown, d, *extent));
        tensor.ne[d] = *extent;
    }
    const auto type = number<std::uint32_t>(fmt::format("the type of tensor '{}'", shown));
    if (!type) return type.error();
    const auto known = tensor_type_from_id(*type);
    if (!known) {
        std::string supported;
        for (const TensorTypeInfo& info : tensor_types())
            supported += fmt::format("{}{}", supported.empty() ? "" : " ", info.name);
        return error_at(at_ - 4, fmt::format("tensor '{}': type {} ({}) is not supported; supported: {}", shown, *type,
                                             tensor_type_name(*type), supported));
    }
    tensor.type = *known;
    const TensorTypeInfo& info = tensor_type_info(*known);
    if (tensor.ne[0] % info.block_elements != 0)
        return error_at(at_ - 4,
                        fmt::format("tensor '{}': a row of {} elements is no multiple of the {} elements of a {} "
                                    "block",
                                    shown, tensor.ne[0], info.block_elements, info.name));
    if (__builtin_mul_overflow(elements / info.block_elements, std::uint64_t{info.block_bytes}, &tensor.bytes))
        return error_at(at_ - 4, fmt::format("tensor '{}': {} elements take more than 2^64 bytes", shown, elements));
    const auto offset = number<std::uint64_t>(fmt::format("the offset of tensor '{}'", shown));
    if (!offset) return offset.error();
    tensor.offset = *offset;
    return tensor;
}

/// Turns the offset from the data section into one in the file, and checks that the data lies inside.
Status Reader::place(Tensor& tensor, std::uint64_t data_start, std::uint64_t info_offset) const {
    const std::uint64_t available = size_ > data_start ? size_ - data_start : 0;
    if (tensor.offset > available || tensor.bytes > available - tensor.offset)
        return error_at(info_offset,
                        fmt::format("tensor '{}': its {} bytes at offset {} of the data section lie outside the "
                                    "file, whose data section has {} bytes; is the file complete?",
                                    printable(tensor.name), tensor.bytes, tensor.offset, available));
    tensor.offset += data_start;
    tensor.data = data_ + tensor.offset;
    return {};
}

Status Reader::tensors(File& out, std::uint32_t part, std::uint64_t alignment) {
    const std::size_t first = out.tensors_.size();
    std::vector<std::uint64_t> info_offsets;
    for (std::uint64_t i = 0; i < tensor_count_; i++) {
        info_offsets.push_back(at_);
        auto tensor = tensor_info(i);
        if (!tensor) return tensor.error();
        tensor->part = part;
        if (tensor->offset % alignment != 0)
            return error_at(at_ - 8, fmt::format("tensor '{}': offset {} is no multiple of the alignment {}",
                                                 printable(tensor->name), tensor->offset, alignment));
        if (!out.tensor_index_.emplace(tensor->name, out.tensors_.size()).second)
            return error_at(info_offsets.back(), fmt::format("tensor '{}' occurs twice", printable(tensor->name)));
        out.tensors_.push_back(*tensor);
    }
    const std::uint64_t data_start = at_ + (alignment - at_ % alignment) % alignment;
    for (std::size_t i = first; i < out.tensors_.size(); i++)
        if (const Status status = place(out.tensors_[i], data_start, info_offsets[i - first]); !status) return status;
    return {};
}

Result<std::uint64_t> Reader::alignment(const File& file) {
    const auto found = file.get_or<std::uint32_t>("general.alignment", 32);
    if (!found) return found.error();
    if (!std::has_single_bit(*found))
        return file.key_error("general.alignment", fmt::format("expected a power of two, found {}", *found));
    return std::uint64_t{*found};
}

/// Maps a file and reads its header and keys; the reader stands before the tensor infos.
Result<Reader::Begun> Reader::begin(const std::string& path) {
    auto mapping = MappedFile::open(path);
    if (!mapping) return mapping.error();
    File file;
    file.parts_.push_back(std::move(*mapping));
    Reader reader(file.parts_.front());
    const auto version = reader.header();
    if (!version) return version.error();
    file.version_ = *version;
    if (const Status status = reader.keys(file); !status) return status.error();
    const auto stated = alignment(file);
    if (!stated) return stated.error();
    file.alignment_ = *stated;
    return Begun{std::move(file), std::move(reader)};
}

Result<File> Reader::open(const std::string& path, Contents contents) {
    auto first = begin(path);
    if (!first) return first.error();
    const auto count = first->file.get_or<std::uint32_t>("split.count", 1);
    if (!count) return count.error();
    if (*count <= 1) {
        if (contents == Contents::all)
            if (const Status status = first->reader.tensors(first->file, 0, first->file.alignment_); !status)
                return status.error();
        return std::move(first->file);
    }

    const auto split = parse_split_name(path);
    if (!split || split->count != *count)
        return first->file.key_error("split.count",
                                     fmt::format("the model is split into {0} files, so the name was expected "
                                                 "to end in -00001-of-{0:05}.gguf",
                                                 *count));
    const auto is_part = [&](const File& file, std::uint32_t part) -> Status {
        const auto number = file.get<std::uint32_t>("split.no");
        if (!number) return number.error();
        if (*number != part)
            return file.key_error("split.no",
                                  fmt::format("expected {} as the file's name says, found {}", part, *number));
        const auto parts = file.get<std::uint32_t>("split.count");
        if (!parts) return parts.error();
        if (*parts != *count)
            return file.key_error("split.count",
                                  fmt::format("expected {} as in the other parts, found {}", *count, *parts));
        return {};
    };
    if (path != split->path(0)) {
        first = begin(split->path(0));
        if (!first) return first.error();
    }
    if (const Status status = is_part(first->file, 0); !status) return status.error();
    if (contents == Contents::metadata) return std::move(first->file);

    File model = std::move(first->file);
    if (const Status status = first->reader.tensors(model, 0, model.alignment_); !status) return status.error();
    for (std::uint32_t i = 1; i < *count; i++) {
        auto part = begin(split->path(i));
        if (!part) return part.error();
        if (const Status status = is_part(part->file, i); !status) return status.error();
        if (const Status status = part->reader.tensors(model, i, part->file.alignment_); !status) return status.error();
        model.parts_.push_back(std::move(part->file.parts_.front()));
    }
    const auto total = model.get_or<std::uint64_t>("split.tensors.count", model.tensors_.size());
    if (!total) return total.error();
    if (*total != model.tensors_.size())
        return model.key_error("split.tensors.count",
                               fmt::format("the parts hold {} tensors, expected {}", model.tensors_.size(), *total));
    return model;
}

Result<File> File::open(const std::string& path, Contents contents) { return Reader::open(path, contents); }

} // namespace ptxgen::gguf
