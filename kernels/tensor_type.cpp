#include "kernels/tensor_type.hpp"

#include <array>
#include <cassert>

namespace ptxgen {
namespace {

constexpr std::array<TensorTypeInfo, 18> types{{
    {TensorType::f32, "F32", 1, 4},
    {TensorType::f16, "F16", 1, 2},
    {TensorType::q4_0, "Q4_0", 32, 18},
    {TensorType::q4_1, "Q4_1", 32, 20},
    {TensorType::q5_0, "Q5_0", 32, 22},
    {TensorType::q5_1, "Q5_1", 32, 24},
    {TensorType::q8_0, "Q8_0", 32, 34},
    {TensorType::q8_1, "Q8_1", 32, 36},
    {TensorType::q2_k, "Q2_K", 256, 84},
    {TensorType::q3_k, "Q3_K", 256, 110},
    {TensorType::q4_k, "Q4_K", 256, 144},
    {TensorType::q5_k, "Q5_K", 256, 176},
    {TensorType::q6_k, "Q6_K", 256, 210},
    {TensorType::q8_k, "Q8_K", 256, 292},
    {TensorType::iq4_nl, "IQ4_NL", 32, 18},
    {TensorType::iq4_xs, "IQ4_XS", 256, 136},
    {TensorType::bf16, "BF16", 1, 2},
    {TensorType::mxfp4, "MXFP4", 32, 17},
}};

struct OtherType {
    std::uint32_t id;
    std::string_view name;
};
// Types that ggml defines or has defined and that are not supported here.
constexpr OtherType other_types[] = {
    {4, "Q4_2"},   {5, "Q4_3"},        {16, "IQ2_XXS"},    {17, "IQ2_XS"},     {18, "IQ3_XXS"},  {19, "IQ1_S"},
    {21, "IQ3_S"}, {22, "IQ2_S"},      {24, "I8"},         {25, "I16"},        {26, "I32"},      {27, "I64"},
    {28, "F64"},   {29, "IQ1_M"},      {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"}, {34, "TQ1_0"},
    {35, "TQ2_0"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

} // namespace

std::span<const TensorTypeInfo> tensor_types() { return types; }

const TensorTypeInfo& tensor_type_info(TensorType type) {
    for (const TensorTypeInfo& info : types)
        if (info.type == type) return info;
    assert(!"a TensorType outside the enumeration");
    return types[0];
}

std::optional<TensorType> tensor_type_from_id(std::uint32_t id) {
    for (const TensorTypeInfo& info : types)
        if (static_cast<std::uint32_t>(info.type) == id) return info.type;
    return std::nullopt;
}

std::string lower_name(TensorType type) {
    std::string text(name(type));
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

std::string_view tensor_type_name(std::uint32_t id) {
    if (const auto type = tensor_type_from_id(id)) return name(*type);
    for (const OtherType& other : other_types)
        if (other.id == id) return other.name;
    return "?";
}

} // namespace ptxgen
