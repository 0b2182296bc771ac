#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ptxgen {

/// Storage type of a tensor; the values are those that GGUF files use.
enum class TensorType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q8_1 = 9,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    q8_k = 15,
    iq4_nl = 20,
    iq4_xs = 23,
    bf16 = 30,
    mxfp4 = 39,
};

/// How a type is stored: rows are sequences of blocks of `block_elements` values in `block_bytes` bytes.
struct TensorTypeInfo {
    TensorType type;
    std::string_view name; ///< as ggml spells it, for example "Q4_K"
    std::uint32_t block_elements;
    std::uint32_t block_bytes;
};

/// All supported types, by ascending id.
std::span<const TensorTypeInfo> tensor_types();

/// The type's row of `tensor_types()`.
const TensorTypeInfo& tensor_type_info(TensorType type);

/// The type with this GGUF id, if it is supported.
std::optional<TensorType> tensor_type_from_id(std::uint32_t id);

/// ggml's name for a type id, for messages; also for ids that are not supported. "?" for an id nobody has assigned.
std::string_view tensor_type_name(std::uint32_t id);

inline std::string_view name(TensorType type) { return tensor_type_info(type).name; }

/// The name as kernels and the command line spell it: "q4_k".
std::string lower_name(TensorType type);

/// Bytes of a row of `elements` values, a multiple of the type's block_elements.
inline std::uint64_t row_bytes(TensorType type, std::uint64_t elements) {
    const TensorTypeInfo& info = tensor_type_info(type);
    return elements / info.block_elements * info.block_bytes;
}

} // namespace ptxgen
