#include "tools/ptxgen-bench/rival.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <thread>

namespace ptxgen::tools {
namespace {

// llama.h's parameter structures are returned and taken by value, and their size differs between versions. In the
// System V ABI structures of more than 16 bytes are returned through a pointer to the caller's memory and passed as a
// copy on the stack, so that one which is larger than the callee's serves both.
struct alignas(8) Parameters {
    std::array<std::byte, 1024> bytes{};

    template <class T>
    T get(std::size_t offset) const {
        T value;
        std::memcpy(&value, &bytes[offset], sizeof value);
        return value;
    }
    template <class T>
    void set(std::size_t offset, T value) {
        std::memcpy(&bytes[offset], &value, sizeof value);
    }
};

/// Where a version's structures have the fields that are set here.
struct Layout {
    std::string_view name, ggml_version;
    std::size_t n_gpu_layers; // llama_model_params
    std::int32_t default_gpu_layers;
    std::size_t n_ctx, n_batch, n_ubatch, n_threads, n_threads_batch, flash, type_k, type_v,
        no_perf; // llama_context_params
};
constexpr std::array layouts{
    Layout{"b7347", "0.9.4", 16, 999, 0, 4, 8, 16, 20, 36, 88, 92, 114},
    Layout{"v0.5.0", "0.25.1", 16, -1, 0, 4, 8, 28, 32, 52, 104, 108, 130},
};
constexpr std::int32_t flash_off = 0, flash_on = 1, flash_auto = -1; // llama_flash_attn_type
constexpr std::int32_t type_f32 = 0, type_f16 = 1;                   // ggml_type
constexpr int device_gpu = 1;                                        // ggml_backend_dev_type
constexpr int log_error = 4;                                         // ggml_log_level

struct Api {
    using Handle = void*;
    const char* (*ggml_version)();
    void (*ggml_backend_load_all_from_path)(const char*);
    std::size_t (*ggml_backend_dev_count)();
    Handle (*ggml_backend_dev_get)(std::size_t);
    int (*ggml_backend_dev_type)(Handle);
    const char* (*ggml_backend_dev_description)(Handle);
    void (*llama_backend_init)();
    void (*llama_log_set)(void (*)(int, const char*, void*), void*);
    Parameters (*llama_model_default_params)();
    Parameters (*llama_context_default_params)();
    Handle (*llama_model_load_from_file)(const char*, Parameters);
    Handle (*llama_init_from_model)(Handle, Parameters);
    void (*llama_free)(Handle);
    void (*llama_model_free)(Handle);
    Handle (*llama_model_get_vocab)(Handle);
    std::int32_t (*llama_vocab_n_tokens)(Handle);
    Parameters (*llama_batch_get_one)(std::int32_t*, std::int32_t);
    std::int32_t (*llama_decode)(Handle, Parameters);
    void (*llama_synchronize)(Handle);
    float* (*llama_get_logits_ith)(Handle, std::int32_t);
    Handle (*llama_get_memory)(Handle);
    bool (*llama_memory_seq_rm)(Handle, std::int32_t, std::int32_t, std::int32_t);
};

class LlamaCpp final : public Rival {
public:
    ~LlamaCpp() override { unload(); }

    Status open_libraries(const std::string& folder);
    Status load(const std::string& model, const Options& options) override;

    const std::string& version() const override { return version_; }
    std::string device() const override {
        for (std::size_t i = 0; options_.gpu && i < api_.ggml_backend_dev_count(); i++)
            if (const auto device = api_.ggml_backend_dev_get(i); api_.ggml_backend_dev_type(device) == device_gpu)
                return api_.ggml_backend_dev_description(device);
        return "CPU";
    }
    std::uint32_t vocab() const override { return vocab_; }
    Status evaluate(std::span<const std::int32_t> ids) override;
    std::span<const float> logits() override { return {api_.llama_get_logits_ith(context_, -1), vocab_}; }
    Status rewind(std::uint32_t position) override;

private:
    Status check_layout();
    void unload();
    Error failure(std::string_view what) const {
        return Error{fmt::format("{}: {}{}{}", version_, what, last_error_.empty() ? "" : ": ", last_error_)};
    }

