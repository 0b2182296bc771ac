#include "runtime/emulator/exec/lanes.hpp"

#include <type_traits>

// Loads and stores. The first half of an access finds the lanes in host memory and checks them all at once where they
// lie in one allocation; the second half moves the data. What does not fit the fast way goes through resolve_lanes().
namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL {
namespace {

template <class T>
struct Loose {
    typedef T __attribute__((aligned(1), may_alias)) type;
};
template <class T>
using Unaligned = typename Loose<T>::type;

/// Whether a[l + 1] - a[l] is the same for all lanes.
template <class A>
PTXGEN_INLINE bool is_affine(const A* a, A& stride) {
    stride = a[1] - a[0];
    A odd = 0;
#if defined(__clang__)
#pragma clang loop vectorize(enable)
#endif
    for (int l = 0; l < 16; ++l) odd |= ((a[l + 1] - a[l]) ^ stride) | ((a[l + 16] - a[l + 15]) ^ stride);
    return odd == 0;
}

struct Extent {
    u64 low, high, bits; ///< smallest, largest, all ORed
};
template <class A>
PTXGEN_INLINE Extent extent_of(const u64* x) {
    u64 low = x[0], high = x[0], bits = 0;
    for (int l = 0; l < 32; ++l) {
        low = x[l] < low ? x[l] : low;
        high = x[l] > high ? x[l] : high;
        bits |= x[l];
    }
    return {low, high, bits};
}

/// Whether [low, low + span) lies in global memory; with checks in one allocation, whose bytes' state it leaves.
template <bool Checks>
PTXGEN_INLINE bool global_range(Warp& w, const Inst* i, u64 low, u64 span, const Allocation*& found) {
    if constexpr (!Checks) {
        return span <= w.global_size && low - w.global_base <= w.global_size - span;
    } else {
        const Allocation*& cached = w.cache[i->source % cache_entries];
        const Allocation* a = cached;
        if (!(low - a->base < a->size && span <= a->size - (low - a->base))) {
            a = find_allocation(w, low);
            if (!a || !(span <= a->size - (low - a->base))) return false;
            cached = a;
        }
        found = a;
        return true;
    }
}

PTXGEN_INLINE u64 all_ones_range(const u8* shadow, u64 bytes) {
    u64 all = 0x0101010101010101ull;
    u64 k = 0;
    for (; k + 8 <= bytes; k += 8) {
        u64 x;
        __builtin_memcpy(&x, shadow + k, 8);
        all &= x;
    }
    for (; k < bytes; ++k) all &= 0x0101010101010100ull | shadow[k];
    return all == 0x0101010101010101ull;
}

/// Lanes that read bytes which nothing has written.
u32 unwritten_lanes(const Inst* i, const Access& access, u32 mask) {
    const u64 bytes = i->bytes;
    if (access.affine) {
        if (!access.shadow) return 0;
        if (access.stride == static_cast<s64>(bytes) && all_ones_range(access.shadow, 32 * bytes)) return 0;
        if (access.stride == 0) return all_ones_range(access.shadow, bytes) ? 0 : all_lanes;
    }
    u32 lanes = 0;
    for (int l = 0; l < 32; ++l) {
        if (!((mask >> l) & 1)) continue;
        const u8* shadow = access.affine ? access.shadow + l * access.stride : access.lane_shadow[l];
        if (shadow && !all_ones_range(shadow, bytes)) lanes |= 1u << l;
    }
    return lanes;
}
void mark_written(const Inst* i, const Access& access, u32 mask) {
    const u64 bytes = i->bytes;
    if (access.affine && access.stride == static_cast<s64>(bytes)) {
        __builtin_memset(access.shadow, 1, 32 * bytes);
        return;
    }
    for (int l = 0; l < 32; ++l) {
        if (!((mask >> l) & 1)) continue;
        u8* shadow = access.affine ? access.shadow + l * access.stride : access.lane_shadow[l];
        if (!shadow) continue;
        for (u64 k = 0; k < bytes; ++k) shadow[k] = 1;
    }
}

/// Lane addresses with the offset added; inactive lanes repeat an active one.
template <class A, bool Masked>
PTXGEN_INLINE void lane_addresses(Warp& w, const Inst* i, u64* x) {
    const A* a = reg<A>(w, i->a);
    const u64 offset = static_cast<u64>(i->imm);
    if constexpr (Masked) {
        const u64 filler = static_cast<u64>(a[__builtin_ctz(w.mask)]) + offset;
        const u32 m = w.mask;
        PTXGEN_LANES x[l] = (m & lane_bit32[l]) ? static_cast<u64>(a[l]) + offset : filler;
    } else {
        PTXGEN_LANES x[l] = static_cast<u64>(a[l]) + offset;
    }
}

PTXGEN_INLINE void fill_lanes(Access& access, const u64* x, u64 delta, u8* shadow, u64 shadow_base) {
    access.affine = false;
    access.any_shadow = shadow != nullptr;
    PTXGEN_LANES access.lane[l] = reinterpret_cast<u8*>(delta + x[l]);
    if (shadow) {
        PTXGEN_LANES access.lane_shadow[l] = shadow + (x[l] - shadow_base);
    }
}

template <u8 Space, class A, bool Checks, bool Masked>
PTXGEN_INLINE bool resolve(Warp& w, const Inst* i, Access& access) {
    const u64 bytes = i->bytes;
    if constexpr (!Masked && (Space == mode_global || Space == mode_shared)) {
        const A* a = reg<A>(w, i->a);
        A step;
        if (is_affine(a, step)) {
            const s64 stride = static_cast<std::make_signed_t<A>>(step);
            const u64 first = static_cast<u64>(a[0]) + static_cast<u64>(i->imm);
            if (stride > -(s64{1} << 32) && stride < (s64{1} << 32)) {
                const u64 low = stride < 0 ? first + static_cast<u64>(31 * stride) : first;
                const u64 span = static_cast<u64>(31 * (stride < 0 ? -stride : stride)) + bytes;
                if (!Checks || ((first | static_cast<u64>(stride)) & (bytes - 1)) == 0) {
                    const Allocation* found = nullptr;
                    if constexpr (Space == mode_global) {
                        if (global_range<Checks>(w, i, low, span, found)) {
                            access.affine = true;
                            access.base = reinterpret_cast<u8*>(w.global_delta + first);
                            access.stride = stride;
                            access.shadow = Checks && found->shadow ? found->shadow + (first - found->base) : nullptr;
                            access.any_shadow = access.shadow != nullptr;
                            return true;
                        }
                    } else if (span <= w.shared_size && low <= w.shared_size - span) {
                        access.affine = true;
                        access.base = w.shared + first;
                        access.stride = stride;
                        access.shadow = Checks ? w.shared_shadow + first : nullptr;
                        access.any_shadow = Checks;
                        return true;
                    }
                }
            }
            return resolve_lanes(w, i, all_lanes, access);
        }
    }
    alignas(64) u64 x[32];
    lane_addresses<A, Masked>(w, i, x);
    const Extent e = extent_of<A>(x);
    const u64 span = e.high - e.low + bytes;
    if (!Checks || (e.bits & (bytes - 1)) == 0) {
        const Allocation* found = nullptr;
        if constexpr (Space == mode_global || Space == mode_generic) {
            if (global_range<Checks>(w, i, e.low, span, found)) {
                fill_lanes(access, x, w.global_delta, Checks ? found->shadow : nullptr, Checks ? found->base : 0);
                return true;
            }
        }
        if constexpr (Space == mode_shared) {
            if (span <= w.shared_size && e.low <= w.shared_size - span) {
                fill_lanes(access, x, reinterpret_cast<u64>(w.shared), Checks ? w.shared_shadow : nullptr, 0);
                return true;
            }
        }
        if constexpr (Space == mode_generic) {
            if (e.low >= shared_window && span <= w.shared_size && e.low - shared_window <= w.shared_size - span) {
                fill_lanes(access, x, reinterpret_cast<u64>(w.shared) - shared_window,
                           Checks ? w.shared_shadow : nullptr, shared_window);
                return true;
            }
        }
        if constexpr (Space == mode_local) {
            if (span <= w.local_size && e.low <= w.local_size - span) {
                access.affine = false;
                access.any_shadow = Checks;
                const u64 size = w.local_size;
                PTXGEN_LANES access.lane[l] = w.local + x[l] + static_cast<u64>(l) * size;
                if constexpr (Checks) {
                    PTXGEN_LANES access.lane_shadow[l] = w.local_shadow + x[l] + static_cast<u64>(l) * size;
                }
                return true;
            }
        }
    }
    return resolve_lanes(w, i, Masked ? w.mask : all_lanes, access);
}

template <u8 Space, class A, bool Checks, bool Masked, bool Store>
const Inst* access_memory(Warp& w, const Inst* i) {
    Access access;
    if (!resolve<Space, A, Checks, Masked>(w, i, access)) return nullptr;
    if constexpr (Store) w.writes += Space != mode_local;
    i->data[Masked](w, i, access);
    if constexpr (Checks) {
        if (access.any_shadow) {
            const u32 mask = Masked ? w.mask : all_lanes;
            if constexpr (Store)
                mark_written(i, access, mask);
            else if (const u32 lanes = unwritten_lanes(i, access, mask)) {
                mark_undefined_load(w, i, lanes, &access);
                if (!w.tracking) return stop_at(w, i + 1, Stop::track);
            }
        }
    }
    return i + 1;
}

/// V = 0: Inst::n elements.
template <class Mem, class Reg, int V, bool Masked>
void load_data(Warp& w, const Inst* i, const Access& access) {
    using P = const Unaligned<Mem>*;
    const int n = V ? V : i->n;
    Reg* d[V ? V : 8];
    for (int k = 0; k < n; ++k) d[k] = reg<Reg>(w, V == 1 ? i->d : i->list[k]);
    if (!Masked && access.affine) {
        if (V != 0 && access.stride == static_cast<s64>(sizeof(Mem) * (V ? V : 1))) {
            P p = reinterpret_cast<P>(access.base);
            if constexpr (V == 1) {
                PTXGEN_LANES d[0][l] = static_cast<Reg>(p[l]);
            } else if constexpr (V == 2) {
                PTXGEN_LANES {
                    d[0][l] = static_cast<Reg>(p[2 * l]);
                    d[1][l] = static_cast<Reg>(p[2 * l + 1]);
                }
            } else if constexpr (V == 4) {
                PTXGEN_LANES {
                    d[0][l] = static_cast<Reg>(p[4 * l]);
                    d[1][l] = static_cast<Reg>(p[4 * l + 1]);
                    d[2][l] = static_cast<Reg>(p[4 * l + 2]);
                    d[3][l] = static_cast<Reg>(p[4 * l + 3]);
                }
            }
            return;
        }
        if (access.stride == 0) {
            P p = reinterpret_cast<P>(access.base);
            for (int k = 0; k < n; ++k) {
                const Reg value = static_cast<Reg>(p[k]);
                PTXGEN_LANES d[k][l] = value;
            }
            return;
        }
        for (int l = 0; l < 32; ++l) {
            P p = reinterpret_cast<P>(access.base + l * access.stride);
            for (int k = 0; k < n; ++k) d[k][l] = static_cast<Reg>(p[k]);
        }
        return;
    }
    if constexpr (Masked) {
        for (u32 m = w.mask; m; m &= m - 1) {
            const int l = __builtin_ctz(m);
            P p = reinterpret_cast<P>(access.lane[l]);
            for (int k = 0; k < n; ++k) d[k][l] = static_cast<Reg>(p[k]);
        }
    } else {
        for (int l = 0; l < 32; ++l) {
            P p = reinterpret_cast<P>(access.lane[l]);
            for (int k = 0; k < n; ++k) d[k][l] = static_cast<Reg>(p[k]);
        }
    }
}

template <class Mem, class Reg, int V, bool Masked>
void store_data(Warp& w, const Inst* i, const Access& access) {
    using P = Unaligned<Mem>*;
    const int n = V ? V : i->n;
    const Reg* s[V ? V : 8];
    for (int k = 0; k < n; ++k) s[k] = reg<Reg>(w, V == 1 ? i->b : i->list[k]);
    if (!Masked && access.affine) {
        if (V != 0 && access.stride == static_cast<s64>(sizeof(Mem) * (V ? V : 1))) {
            P p = reinterpret_cast<P>(access.base);
            if constexpr (V == 1) {
                PTXGEN_LANES p[l] = static_cast<Mem>(s[0][l]);
            } else {
                PTXGEN_LANES {
                    for (int k = 0; k < V; ++k) p[V * l + k] = static_cast<Mem>(s[k][l]);
                }
            }
            return;
        }
        for (int l = 0; l < 32; ++l) {
            P p = reinterpret_cast<P>(access.base + l * access.stride);
            for (int k = 0; k < n; ++k) p[k] = static_cast<Mem>(s[k][l]);
        }
        return;
    }
    for (u32 m = Masked ? w.mask : all_lanes; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        P p = reinterpret_cast<P>(access.lane[l]);
        for (int k = 0; k < n; ++k) p[k] = static_cast<Mem>(s[k][l]);
    }
}

/// 16 bytes in one host access: what another CTA's thread stores meanwhile is there whole or not at all (PTX ISA,
/// "Memory Consistency Model": scalar b128 accesses are not torn, unlike vectors). Processors with AVX, and Arm's with
/// LSE2, keep an aligned one whole.
typedef u64 Whole __attribute__((vector_size(16), aligned(1), may_alias));
PTXGEN_INLINE u8* lane_bytes(const Access& access, int l) {
    return access.affine ? access.base + l * access.stride : access.lane[l];
}
template <bool Masked>
void load_whole(Warp& w, const Inst* i, const Access& access) {
    u64* low = reg<u64>(w, i->list[0]);
    u64* high = reg<u64>(w, i->list[1]);
    for (u32 m = Masked ? w.mask : all_lanes; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        const Whole both = *reinterpret_cast<const volatile Whole*>(lane_bytes(access, l));
        low[l] = both[0];
        high[l] = both[1];
    }
}
template <bool Masked>
void store_whole(Warp& w, const Inst* i, const Access& access) {
    const u64* low = reg<u64>(w, i->list[0]);
    const u64* high = reg<u64>(w, i->list[1]);
    for (u32 m = Masked ? w.mask : all_lanes; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        *reinterpret_cast<volatile Whole*>(lane_bytes(access, l)) = Whole{low[l], high[l]};
    }
}

/// ld.param of a kernel parameter: the same value for all lanes.
template <class Mem, class Reg, bool Masked>
const Inst* load_param(Warp& w, const Inst* i) {
    for (int k = 0; k < i->n; ++k) {
        Mem value;
        __builtin_memcpy(&value, w.params + i->imm + static_cast<s64>(sizeof(Mem)) * k, sizeof(Mem));
        const Reg r = static_cast<Reg>(value);
        alignas(64) Reg t[32];
        PTXGEN_LANES t[l] = r;
        blend(reg<Reg>(w, i->n == 1 ? i->d : i->list[k]), t, Masked ? w.mask : all_lanes);
    }
    return i + 1;
}

template <class Mem, class Reg, int V>
void set_data(Handlers& h, bool store) {
    if (store) {
        h.data_full = store_data<Mem, Reg, V, false>;
        h.data_masked = store_data<Mem, Reg, V, true>;
    } else {
        h.data_full = load_data<Mem, Reg, V, false>;
        h.data_masked = load_data<Mem, Reg, V, true>;
    }
}
template <class Mem, class Reg>
void set_by_count(Handlers& h, bool store, int n) {
    switch (n) {
    case 1: set_data<Mem, Reg, 1>(h, store); break;
    case 2: set_data<Mem, Reg, 2>(h, store); break;
    case 4: set_data<Mem, Reg, 4>(h, store); break;
    default: set_data<Mem, Reg, 0>(h, store); break;
    }
}
template <class Mem, class Reg>
void set_any(Handlers& h, bool store, int n) {
    if (n == 1)
        set_data<Mem, Reg, 1>(h, store);
    else
        set_data<Mem, Reg, 0>(h, store);
}

/// type: in memory, type2: of the register, by width.
bool set_data_handlers(Handlers& h, const Key& key) {
    const bool store = key.sem == Sem::store;
    const bool is_signed = type_class(key.type) == TypeClass::signed_integer;
    const unsigned mem = bit_width(key.type), width = bit_width(key.type2);
    const int n = key.n;
    switch (mem) {
    case 8:
        if (width == 16)
            is_signed ? set_by_count<s8, s16>(h, store, n) : set_by_count<u8, u16>(h, store, n);
        else if (width == 32)
            is_signed ? set_any<s8, s32>(h, store, n) : set_any<u8, u32>(h, store, n);
        else if (width == 64)
            is_signed ? set_any<s8, s64>(h, store, n) : set_any<u8, u64>(h, store, n);
        else
            return false;
        return true;
    case 16:
        if (width == 16)
            set_by_count<u16, u16>(h, store, n);
        else if (width == 32)
            is_signed ? set_any<s16, s32>(h, store, n) : set_any<u16, u32>(h, store, n);
        else if (width == 64)
            is_signed ? set_any<s16, s64>(h, store, n) : set_any<u16, u64>(h, store, n);
        else
            return false;
        return true;
    case 32:
        if (width == 32)
            set_by_count<u32, u32>(h, store, n);
        else if (width == 64)
            is_signed ? set_any<s32, s64>(h, store, n) : set_any<u32, u64>(h, store, n);
        else
            return false;
        return true;
    case 64:
        if (width != 64) return false;
        set_by_count<u64, u64>(h, store, n);
        return true;
    case 128:
        if (width != 64 || n != 2) return false;
        h.data_full = store ? store_whole<false> : load_whole<false>;
        h.data_masked = store ? store_whole<true> : load_whole<true>;
        return true;
    default: return false;
    }
}

template <u8 Space, class A, bool Checks, bool Store>
void set_access(Handlers& h) {
    h.full = access_memory<Space, A, Checks, false, Store>;
    h.masked = access_memory<Space, A, Checks, true, Store>;
}
template <bool Checks, bool Store>
bool set_space(Handlers& h, u8 space) {
    const bool wide = space & mode_wide_address;
    switch (space & mode_space_mask) {
    case mode_global: set_access<mode_global, u64, Checks, Store>(h); return true;
    case mode_generic: set_access<mode_generic, u64, Checks, Store>(h); return true;
    case mode_shared:
        if (wide)
            set_access<mode_shared, u64, Checks, Store>(h);
        else
            set_access<mode_shared, u32, Checks, Store>(h);
        return true;
    case mode_local:
        if (wide)
            set_access<mode_local, u64, Checks, Store>(h);
        else
            set_access<mode_local, u32, Checks, Store>(h);
        return true;
    default: return false;
    }
}

template <class Mem, class Reg>
constexpr Handlers params() {
    return {load_param<Mem, Reg, false>, load_param<Mem, Reg, true>};
}
Handlers param_handlers(const Key& key) {
    const bool is_signed = type_class(key.type) == TypeClass::signed_integer;
    const unsigned mem = bit_width(key.type), width = bit_width(key.type2);
    if (mem == 8) {
        if (width == 16) return is_signed ? params<s8, s16>() : params<u8, u16>();
        if (width == 32) return is_signed ? params<s8, s32>() : params<u8, u32>();
        return is_signed ? params<s8, s64>() : params<u8, u64>();
    }
    if (mem == 16) {
        if (width == 16) return params<u16, u16>();
        if (width == 32) return is_signed ? params<s16, s32>() : params<u16, u32>();
        return is_signed ? params<s16, s64>() : params<u16, u64>();
    }
    if (mem == 32) {
        if (width == 32) return params<u32, u32>();
        return is_signed ? params<s32, s64>() : params<u32, u64>();
    }
    return mem == 64 ? params<u64, u64>() : Handlers{};
}

} // namespace

Handlers resolve_memory(const Key& key) {
    Handlers h;
    switch (key.sem) {
    case Sem::load_param: return param_handlers(key);
    case Sem::load:
        if (!set_data_handlers(h, key)) return {};
        if (!(key.checks ? set_space<true, false>(h, key.space) : set_space<false, false>(h, key.space))) return {};
        return h;
    case Sem::store:
        if (!set_data_handlers(h, key)) return {};
        if (!(key.checks ? set_space<true, true>(h, key.space) : set_space<false, true>(h, key.space))) return {};
        return h;
    default: return {};
    }
}

} // namespace ptxgen::runtime::emulator::PTXGEN_EMULATOR_LEVEL
