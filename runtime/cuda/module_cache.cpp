#include "runtime/cuda/module_cache.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace ptxgen::cuda {
namespace {

namespace fs = std::filesystem;

constexpr char magic[8] = {'P', 'T', 'X', 'G', 'E', 'N', 'M', '1'};
constexpr std::string_view entry_suffix = ".cubin";
constexpr std::string_view temporary_suffix = ".tmp";

/// The head of an entry's file; the module's bytes follow.
struct Header {
    char magic[8];
    std::uint64_t size;    ///< of the module
    Sha256::Digest digest; ///< of key and module
};
static_assert(sizeof(Header) == 48);

Sha256::Digest checksum(const ModuleCache::Key& key, std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.update(std::as_bytes(std::span(key)));
    hash.update(bytes);
    return hash.finish();
}

class File {
public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    ~File() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int get() const { return descriptor_; }

    bool read(void* data, std::size_t bytes) const {
        auto* at = static_cast<char*>(data);
        while (bytes > 0) {
            const auto count = ::read(descriptor_, at, bytes);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return false;
            at += count;
            bytes -= static_cast<std::size_t>(count);
        }
        return true;
    }
    bool write(const void* data, std::size_t bytes) const {
        auto* at = static_cast<const char*>(data);
        while (bytes > 0) {
            const auto count = ::write(descriptor_, at, bytes);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return false;
            at += count;
            bytes -= static_cast<std::size_t>(count);
        }
        return true;
    }

private:
    int descriptor_;
};

struct Entry {
    fs::path path;
    std::uint64_t bytes;
    fs::file_time_type used;
};

bool ends_with(const std::string& name, std::string_view suffix) { return std::string_view(name).ends_with(suffix); }

/// Entries of the cache; temporary files that a dead process has left behind are removed on the way.
std::vector<Entry> list_entries(const fs::path& directory) {
    std::vector<Entry> entries;
    std::error_code error;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename();
        std::error_code gone; // another process may remove any of them meanwhile
        const auto used = it->last_write_time(gone);
        if (gone) continue;
        if (ends_with(name, temporary_suffix)) {
            if (fs::file_time_type::clock::now() - used > std::chrono::hours(1)) fs::remove(it->path(), gone);
            continue;
        }
        const auto bytes = it->file_size(gone);
        if (!gone && ends_with(name, entry_suffix)) entries.push_back({it->path(), bytes, used});
    }
    return entries;
}

fs::path from_variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

} // namespace

std::optional<ModuleCacheOptions> ModuleCacheOptions::from_environment() {
    const auto enabled = from_variable("PTXGEN_CACHE");
    if (enabled == "off" || enabled == "0") return std::nullopt;
    if (auto own = from_variable("PTXGEN_CACHE_DIR"); !own.empty()) return ModuleCacheOptions{std::move(own)};
    // The XDG base directory specification has relative paths ignored.
    if (auto xdg = from_variable("XDG_CACHE_HOME"); xdg.is_absolute()) return ModuleCacheOptions{xdg / "ptxgen"};
    if (auto home = from_variable("HOME"); home.is_absolute()) return ModuleCacheOptions{home / ".cache" / "ptxgen"};
    return std::nullopt;
}

fs::path ModuleCache::path_of(const Key& key) const {
    return options_.directory / (to_hex(key) + std::string(entry_suffix));
}

std::optional<std::vector<std::byte>> ModuleCache::find(const Key& key) const {
    const File file(::open(path_of(key).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    Header header;
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0 || !file.read(&header, sizeof header)) return std::nullopt;
    // The size is checked against the file's before memory is reserved for it.
    if (std::memcmp(header.magic, magic, sizeof magic) != 0 ||
        header.size != static_cast<std::uint64_t>(info.st_size) - sizeof header)
        return std::nullopt;
    std::vector<std::byte> bytes(header.size);
    if (!file.read(bytes.data(), bytes.size()) || checksum(key, bytes) != header.digest) return std::nullopt;
    (void)::futimens(file.get(), nullptr);
    return bytes;
}

void ModuleCache::store(const Key& key, std::span<const std::byte> bytes) const {
    if (sizeof(Header) + bytes.size() > options_.max_bytes) return;
    std::error_code error;
    fs::create_directories(options_.directory, error);
    static std::atomic<unsigned> serial{0};
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    const auto temporary = options_.directory / fmt::format("{}.{}.{:x}.{}{}", to_hex(key).substr(0, 16), ::getpid(),
                                                            now, serial++, temporary_suffix);
    {
        const File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (file.get() < 0) return;
        Header header;
        std::memcpy(header.magic, magic, sizeof magic);
        header.size = bytes.size();
        header.digest = checksum(key, bytes);
        if (!file.write(&header, sizeof header) || !file.write(bytes.data(), bytes.size())) {
            ::unlink(temporary.c_str());
            return;
        }
    }
    fs::rename(temporary, path_of(key), error);
    if (error) ::unlink(temporary.c_str());
    prune();
}

void ModuleCache::remove(const Key& key) const {
    std::error_code error;
    fs::remove(path_of(key), error);
}

ModuleCacheStats ModuleCache::stats() const {
    ModuleCacheStats stats;
    for (const auto& entry : list_entries(options_.directory)) {
        ++stats.entries;
        stats.bytes += entry.bytes;
    }
    return stats;
}

void ModuleCache::prune() const {
    auto entries = list_entries(options_.directory);
    std::uint64_t total = 0;
    for (const auto& entry : entries) total += entry.bytes;
    if (total <= options_.max_bytes) return;
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
    // A tenth is freed at once, so that a full cache is not pruned by every store.
    const std::uint64_t goal = options_.max_bytes - options_.max_bytes / 10;
    for (const auto& entry : entries) {
        if (total <= goal) break;
        std::error_code error;
        fs::remove(entry.path, error);
        total -= entry.bytes;
    }
}

} // namespace ptxgen::cuda
