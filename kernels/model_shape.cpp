#include "kernels/model_shape.hpp"

namespace ptxgen {

std::string_view name(Architecture architecture) {
    switch (architecture) {
    case Architecture::llama: return "llama";
    case Architecture::qwen2: return "qwen2";
    case Architecture::qwen3: return "qwen3";
    case Architecture::gemma3: return "gemma3";
    }
    return "?";
}

} // namespace ptxgen
