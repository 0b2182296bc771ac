#pragma once

#include "ptxgen/isa/types.hpp"
#include "runtime/emulator/machine.hpp"

/// What handlers there are: the decoder asks for one by key, each build of exec/ answers with its own.
namespace ptxgen::runtime::emulator {

enum class Sem : u16 {
    none,
    // integer
    add,
    sub,
    mul_lo,
    mul_hi,
    mul_wide,
    mad_lo,
    mad_hi,
    mad_wide,
    mad_hi_sat,
    mul24_lo,
    mul24_hi,
    mad24_lo,
    mad24_hi,
    sad,
    div,
    rem,
    abs,
    neg,
    min,
    max,
    add_sat,
    sub_sat,
    popc,
    clz,
    bfind,
    bfind_shift,
    fns,
    brev,
    bfe,
    bfi,
    bmsk_clamp,
    bmsk_wrap,
    szext_clamp,
    szext_wrap,
    dp4a_uu,
    dp4a_us,
    dp4a_su,
    dp4a_ss,
    dp2a_lo_uu,
    dp2a_lo_us,
    dp2a_lo_su,
    dp2a_lo_ss,
    dp2a_hi_uu,
    dp2a_hi_us,
    dp2a_hi_su,
    dp2a_hi_ss,
    min_relu,
    max_relu,
    /// with the carry register in Inst::e; Key::variant: bit 0 reads it, bit 1 writes it, bit 2 the high product
    add_carry,
    sub_carry,
    mad_carry,
    // logic
    and_,
    or_,
    xor_,
    not_,
    cnot,
    lop3,
    shl,
    shr,
    shf_l_clamp,
    shf_l_wrap,
    shf_r_clamp,
    shf_r_wrap,
    prmt,
    prmt_f4e,
    prmt_b4e,
    prmt_rc8,
    prmt_ecl,
    prmt_ecr,
    prmt_rc16,
    mov,
    mov_splat,
    pred_and,
    pred_or,
    pred_xor,
    pred_not,
    pred_mov,
    pack,
    unpack,
    // comparison; Key::variant is a Compare
    setp,
    set,
    selp,
    selp_pred,
    slct,
    slct_f32,
    // floating; Key::variant: FloatMode
    fadd,
    fsub,
    fmul,
    ffma,
    fdiv,
    fabs,
    fneg,
    fmin,
    fmax,
    fmin3,
    fmax3,
    fsqrt,
    frcp,
    frsqrt,
    fsin,
    fcos,
    flg2,
    fex2,
    ftanh,
    copysign,
    testp_finite,
    testp_infinite,
    testp_number,
    testp_notanumber,
    testp_normal,
    testp_subnormal,
    // conversion; Key::type to, Key::type2 from, Key::variant: FloatMode
    cvt,
    cvt_pack,
    extend,
    // memory
    load,
    store,
    load_param,
    mma,
    ldmatrix,
    movmatrix,
};

enum class Compare : u8 { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

/// Bits of Key::variant for floating instructions and conversions.
enum FloatMode : u16 {
    round_rn = 0,
    round_rz = 1,
    round_rm = 2,
    round_rp = 3,
    round_mask = 3,
    float_ftz = 4,
    float_sat = 8,
    float_nan = 16,
    float_xorsign = 32,
    float_relu = 64,
    round_integer_flag = 256,
    round_rna = 512,
    convert_satfinite = 1024, // of cvt
};

struct Key {
    Sem sem = Sem::none;
    Type type = Type::none;
    Type type2 = Type::none;
    u16 variant = 0;
    u8 n = 1; ///< vector elements
    bool checks = false;
    u8 space = 0; ///< SpaceMode of a memory access
};

struct Handlers {
    Handler full = nullptr;   ///< all lanes
    Handler masked = nullptr; ///< lanes of Warp::mask
    DataHandler data_full = nullptr;
    DataHandler data_masked = nullptr;
    explicit operator bool() const { return full != nullptr; }
};

using Resolver = Handlers (*)(const Key&);

namespace baseline {
Handlers resolve(const Key& key);
}
#ifdef PTXGEN_EMULATOR_X86_LEVELS
namespace avx2 {
Handlers resolve(const Key& key);
}
namespace avx512 {
Handlers resolve(const Key& key);
}
#endif

} // namespace ptxgen::runtime::emulator
