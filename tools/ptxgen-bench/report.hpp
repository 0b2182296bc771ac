#pragma once

#include "ptxgen/base/result.hpp"
#include "runtime/device.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ptxgen::tools {

/// Collects what a benchmark finds: a table on standard output, row by row as they come, and JSON at the end.
class Report {
public:
    using Row = std::vector<std::pair<std::string, nlohmann::ordered_json>>;

    /// `json`: a file, "-" for standard output instead of the table, or empty for the table alone.
    Report(std::string_view benchmark, std::string json);

    /// Name, driver and size of what is measured.
    void set_device(const runtime::DeviceProperties& properties);
    /// Something that holds for all rows: "ceiling_GB_per_s", 4590.
    void note(std::string_view name, nlohmann::ordered_json value);
    /// A result: named numbers, texts and truth values, the unit in the name ("us", "GB_per_s"). Rows with the same
    /// names form one table.
    void add(const Row& row);
    /// Writes the JSON, if it was asked for.
    Status finish();

private:
    nlohmann::ordered_json document_;
    std::string json_;
    bool table_;
    std::vector<std::string> headings_;
    std::vector<std::size_t> widths_;
};

} // namespace ptxgen::tools
