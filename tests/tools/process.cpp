#include "tests/tools/process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ptxgen::test {
namespace {

using Clock = std::chrono::steady_clock;

/// Becomes the program; the child's side of a fork.
[[noreturn]] void become(const std::vector<std::string>& arguments, const RunOptions& options) {
    if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) _exit(126);
    if (options.address_space_bytes) {
        const rlimit limit{options.address_space_bytes, options.address_space_bytes};
        setrlimit(RLIMIT_AS, &limit);
    }
    std::vector<std::string> words = arguments;
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> environment = options.environment;
    for (std::string& setting : environment) putenv(setting.data());
    execv(argv[0], argv.data());
    _exit(127);
}

struct Pipe {
    int read = -1;
    int write = -1;
    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) == 0) std::tie(read, write) = std::pair{ends[0], ends[1]};
    }
    ~Pipe() {
        close_end(read);
        close_end(write);
    }
    static void close_end(int& end) {
        if (end >= 0) close(end);
        end = -1;
    }
};

/// Appends what there is to read; false at the end.
bool read_some(int fd, std::string& to) {
    std::array<char, 1 << 14> chunk{};
    const auto count = read(fd, chunk.data(), chunk.size());
    if (count > 0) to.append(chunk.data(), static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

/// Feeds and drains a running program until it has closed its output.
void converse(pid_t child, int& input, int& output, int& error, const RunOptions& options, Finished& finished) {
    const auto end = Clock::now() + options.limit;
    std::string_view left = options.input;
    while (output >= 0 || error >= 0) {
        if (left.empty() && !options.terminal) Pipe::close_end(input);
        std::array<pollfd, 3> polled{pollfd{output, POLLIN, 0}, pollfd{error, POLLIN, 0},
                                     pollfd{left.empty() ? -1 : input, POLLOUT, 0}};
        const auto remaining = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        if (remaining <= 0) {
            finished.timed_out = true;
            kill(child, SIGKILL);
            return;
        }
        if (poll(polled.data(), polled.size(), static_cast<int>(remaining)) < 0) continue;
        if (polled[2].revents) {
            const auto count = write(input, left.data(), left.size());
            if (count < 0 && errno != EAGAIN)
                left = {};
            else if (count > 0)
                left.remove_prefix(static_cast<std::size_t>(count));
        }
        if (polled[0].revents) {
            if (!read_some(output, finished.out)) Pipe::close_end(output);
            if (options.on_output)
                if (const int signal = options.on_output(finished.out)) kill(child, signal);
        }
        if (polled[1].revents && !read_some(error, finished.err)) Pipe::close_end(error);
    }
}

Finished run_on_terminal(const std::vector<std::string>& arguments, const RunOptions& options) {
    Finished finished;
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) become(arguments, options);
    int none = -1;
    int input = dup(terminal);
    converse(child, input, terminal, none, options, finished);
    int status = 0;
    waitpid(child, &status, 0);
    Pipe::close_end(input); // not before: the program would be hung up on
    Pipe::close_end(terminal);
    if (WIFEXITED(status)) finished.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
    return finished;
}

} // namespace

Finished run(const std::vector<std::string>& arguments, const RunOptions& options) {
    std::signal(SIGPIPE, SIG_IGN);
    if (options.terminal) return run_on_terminal(arguments, options);
    Finished finished;
    Pipe input;
    Pipe output;
    Pipe error;
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGPIPE, SIG_DFL);
        dup2(input.read, STDIN_FILENO);
        dup2(output.write, STDOUT_FILENO);
        dup2(error.write, STDERR_FILENO);
        become(arguments, options);
    }
    Pipe::close_end(input.read);
    Pipe::close_end(output.write);
    Pipe::close_end(error.write);
    fcntl(input.write, F_SETFL, O_NONBLOCK);
    converse(child, input.write, output.read, error.read, options, finished);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) finished.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
    return finished;
}

Finished ptxgen_tool(std::vector<std::string> arguments, const RunOptions& options) {
    arguments.insert(arguments.begin(), PTXGEN_BIN_DIR "/ptxgen");
    return run(arguments, options);
}

Finished ptxgen_run(std::vector<std::string> arguments, const RunOptions& options) {
    arguments.insert(arguments.begin(), PTXGEN_BIN_DIR "/ptxgen-run");
    return run(arguments, options);
}

Finished ptxgen_bench(std::vector<std::string> arguments, const RunOptions& options) {
    arguments.insert(arguments.begin(), PTXGEN_BIN_DIR "/ptxgen-bench");
    return run(arguments, options);
}

std::string not_one_clear_error(const Finished& finished, std::initializer_list<std::string_view> parts) {
    const auto complaint = [&](std::string_view what) {
        return fmt::format("{}; exit code {}, signal {}, standard error: {}", what, finished.code, finished.signal,
                           finished.err);
    };
    if (finished.code != 1) return complaint("expected exit code 1");
    if (!finished.out.empty()) return complaint("expected nothing on standard output, found " + finished.out);
    if (finished.err.find("error: ") == std::string::npos) return complaint("expected 'error: …'");
    if (finished.err.back() != '\n' || finished.err.find('\n') + 1 != finished.err.size())
        return complaint("expected one line");
    for (const std::string_view part : parts)
        if (finished.err.find(part) == std::string::npos) return complaint(fmt::format("expected '{}' in it", part));
    return {};
}

bool is_whole_utf8(std::string_view text) {
    try {
        (void)nlohmann::json(text).dump(); // refuses everything else
        return true;
    } catch (const nlohmann::json::type_error&) {
        return false;
    }
}

std::string content_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace ptxgen::test
