#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

/// A fresh directory, removed at the end.
class Scratch {
public:
    Scratch() {
        std::string pattern = std::filesystem::temp_directory_path() / "ptxgen-test-XXXXXX";
        if (const char* made = mkdtemp(pattern.data())) path_ = made;
    }
    ~Scratch() {
        std::error_code error;
        if (!path_.empty()) std::filesystem::remove_all(path_, error);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// An environment variable that is unset for a while and then as it was.
class Environment {
public:
    explicit Environment(const char* name) : name_(name) {
        if (const char* value = std::getenv(name)) before_ = value;
        unsetenv(name);
    }
    ~Environment() {
        if (before_)
            setenv(name_, before_->c_str(), 1);
        else
            unsetenv(name_);
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    void set(const char* value) const { setenv(name_, value, 1); }

private:
    const char* name_;
    std::optional<std::string> before_;
};
