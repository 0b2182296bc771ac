#include "ptxgen/isa/form.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace ptxgen {
namespace {

constexpr Minimum from(std::uint8_t major, std::uint8_t minor, std::uint16_t sm) {
    return {{major, minor}, {sm, TargetVariant::plain}};
}

// PTX ISA 10; numbered registers (%pm0, %envreg0, …) one by one.
constexpr SpecialRegister registers[] = {
    {"%tid.x", Type::u32, from(2, 0, 10)},
    {"%tid.y", Type::u32, from(2, 0, 10)},
    {"%tid.z", Type::u32, from(2, 0, 10)},
    {"%ntid.x", Type::u32, from(2, 0, 10)},
    {"%ntid.y", Type::u32, from(2, 0, 10)},
    {"%ntid.z", Type::u32, from(2, 0, 10)},
    {"%laneid", Type::u32, from(1, 3, 10)},
    {"%warpid", Type::u32, from(1, 3, 10), true},
    {"%nwarpid", Type::u32, from(2, 0, 20)},
    {"%ctaid.x", Type::u32, from(2, 0, 10)},
    {"%ctaid.y", Type::u32, from(2, 0, 10)},
    {"%ctaid.z", Type::u32, from(2, 0, 10)},
    {"%nctaid.x", Type::u32, from(2, 0, 10)},
    {"%nctaid.y", Type::u32, from(2, 0, 10)},
    {"%nctaid.z", Type::u32, from(2, 0, 10)},
    {"%smid", Type::u32, from(1, 3, 10), true},
    {"%nsmid", Type::u32, from(2, 0, 20)},
    {"%gridid", Type::u64, from(3, 0, 10)},
    {"%is_explicit_cluster", Type::pred, from(7, 8, 90)},
    {"%clusterid.x", Type::u32, from(7, 8, 90)},
    {"%clusterid.y", Type::u32, from(7, 8, 90)},
    {"%clusterid.z", Type::u32, from(7, 8, 90)},
    {"%nclusterid.x", Type::u32, from(7, 8, 90)},
    {"%nclusterid.y", Type::u32, from(7, 8, 90)},
    {"%nclusterid.z", Type::u32, from(7, 8, 90)},
    {"%cluster_ctaid.x", Type::u32, from(7, 8, 90)},
    {"%cluster_ctaid.y", Type::u32, from(7, 8, 90)},
    {"%cluster_ctaid.z", Type::u32, from(7, 8, 90)},
    {"%cluster_nctaid.x", Type::u32, from(7, 8, 90)},
    {"%cluster_nctaid.y", Type::u32, from(7, 8, 90)},
    {"%cluster_nctaid.z", Type::u32, from(7, 8, 90)},
    {"%cluster_ctarank", Type::u32, from(7, 8, 90)},
    {"%cluster_nctarank", Type::u32, from(7, 8, 90)},
    {"%lanemask_eq", Type::u32, from(2, 0, 20)},
    {"%lanemask_le", Type::u32, from(2, 0, 20)},
    {"%lanemask_lt", Type::u32, from(2, 0, 20)},
    {"%lanemask_ge", Type::u32, from(2, 0, 20)},
    {"%lanemask_gt", Type::u32, from(2, 0, 20)},
    {"%clock", Type::u32, from(1, 0, 10), true},
    {"%clock_hi", Type::u32, from(5, 0, 20), true},
    {"%clock64", Type::u64, from(2, 0, 20), true},
    {"%pm0", Type::u32, from(1, 3, 10), true},
    {"%pm1", Type::u32, from(1, 3, 10), true},
    {"%pm2", Type::u32, from(1, 3, 10), true},
    {"%pm3", Type::u32, from(1, 3, 10), true},
    {"%pm4", Type::u32, from(3, 0, 20), true},
    {"%pm5", Type::u32, from(3, 0, 20), true},
    {"%pm6", Type::u32, from(3, 0, 20), true},
    {"%pm7", Type::u32, from(3, 0, 20), true},
    {"%pm0_64", Type::u64, from(4, 0, 50), true},
    {"%pm1_64", Type::u64, from(4, 0, 50), true},
    {"%pm2_64", Type::u64, from(4, 0, 50), true},
    {"%pm3_64", Type::u64, from(4, 0, 50), true},
    {"%pm4_64", Type::u64, from(4, 0, 50), true},
    {"%pm5_64", Type::u64, from(4, 0, 50), true},
    {"%pm6_64", Type::u64, from(4, 0, 50), true},
    {"%pm7_64", Type::u64, from(4, 0, 50), true},
    {"%envreg0", Type::b32, from(2, 1, 10)},
    {"%envreg1", Type::b32, from(2, 1, 10)},
    {"%envreg2", Type::b32, from(2, 1, 10)},
    {"%envreg3", Type::b32, from(2, 1, 10)},
    {"%envreg4", Type::b32, from(2, 1, 10)},
    {"%envreg5", Type::b32, from(2, 1, 10)},
    {"%envreg6", Type::b32, from(2, 1, 10)},
    {"%envreg7", Type::b32, from(2, 1, 10)},
    {"%envreg8", Type::b32, from(2, 1, 10)},
    {"%envreg9", Type::b32, from(2, 1, 10)},
    {"%envreg10", Type::b32, from(2, 1, 10)},
    {"%envreg11", Type::b32, from(2, 1, 10)},
    {"%envreg12", Type::b32, from(2, 1, 10)},
    {"%envreg13", Type::b32, from(2, 1, 10)},
    {"%envreg14", Type::b32, from(2, 1, 10)},
    {"%envreg15", Type::b32, from(2, 1, 10)},
    {"%envreg16", Type::b32, from(2, 1, 10)},
    {"%envreg17", Type::b32, from(2, 1, 10)},
    {"%envreg18", Type::b32, from(2, 1, 10)},
    {"%envreg19", Type::b32, from(2, 1, 10)},
    {"%envreg20", Type::b32, from(2, 1, 10)},
    {"%envreg21", Type::b32, from(2, 1, 10)},
    {"%envreg22", Type::b32, from(2, 1, 10)},
    {"%envreg23", Type::b32, from(2, 1, 10)},
    {"%envreg24", Type::b32, from(2, 1, 10)},
    {"%envreg25", Type::b32, from(2, 1, 10)},
    {"%envreg26", Type::b32, from(2, 1, 10)},
    {"%envreg27", Type::b32, from(2, 1, 10)},
    {"%envreg28", Type::b32, from(2, 1, 10)},
    {"%envreg29", Type::b32, from(2, 1, 10)},
    {"%envreg30", Type::b32, from(2, 1, 10)},
    {"%envreg31", Type::b32, from(2, 1, 10)},
    {"%globaltimer", Type::u64, from(3, 1, 30), true},
    {"%globaltimer_lo", Type::u32, from(3, 1, 30), true},
    {"%globaltimer_hi", Type::u32, from(3, 1, 30), true},
    {"%reserved_smem_offset_begin", Type::b32, from(7, 6, 80)},
    {"%reserved_smem_offset_end", Type::b32, from(7, 6, 80)},
    {"%reserved_smem_offset_cap", Type::b32, from(7, 6, 80)},
    {"%reserved_smem_offset_0", Type::b32, from(7, 6, 80)},
    {"%reserved_smem_offset_1", Type::b32, from(7, 6, 80)},
    {"%total_smem_size", Type::u32, from(4, 1, 20)},
    {"%aggr_smem_size", Type::u32, from(8, 1, 90)},
    {"%dynamic_smem_size", Type::u32, from(4, 1, 20)},
    {"%current_graph_exec", Type::u64, from(8, 0, 50)},
};

} // namespace

std::span<const SpecialRegister> special_registers() { return registers; }

std::optional<std::uint16_t> find_special_register(std::string_view name) {
    static const auto index = [] {
        std::map<std::string_view, std::uint16_t> map;
        for (std::uint16_t i = 0; i < std::size(registers); i++) map.emplace(registers[i].name, i);
        return map;
    }();
    const auto found = index.find(name);
    if (found == index.end()) return std::nullopt;
    return found->second;
}

} // namespace ptxgen
