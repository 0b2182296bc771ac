#include "tools/common/tokenize.hpp"

#include "runtime/inference/tokenizer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

namespace ptxgen::tools {

Result<std::string> tokenize(const TokenizeOptions& options, std::string_view input) {
    const auto file = gguf::File::open(options.model, gguf::Contents::metadata);
    if (!file) return file.error();
    const auto tokenizer = Tokenizer::load(*file);
    if (!tokenizer) return tokenizer.error();
    std::string out;
    for (bool more = true; more;) {
        const std::size_t end = options.nul_separated ? input.find('\0') : std::string_view::npos;
        const auto ids = tokenizer->encode(input.substr(0, end), {.parse_special = options.parse_special});
        if (!ids) return ids.error();
        fmt::format_to(std::back_inserter(out), "{}\n", fmt::join(*ids, " "));
        more = end != std::string_view::npos;
        if (more) input.remove_prefix(end + 1);
    }
    return out;
}

} // namespace ptxgen::tools
