#include "ptxgen/base/diagnostic.hpp"

#include <fmt/format.h>

namespace ptxgen {

std::string to_string(const Diagnostic& diagnostic, const std::string& file) {
    std::string place;
    if (diagnostic.location.line != 0) {
        if (!file.empty()) place = file + ":";
        place += fmt::format("{}:{}: ", diagnostic.location.line, diagnostic.location.column);
    } else {
        if (!file.empty()) place = file + ": ";
        if (!diagnostic.function.empty()) {
            place += fmt::format("kernel '{}'", diagnostic.function);
            if (diagnostic.instruction >= 0) place += fmt::format(", instruction {}", diagnostic.instruction);
            place += ": ";
        }
    }
    return fmt::format("{}{}: {} [{}]", place, diagnostic.severity == Severity::error ? "error" : "warning",
                       diagnostic.message, diagnostic.rule);
}

} // namespace ptxgen