    Api api_{};
    const Layout* layout_ = nullptr;
    std::string version_;
    std::string last_error_; ///< llama.cpp's own, the last line
    Options options_;
    void* model_ = nullptr;
    void* context_ = nullptr;
    std::uint32_t vocab_ = 0;
};

/// libllama in the folder: libllama.so, libllama.b7347.so.0, …, but not libllama-common.so.
std::optional<std::string> find_libllama(const std::string& folder) {
    std::vector<std::string> found;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("libllama.") && name.find(".so") != std::string::npos)
            found.push_back(entry.path().string());
    }
    if (found.empty()) return std::nullopt;
    return *std::min_element(found.begin(), found.end());
}

Status LlamaCpp::open_libraries(const std::string& folder) {
    const auto path = find_libllama(folder);
    if (!path) return Error{fmt::format("no libllama*.so in '{}'", folder)};
    // What it links comes from the folder too, through its run path. Nothing is ever unloaded: backends keep threads.
    void* library = dlopen(std::filesystem::absolute(*path).c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) return Error{fmt::format("cannot load '{}': {}", *path, dlerror())};
    std::string missing;
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
        if (!function) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
    };
#define PTXGEN_FIND(name) find(api_.name, #name)
    PTXGEN_FIND(ggml_version);
    PTXGEN_FIND(ggml_backend_load_all_from_path);
    PTXGEN_FIND(ggml_backend_dev_count);
    PTXGEN_FIND(ggml_backend_dev_get);
    PTXGEN_FIND(ggml_backend_dev_type);
    PTXGEN_FIND(ggml_backend_dev_description);
    PTXGEN_FIND(llama_backend_init);
    PTXGEN_FIND(llama_log_set);
    PTXGEN_FIND(llama_model_default_params);
    PTXGEN_FIND(llama_context_default_params);
    PTXGEN_FIND(llama_model_load_from_file);
    PTXGEN_FIND(llama_init_from_model);
    PTXGEN_FIND(llama_free);
    PTXGEN_FIND(llama_model_free);
    PTXGEN_FIND(llama_model_get_vocab);
    PTXGEN_FIND(llama_vocab_n_tokens);
    PTXGEN_FIND(llama_batch_get_one);
    PTXGEN_FIND(llama_decode);
    PTXGEN_FIND(llama_synchronize);
    PTXGEN_FIND(llama_get_logits_ith);
    PTXGEN_FIND(llama_get_memory);
    PTXGEN_FIND(llama_memory_seq_rm);
#undef PTXGEN_FIND
    if (!missing.empty()) return Error{fmt::format("'{}' lacks {}", *path, missing)};
    if (auto ok = check_layout(); !ok) return ok;
    api_.llama_log_set(
        [](int level, const char* text, void* self) {
            if (level != log_error) return;
            auto& last = static_cast<LlamaCpp*>(self)->last_error_;
            last = text;
            while (!last.empty() && last.back() == '\n') last.pop_back();
        },
        this);
    api_.ggml_backend_load_all_from_path(folder.c_str());
    api_.llama_backend_init();
    return {};
}

