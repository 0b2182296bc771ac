#include "ptxgen/ir/needs.hpp"

#include "ptxgen/ir/directive.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace ptxgen {
namespace {

constexpr Minimum b128_minimum{{8, 3}, {70, TargetVariant::plain}};
constexpr Minimum large_parameters_minimum{{8, 1}, {70, TargetVariant::plain}};
constexpr std::uint64_t small_parameter_space = 4352; // bytes; PTX ISA, "Kernel function parameter limits"

class Collector {
public:
    explicit Collector(const Module& module) : module_(module) {}

    std::vector<Need> run() {
        for (std::size_t f = 0; f < module_.functions.size(); f++) {
            function_ = static_cast<int>(f);
            const auto& function = module_.functions[f];
            signature(function);
            for (std::size_t i = 0; i < function.body.size(); i++) {
                instruction_ = static_cast<int>(i);
                location_ = function.body[i].location;
                add(function, function.body[i]);
            }
            instruction_ = -1;
        }
        return std::move(needs_);
    }

private:
    void signature(const Function& function) {
        location_ = function.location;
        for (const auto& [name, arguments] : function.directives)
            if (const auto* directive = find_function_directive(name); directive && first_time(directives_, name))
                push("." + name, {{directive->minimum}});
        std::uint64_t bytes = 0;
        for (const auto& parameter : function.parameters) bytes += parameter.byte_size();
        if (function.is_kernel && bytes > small_parameter_space)
            push(fmt::format("{} bytes of kernel parameters", bytes), {{large_parameters_minimum}});
    }

    void add(const Function& function, const Instruction& instruction) {
        for (const auto& operand : instruction.operands) add(function, operand);
        if (instruction.form == raw_form) {
            push(instruction.raw_mnemonic, {{instruction.raw_minimum}});
            return;
        }
        if (instruction.form >= forms().size() || !are_words(instruction.row(), instruction.choices)) return;
        if (!first_time(instructions_, {instruction.form, instruction.choices})) return;
        const Form& form = instruction.row();
        std::vector<std::vector<Minimum>> parts;
        for (const auto& part : requirements(form, instruction.choices))
            if (!part.empty()) parts.emplace_back(part.begin(), part.end());
        push(mnemonic(form, instruction.choices), std::move(parts), form.removed);
    }

    void add(const Function& function, const Operand& operand) {
        if (operand.kind == Operand::Kind::special && operand.id < special_registers().size() &&
            first_time(specials_, operand.id)) {
            const auto& special = special_registers()[operand.id];
            push(std::string(special.name), {{special.minimum}});
        }
        if (operand.kind == Operand::Kind::reg && operand.id < function.registers.size() &&
            bit_width(function.registers[operand.id].type) == 128 && first_time(specials_, UINT32_MAX))
            push("a 128-bit register", {{b128_minimum}});
        for (const auto& element : operand.elements) add(function, element);
    }

    /// Whether `key` is new; a known one gets another place.
    template <class Key>
    bool first_time(std::map<Key, std::size_t>& known, const Key& key) {
        const auto [at, inserted] = known.try_emplace(key, needs_.size());
        if (!inserted) needs_[at->second].places.push_back({function_, instruction_, location_});
        return inserted;
    }

    void push(std::string what, std::vector<std::vector<Minimum>> parts, std::optional<Minimum> removed = {}) {
        needs_.push_back({std::move(parts), removed, std::move(what), {{function_, instruction_, location_}}});
    }

    const Module& module_;
    std::vector<Need> needs_;
    std::map<std::pair<std::uint16_t, Choices>, std::size_t> instructions_;
    std::map<std::uint32_t, std::size_t> specials_; ///< UINT32_MAX: 128-bit registers
    std::map<std::string, std::size_t> directives_;
    int function_ = -1;
    int instruction_ = -1;
    SourceLocation location_;
};

std::string to_string(const Minimum& minimum) {
    return fmt::format("PTX {} with {}", ptxgen::to_string(minimum.version), ptxgen::to_string(minimum.target));
}

std::string to_string(const std::vector<Minimum>& alternatives) {
    std::string text;
    for (std::size_t i = 0; i < alternatives.size(); i++)
        text += (i == 0 ? "" : i + 1 == alternatives.size() ? " or " : ", ") + to_string(alternatives[i]);
    return text;
}

} // namespace

std::optional<PtxVersion> Need::lowest_version(Target target) const {
    PtxVersion version{};
    for (const auto& alternatives : parts) {
        std::optional<PtxVersion> lowest;
        for (const auto& minimum : alternatives)
            if (target.provides(minimum.target) && (!lowest || minimum.version < *lowest)) lowest = minimum.version;
        if (!lowest) return std::nullopt;
        version = std::max(version, *lowest);
    }
    return version;
}

bool Need::available(PtxVersion version, Target target) const {
    const auto lowest = lowest_version(target);
    return lowest && *lowest <= version &&
           !(removed && target.provides(removed->target) && version >= removed->version);
}

std::string Need::describe(std::optional<PtxVersion> version, std::optional<Target> target) const {
    const std::vector<Minimum>* lacking = nullptr;
    for (const auto& alternatives : parts) {
        bool met = false;
        for (const auto& minimum : alternatives)
            met = met || ((!version || minimum.version <= *version) && (!target || target->provides(minimum.target)));
        if (!met) {
            lacking = &alternatives;
            break;
        }
    }
    if (!lacking && removed)
        return fmt::format("is gone from PTX {} on for {} and later", ptxgen::to_string(removed->version),
                           ptxgen::to_string(removed->target));
    if (!lacking && !parts.empty()) lacking = &parts.front();
    return lacking ? "needs " + to_string(*lacking) : "is available everywhere";
}

std::vector<Need> collect_needs(const Module& module) { return Collector(module).run(); }

} // namespace ptxgen
