#include "ptxgen/ir/needs.hpp"

#include "ptxgen/ir/directive.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <unordered_map>

namespace ptxgen {
namespace {

constexpr Minimum b128_minimum{{8, 3}, {70, TargetVariant::plain}};
constexpr Minimum large_parameters_minimum{{8, 1}, {70, TargetVariant::plain}};
constexpr std::uint64_t small_parameter_space = 4352; // bytes; PTX ISA, "Kernel function parameter limits"

/// An instruction without its operands.
struct Variety {
    std::uint16_t form;
    Choices choices;
    bool operator==(const Variety&) const = default;
};
static_assert(sizeof(Variety) == 2 * sizeof(std::uint64_t) && std::has_unique_object_representations_v<Variety>);

struct VarietyHash {
    std::size_t operator()(const Variety& variety) const {
        std::array<std::uint64_t, 2> halves; // NOLINT(cppcoreguidelines-pro-type-member-init)
        std::memcpy(halves.data(), &variety, sizeof variety);
        constexpr std::uint64_t odd = 0x9e3779b97f4a7c15u;
        const std::uint64_t mixed = (halves[0] * odd ^ halves[1]) * odd;
        return mixed ^ mixed >> 32;
    }
};

class Collector {
public:
    Collector(const Module& module, Places places) : module_(module), all_places_(places == Places::all) {}

    std::vector<Need> run() {
        for (std::size_t f = 0; f < module_.functions.size(); f++) {
            function_ = static_cast<int>(f);
            const auto& function = module_.functions[f];
            signature(function);
            has_b128_ = std::any_of(function.registers.begin(), function.registers.end(),
                                    [](const RegisterInfo& info) { return bit_width(info.type) == 128; });
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
        for (const auto& operand : instruction.operands)
            if (has_b128_ || operand.kind == Operand::Kind::special || !operand.elements.empty())
                add(function, operand);
        if (instruction.form == raw_form) {
            push(instruction.raw_mnemonic, {{instruction.raw_minimum}});
            return;
        }
        if (instruction.form >= forms().size()) return;
        // A known variety has been looked at; one with choices that are no words never becomes known.
        const Variety variety{instruction.form, instruction.choices};
        if (const auto known = instructions_.find(variety); known != instructions_.end())
            return another_place(known->second);
        if (!are_words(instruction.row(), instruction.choices)) return;
        instructions_.emplace(variety, needs_.size());
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
        if (has_b128_ && operand.kind == Operand::Kind::reg && operand.id < function.registers.size() &&
            bit_width(function.registers[operand.id].type) == 128 && first_time(specials_, UINT32_MAX))
            push("a 128-bit register", {{b128_minimum}});
        for (const auto& element : operand.elements) add(function, element);
    }

    /// Whether `key` is new; a known one gets another place.
    template <class Key>
    bool first_time(std::map<Key, std::size_t>& known, const Key& key) {
        const auto [at, inserted] = known.try_emplace(key, needs_.size());
        if (!inserted) another_place(at->second);
        return inserted;
    }

    void another_place(std::size_t need) {
        if (all_places_) needs_[need].places.push_back({function_, instruction_, location_});
    }

    void push(std::string what, std::vector<std::vector<Minimum>> parts, std::optional<Minimum> removed = {}) {
        needs_.push_back({std::move(parts), removed, std::move(what), {{function_, instruction_, location_}}});
    }

    const Module& module_;
    bool all_places_;
    bool has_b128_ = false; ///< the function's registers
    std::vector<Need> needs_;
    std::unordered_map<Variety, std::size_t, VarietyHash> instructions_;
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

std::vector<Need> collect_needs(const Module& module, Places places) { return Collector(module, places).run(); }

} // namespace ptxgen