Status LlamaCpp::check_layout() {
    const std::string_view found = api_.ggml_version();
    for (const Layout& layout : layouts)
        if (layout.ggml_version == found) layout_ = &layout;
    if (!layout_)
        return Error{
            fmt::format("this llama.cpp is built with ggml {}; its parameters are known for b7347 (ggml {}) and "
                        "v0.5.0 (ggml {}) only",
                        found, layouts[0].ggml_version, layouts[1].ggml_version)};
    // A build of the same number with other structures would show here: these are the defaults.
    const Parameters model = api_.llama_model_default_params(), context = api_.llama_context_default_params();
    const bool as_known =
        model.get<std::int32_t>(layout_->n_gpu_layers) == layout_->default_gpu_layers &&
        context.get<std::uint32_t>(layout_->n_ctx) == 512 && context.get<std::uint32_t>(layout_->n_batch) == 2048 &&
        context.get<std::uint32_t>(layout_->n_ubatch) == 512 && context.get<std::int32_t>(layout_->n_threads) == 4 &&
        context.get<std::int32_t>(layout_->n_threads_batch) == 4 &&
        context.get<std::int32_t>(layout_->flash) == flash_auto &&
        context.get<std::int32_t>(layout_->type_k) == type_f16 &&
        context.get<std::int32_t>(layout_->type_v) == type_f16 && context.get<std::uint8_t>(layout_->no_perf) == 1;
    if (!as_known)
        return Error{fmt::format("this llama.cpp calls its ggml {} like {}'s, but its default parameters lie elsewhere",
                                 found, layout_->name)};
    version_ = fmt::format("llama.cpp {}", layout_->name);
    return {};
}

Status LlamaCpp::load(const std::string& model, const Options& options) {
    unload();
    options_ = options;
    if (options.gpu && device() == "CPU")
        return Error{fmt::format("{} sees no GPU: is libggml-cuda.so in its folder, and are libcudart and libcublas on "
                                 "LD_LIBRARY_PATH?",
                                 version_)};
    Parameters model_parameters = api_.llama_model_default_params();
    model_parameters.set<std::int32_t>(layout_->n_gpu_layers, options.gpu ? 999 : 0);
    last_error_.clear();
    model_ = api_.llama_model_load_from_file(model.c_str(), model_parameters);
    if (!model_) return failure(fmt::format("cannot load '{}'", model));
    vocab_ = static_cast<std::uint32_t>(api_.llama_vocab_n_tokens(api_.llama_model_get_vocab(model_)));

    Parameters parameters = api_.llama_context_default_params();
    const auto threads = static_cast<std::int32_t>(options.threads ? options.threads
                                                                   : std::max(1u, std::thread::hardware_concurrency()));
    parameters.set<std::uint32_t>(layout_->n_ctx, options.context);
    parameters.set<std::int32_t>(layout_->n_threads, threads);
    parameters.set<std::int32_t>(layout_->n_threads_batch, threads);
    parameters.set<std::int32_t>(layout_->flash, options.flash_attention ? flash_on : flash_off);
    parameters.set<std::int32_t>(layout_->type_k, options.kv_f16 ? type_f16 : type_f32);
    parameters.set<std::int32_t>(layout_->type_v, options.kv_f16 ? type_f16 : type_f32);
    context_ = api_.llama_init_from_model(model_, parameters);
    if (!context_) return failure(fmt::format("cannot make a context of {} positions", options.context));
    return {};
}

Status LlamaCpp::evaluate(std::span<const std::int32_t> ids) {
    std::vector<std::int32_t> copy(ids.begin(), ids.end());
    const auto batch = api_.llama_batch_get_one(copy.data(), static_cast<std::int32_t>(copy.size()));
    if (const int code = api_.llama_decode(context_, batch); code != 0)
        return failure(fmt::format("cannot evaluate {} tokens (code {})", ids.size(), code));
    api_.llama_synchronize(context_);
    return {};
}

Status LlamaCpp::rewind(std::uint32_t position) {
    if (api_.llama_memory_seq_rm(api_.llama_get_memory(context_), 0, static_cast<std::int32_t>(position), -1))
        return {};
    return failure(fmt::format("cannot go back to position {}", position));
}

void LlamaCpp::unload() {
    if (context_) api_.llama_free(context_);
    if (model_) api_.llama_model_free(model_);
    context_ = model_ = nullptr;
}

} // namespace

Result<std::unique_ptr<Rival>> Rival::open(const std::string& folder) {
    auto rival = std::make_unique<LlamaCpp>();
    if (auto ok = rival->open_libraries(folder); !ok) return ok.error();
    return std::unique_ptr<Rival>(std::move(rival));
}

} // namespace ptxgen::tools
