#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ptxgen::test {

/// How a program ended and what it wrote.
struct Finished {
    int code = -1;  ///< exit code; -1 if a signal or the time limit ended it
    int signal = 0; ///< the signal that ended it
    bool timed_out = false;
    std::string out; ///< standard output; of a terminal, all that appeared on it
    std::string err; ///< standard error; empty for a terminal
};

struct RunOptions {
    std::string input = {};                    ///< standard input
    std::vector<std::string> environment = {}; ///< "NAME=VALUE" on top of this process's
    std::string folder = {};                   ///< working folder; empty: this process's
    std::uint64_t address_space_bytes = 0;     ///< as `ulimit -v`; 0: no limit
    bool terminal = false;                     ///< standard input, output and error are a terminal
    std::chrono::seconds limit{240};           ///< the program is killed after this
    /// Called whenever more output has come, with all there is; the returned signal, if not 0, is sent to the program.
    std::function<int(std::string_view out)> on_output = {};
};

/// Runs a program to its end. `arguments` starts with its path.
Finished run(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// The built tools (of this build tree), by the words behind the program's name.
Finished ptxgen_tool(std::vector<std::string> arguments, const RunOptions& options = {});
Finished ptxgen_run(std::vector<std::string> arguments, const RunOptions& options = {});
Finished ptxgen_bench(std::vector<std::string> arguments, const RunOptions& options = {});

/// Empty if the program ended with this code and one line "error: …" on standard error that has all these parts, and
/// nothing on standard output; or else what happened.
std::string not_one_clear_error(const Finished& finished, std::initializer_list<std::string_view> parts);

/// Whether every byte belongs to a whole, well-formed UTF-8 character.
bool is_whole_utf8(std::string_view text);

/// Content of a file; empty if there is none.
std::string content_of(const std::string& path);

} // namespace ptxgen::test
