#include "tools/common/io.hpp"
#include "tools/common/tokenize.hpp"
#include "tools/ptxgen/commands.hpp"

#include <fmt/format.h>
#include <iostream>
#include <iterator>

namespace ptxgen::tools {

void add_tokenize(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("tokenize", "Token ids of standard input");
    auto options = std::make_shared<TokenizeOptions>();
    command->add_option("model", options->model, "GGUF file; only its tokenizer is read")->required();
    command->add_flag("--special", options->parse_special, "Special tokens in the text are tokens");
    command->add_flag("-0", options->nul_separated, "NUL-separated strings, one line of ids each");
    command->footer("The ids are in decimal, separated by single spaces, without a beginning-of-sequence token.\n\n"
                    "Example:\n  printf 'Hello world' | ptxgen tokenize model.gguf");
    command->callback([=] {
        const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
        auto ids = tokenize(*options, input);
        if (!ids) return exit_with(fail(ids.error().message));
        fmt::print("{}", *ids);
        exit_with(exit_ok);
    });
}

} // namespace ptxgen::tools
