#include "tools/ptxgen-bench/report.hpp"

#include "commit.hpp"
#include "tools/common/io.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>

namespace ptxgen::tools {
namespace {

std::string cell(const nlohmann::ordered_json& value) {
    if (value.is_null()) return "-";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    if (!value.is_number_float()) return value.dump();
    const double number = value.get<double>();
    // Four significant digits, and all of those before the point.
    const double size = std::abs(number);
    if (size > 0 && size < 1e-2) return fmt::format("{:.3e}", number);
    return fmt::format("{:.{}f}", number, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4);
}

} // namespace

Report::Report(std::string_view benchmark, std::string json) : json_(std::move(json)), table_(json_ != "-") {
    document_["benchmark"] = benchmark;
    document_["date"] = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
    document_["ptxgen"] = PTXGEN_VERSION;
    document_["commit"] = PTXGEN_COMMIT;
    if (table_)
        fmt::print("# ptxgen-bench {}, {}, ptxgen {} commit {}\n", benchmark, document_["date"].get<std::string>(),
                   PTXGEN_VERSION, PTXGEN_COMMIT);
}

void Report::set_device(const runtime::DeviceProperties& properties) {
    document_["device"] = properties.name;
    document_["driver"] = properties.driver;
    document_["target"] = to_string(properties.target);
    document_["multiprocessors"] = properties.multiprocessors;
    if (table_)
        fmt::print("# {}, {}, {}, {} multiprocessors\n", properties.name, properties.driver,
                   to_string(properties.target), properties.multiprocessors);
}

void Report::note(std::string_view name, nlohmann::ordered_json value) {
    if (table_) {
        fmt::print("# {}: {}\n", name, cell(value));
        std::fflush(stdout);
    }
    document_[std::string(name)] = std::move(value);
}

void Report::add(const Row& row) {
    nlohmann::ordered_json object;
    for (const auto& [name, value] : row) object[name] = value;
    document_["results"].push_back(std::move(object));
    if (!table_) return;
    std::vector<std::string> headings;
    for (const auto& [name, value] : row) headings.push_back(name);
    if (headings != headings_) {
        headings_ = headings;
        widths_.clear();
        std::string line;
        for (const auto& [name, value] : row) {
            const std::size_t least = value.is_string() ? 12 : 8;
            widths_.push_back(std::max({name.size(), cell(value).size(), least}));
            line += value.is_string() ? fmt::format("{:<{}}  ", name, widths_.back())
                                      : fmt::format("{:>{}}  ", name, widths_.back());
        }
        fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
    }
    std::string line;
    for (std::size_t i = 0; i < row.size(); i++)
        line += row[i].second.is_string() ? fmt::format("{:<{}}  ", cell(row[i].second), widths_[i])
                                          : fmt::format("{:>{}}  ", cell(row[i].second), widths_[i]);
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
    std::fflush(stdout);
}

Status Report::finish() {
    if (json_.empty()) return {};
    return write_file(json_, document_.dump(2) + "\n");
}

} // namespace ptxgen::tools
