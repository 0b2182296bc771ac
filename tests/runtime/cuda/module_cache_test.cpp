#include "runtime/cuda/module_cache.hpp"

#include "tests/runtime/cuda/scratch.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

using namespace ptxgen::cuda;
namespace fs = std::filesystem;

namespace {

ModuleCache::Key key(unsigned seed) {
    ModuleCache::Key key{};
    for (auto& byte : key) byte = static_cast<std::uint8_t>(seed = seed * 1664525 + 1013904223);
    return key;
}

std::vector<std::byte> content(unsigned seed, std::size_t size) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
}

fs::path only_file(const fs::path& directory) { return fs::directory_iterator(directory)->path(); }

std::string read_all(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<long>(bytes.size()));
}

} // namespace

TEST_CASE("an entry comes back as it was stored") {
    const Scratch scratch;
    const ModuleCache cache({scratch.path() / "deep" / "er"});
    CHECK_FALSE(cache.find(key(1)));
    for (const std::size_t size : {0, 1, 100000}) {
        cache.store(key(1), content(1, size));
        CHECK(cache.find(key(1)) == content(1, size));
    }
    CHECK_FALSE(cache.find(key(2)));
    cache.store(key(2), content(2, 50));
    CHECK(cache.stats().entries == 2);
    CHECK(cache.stats().bytes == 100000 + 50 + 2 * 48);
    cache.remove(key(1));
    CHECK_FALSE(cache.find(key(1)));
    CHECK(cache.find(key(2)) == content(2, 50));
}

TEST_CASE("a damaged entry counts as absent") {
    const Scratch scratch;
    const ModuleCache cache({scratch.path()});
    cache.store(key(1), content(1, 40));
    const auto file = only_file(scratch.path());
    const std::string whole = read_all(file);
    REQUIRE(whole.size() == 88);

    SUBCASE("truncated anywhere") {
        for (std::size_t size = 0; size < whole.size(); ++size) {
            write_all(file, whole.substr(0, size));
            CHECK_FALSE(cache.find(key(1)));
        }
    }
    SUBCASE("longer") {
        write_all(file, whole + "x");
        CHECK_FALSE(cache.find(key(1)));
    }
    SUBCASE("any bit flipped") {
        for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
            auto flipped = whole;
            flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
            write_all(file, flipped);
            CHECK_FALSE(cache.find(key(1)));
        }
    }
    SUBCASE("under another's name") {
        cache.store(key(2), content(2, 40));
        for (const auto& other : fs::directory_iterator(scratch.path())) write_all(other.path(), whole);
        CHECK(cache.find(key(1)));
        CHECK_FALSE(cache.find(key(2)));
    }
    SUBCASE("a directory") {
        fs::remove(file);
        fs::create_directory(file);
        CHECK_FALSE(cache.find(key(1)));
        cache.store(key(1), content(1, 40));
        CHECK_FALSE(cache.find(key(1)));
        return;
    }
    cache.store(key(1), content(1, 40));
    CHECK(cache.find(key(1)) == content(1, 40));
}

TEST_CASE("the entries unused for longest go when the cache is full") {
    const Scratch scratch;
    const ModuleCache cache({scratch.path(), 10 * 148});
    const auto now = fs::file_time_type::clock::now();
    for (unsigned i = 0; i < 10; ++i) {
        cache.store(key(i), content(i, 100));
        for (const auto& entry : fs::directory_iterator(scratch.path()))
            if (entry.path().filename().string().rfind(to_hex(key(i)), 0) == 0)
                fs::last_write_time(entry, now - std::chrono::hours(20 - i));
    }
    CHECK(cache.stats().entries == 10);
    CHECK(cache.find(key(0))); // used now, so the next two are the oldest
    cache.store(key(10), content(10, 100));
    CHECK(cache.stats().entries == 9);
    CHECK(cache.find(key(0)));
    CHECK_FALSE(cache.find(key(1)));
    CHECK_FALSE(cache.find(key(2)));
    CHECK(cache.find(key(3)));
    CHECK(cache.find(key(10)));

    cache.store(key(11), content(11, 10000)); // larger than the whole cache
    CHECK_FALSE(cache.find(key(11)));
    CHECK(cache.stats().entries == 9);
}

TEST_CASE("what a dead process left behind is removed") {
    const Scratch scratch;
    const ModuleCache cache({scratch.path()});
    write_all(scratch.path() / "dead.tmp", "half");
    write_all(scratch.path() / "busy.tmp", "half");
    fs::last_write_time(scratch.path() / "dead.tmp", fs::file_time_type::clock::now() - std::chrono::hours(2));
    cache.store(key(1), content(1, 10));
    CHECK_FALSE(fs::exists(scratch.path() / "dead.tmp"));
    CHECK(fs::exists(scratch.path() / "busy.tmp"));
}

TEST_CASE("a cache that cannot be written is no cache") {
    const Scratch scratch;
    write_all(scratch.path() / "file", "x");
    const ModuleCache cache({scratch.path() / "file" / "below"});
    cache.store(key(1), content(1, 10));
    CHECK_FALSE(cache.find(key(1)));
    CHECK(cache.stats().entries == 0);
    cache.remove(key(1));
    ModuleCache nowhere({"/proc/ptxgen"});
    nowhere.store(key(1), content(1, 10));
    CHECK_FALSE(nowhere.find(key(1)));
}

TEST_CASE("processes share a cache") {
    const Scratch scratch;
    // Small enough that they prune each other's entries all the time.
    const ModuleCache cache({scratch.path(), 8 * 3048});
    constexpr int processes = 6;
    std::vector<pid_t> children;
    for (int process = 0; process < processes; ++process) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            int found = 0;
            for (unsigned i = 0; i < 300; ++i) {
                const unsigned which = (i * 7 + static_cast<unsigned>(process)) % 12;
                if (const auto bytes = cache.find(key(which))) {
                    ++found;
                    if (*bytes != content(which, 3000)) _exit(2);
                } else {
                    cache.store(key(which), content(which, 3000));
                }
            }
            _exit(found > 0 ? 0 : 3);
        }
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
    for (const auto& entry : fs::directory_iterator(scratch.path())) CHECK(entry.path().extension() == ".cubin");
    CHECK(cache.stats().bytes <= 8 * 3048 + processes * 3048);
}

TEST_CASE("where the cache lies") {
    const Environment cache("PTXGEN_CACHE"), directory("PTXGEN_CACHE_DIR"), xdg("XDG_CACHE_HOME"), home("HOME");
    CHECK_FALSE(ModuleCacheOptions::from_environment());
    home.set("/home/me");
    CHECK(ModuleCacheOptions::from_environment()->directory == "/home/me/.cache/ptxgen");
    xdg.set("relative");
    CHECK(ModuleCacheOptions::from_environment()->directory == "/home/me/.cache/ptxgen");
    xdg.set("/xdg");
    CHECK(ModuleCacheOptions::from_environment()->directory == "/xdg/ptxgen");
    directory.set("/own");
    CHECK(ModuleCacheOptions::from_environment()->directory == "/own");
    cache.set("off");
    CHECK_FALSE(ModuleCacheOptions::from_environment());
}
