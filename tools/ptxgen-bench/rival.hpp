#pragma once

#include "ptxgen/base/result.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ptxgen::tools {

/// llama.cpp, from shared libraries that a user has: what the same model file gives there, and how fast. Opened with
/// dlopen; the few functions and fields of its C interface that are used are declared in rival.cpp, for the versions
/// that were checked: b7347 and v0.5.0.
class Rival {
public:
    virtual ~Rival() = default;

    /// Opens libllama and its backends. Errors: no libllama in the folder, one that does not load, another version.
    static Result<std::unique_ptr<Rival>> open(const std::string& folder);

    struct Options {
        std::uint32_t context = 0; ///< positions of the cache
        bool kv_f16 = true;
        bool gpu = true;             ///< all layers on the GPU; otherwise none
        bool flash_attention = true; ///< one kernel for attention, as its own benchmark does
        unsigned threads = 0;        ///< of the CPU backend, 0: all cores
    };
    /// Loads a model. Errors: llama.cpp's last one; a GPU asked for and not seen.
    virtual Status load(const std::string& model, const Options& options) = 0;

    virtual const std::string& version() const = 0; ///< "llama.cpp b7347"
    virtual std::string device() const = 0;         ///< what computes, as llama.cpp names it
    virtual std::uint32_t vocab() const = 0;

    /// Appends tokens and waits until they are evaluated. At most 2048 at once.
    virtual Status evaluate(std::span<const std::int32_t> ids) = 0;
    /// Logits of the last token, vocab() floats, valid until the next call.
    virtual std::span<const float> logits() = 0;
    /// Forgets all positions from this one on.
    virtual Status rewind(std::uint32_t position) = 0;
};

} // namespace ptxgen::tools
