// Generates what follows from the instruction table: isa-gen [--check] [SOURCE_FOLDER].
#include "table.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

/// Writes `text` unless the file has it already; with `check` only compares. False if a file is stale or unwritable.
bool update(const fs::path& path, const std::string& text, bool check) {
    if (fs::exists(path) && read_file(path) == text) return true;
    if (check) {
        fmt::print(stderr, "{}: stale: run isa-gen and commit its output\n", path.string());
        return false;
    }
    fs::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary);
    out << text;
    out.flush();
    if (!out) fmt::print(stderr, "{}: cannot be written\n", path.string());
    return static_cast<bool>(out);
}

} // namespace

int main(int argc, char** argv) {
    bool check = false;
    fs::path root = ".";
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        if (argument == "--check")
            check = true;
        else if (argument == "--help") {
            fmt::print("isa-gen [--check] [SOURCE_FOLDER]\nReads ptxgen/isa/table/*.isa and writes the generated files "
                       "of the builder and of docs/;\n--check only says whether they are up to date.\n");
            return 0;
        } else
            root = argument;
    }

    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root / "ptxgen/isa/table", error))
        if (entry.path().extension() == ".isa") files.push_back(entry.path());
    if (files.empty()) {
        fmt::print(stderr, "{}: no .isa files; expected the folder of ptxgen's sources\n",
                   (root / "ptxgen/isa/table").string());
        return 2;
    }
    std::sort(files.begin(), files.end());

    std::vector<isa_gen::Form> forms;
    std::vector<isa_gen::Problem> problems;
    for (const auto& file : files)
        isa_gen::read_family(file.string(), file.stem().string(), read_file(file), forms, problems);
    for (const auto& p : problems) fmt::print(stderr, "{}:{}:{}: error: {}\n", p.file, p.line, p.column, p.message);
    if (!problems.empty()) return 1;
    isa_gen::sort_rows(forms);

    bool ok = update(root / "ptxgen/isa/generated/ops.inc", isa_gen::write_ops(forms), check);
    ok &= update(root / "ptxgen/isa/generated/table.inc", isa_gen::write_table(forms), check);
    ok &= update(root / "ptxgen/build/generated/methods.inc", isa_gen::write_methods(forms), check);
    ok &= update(root / "ptxgen/build/generated/modifiers.inc", isa_gen::write_modifiers(forms), check);
    ok &= update(root / "docs/isa.md", isa_gen::write_page(forms), check);
    return ok ? 0 : 1;
}
