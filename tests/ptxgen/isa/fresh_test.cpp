// What isa-gen makes of the table is what is committed.
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>

namespace fs = std::filesystem;

namespace {

const std::string generator = std::string(PTXGEN_BIN_DIR) + "/isa-gen";

int run(const std::string& arguments) {
    const int status = std::system(fmt::format("'{}' {}", generator, arguments).c_str());
    return status == -1 ? -1 : status / 256;
}

std::string read_file(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

struct Folder {
    fs::path path = fs::temp_directory_path() / "ptxgen_isa_gen_test";
    Folder() {
        fs::remove_all(path);
        fs::create_directories(path / "ptxgen/isa/table");
    }
    ~Folder() { fs::remove_all(path); }
    void write(const std::string& text) const { std::ofstream(path / "ptxgen/isa/table/test.isa") << text; }
    /// Standard error of a run over the folder.
    std::string messages() const {
        run(fmt::format("'{}' 2> '{}'", path.string(), (path / "messages").string()));
        return read_file(path / "messages");
    }
};

} // namespace

TEST_CASE("generated files are up to date") {
    REQUIRE_MESSAGE(fs::exists(generator), "isa-gen is not built");
    CHECK(run(fmt::format("--check '{}'", PTXGEN_SOURCE_DIR)) == 0);
}

TEST_CASE("a stale file is noticed") {
    const Folder folder;
    folder.write("add | .T(u32|s32) | d:T a:T b:T | - | - | 1.0/10 | 9.7.1.1\n");
    const auto check = fmt::format("--check '{}' 2> /dev/null", folder.path.string());
    CHECK(run(check) == 1);
    CHECK(folder.messages() == "");
    CHECK(run(check) == 0);
    folder.write("add | .T(u32|s32|u64) | d:T a:T b:T | - | - | 1.0/10 | 9.7.1.1\n");
    CHECK(run(check) == 1);
}

TEST_CASE("mistakes in the table are located") {
    const Folder folder;
    const auto rejects = [&](const std::string& row, const std::string& message) {
        folder.write("# a comment\n" + row + "\n");
        const auto text = folder.messages();
        CHECK_MESSAGE(text.find("test.isa:2:" + message) != std::string::npos, text);
    };
    rejects("add | .T | d:T | - | - | 1.0/10 | 9", "8: error: no alphabet T in this file");
    rejects("add | .T(u32) | d:U | - | - | 1.0/10 | 9", "19: error: expected a type or a slot of add");
    rejects("add | .T(u32) | d:T | X => never | - | 1.0/10 | 9", "23: error: add has no slot X");
    rejects("add | .T(u32) | d:T | T=u33 => never | - | 1.0/10 | 9", "25: error: u33 is not a word of T");
    rejects("add | .T(u32) | d:T | - | W(a) | 1.0/10 | 9", "29: error: add has no operand a");
    rejects("add | .T(u32) | d:T | - | Q(a) | 1.0/10 | 9", "27: error: no effect Q");
    rejects("add | .T(u32) | d:T | - | - | 1.0 | 9", "34: error: expected '/'");
    rejects("add | .T(u32) | d:T | - | - | 1.0/10", "1: error: expected 7 columns");
    rejects("add | .T(u32|s32)=u64 | d:T | - | - | 1.0/10 | 9", "19: error: u64 is not a word of T");
    rejects("alphabet t = u32", "11: error: the name of an alphabet is upper-case");
}
