#pragma once

// Hand-written PTX, so that these tests depend on nothing but the driver. Every loop is bounded.
namespace ptx {

/// axpy(n: u32, a: f32, x, y: global f32): y[i] += a * x[i]
inline constexpr char axpy[] = R"(.version 6.4
.target sm_75
.address_size 64
.visible .entry axpy(.param .u32 p_n, .param .f32 p_a, .param .u64 p_x, .param .u64 p_y)
{
    .reg .pred %p<2>;
    .reg .b32 %r<6>;
    .reg .f32 %f<5>;
    .reg .b64 %rd<6>;
    ld.param.u32 %r1, [p_n];
    ld.param.f32 %f1, [p_a];
    ld.param.u64 %rd1, [p_x];
    ld.param.u64 %rd2, [p_y];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra done;
    mul.wide.u32 %rd3, %r5, 4;
    add.u64 %rd4, %rd1, %rd3;
    add.u64 %rd5, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4];
    ld.global.f32 %f3, [%rd5];
    fma.rn.f32 %f4, %f1, %f2, %f3;
    st.global.f32 [%rd5], %f4;
done:
    ret;
}
)";

/// count(): adds 1 to the module's variable `counter` for every thread.
inline constexpr char count[] = R"(.version 6.4
.target sm_75
.address_size 64
.visible .global .align 4 .u32 counter = 5;
.visible .entry count()
{
    .reg .b32 %r<2>;
    atom.global.add.u32 %r1, [counter], 1;
    ret;
}
)";

/// barrier(arrived: global u32, seen: global u32): every CTA arrives and waits for all, at most 2^24 polls; then
/// it adds the number that it saw, capped at the number of CTAs, to `seen`.
inline constexpr char barrier[] = R"(.version 6.4
.target sm_75
.address_size 64
.visible .entry barrier(.param .u64 p_arrived, .param .u64 p_seen)
{
    .reg .pred %p<3>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [p_arrived];
    ld.param.u64 %rd2, [p_seen];
    mov.u32 %r1, %tid.x;
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra done;
    mov.u32 %r2, %nctaid.x;
    atom.release.gpu.global.add.u32 %r3, [%rd1], 1;
    mov.u32 %r4, 0;
poll:
    ld.acquire.gpu.global.u32 %r5, [%rd1];
    add.u32 %r4, %r4, 1;
    setp.lt.u32 %p1, %r5, %r2;
    setp.lt.and.u32 %p2, %r4, 16777216, %p1;
    @%p2 bra poll;
    min.u32 %r6, %r5, %r2;
    atom.global.add.u32 %r7, [%rd2], %r6;
done:
    ret;
}
)";

/// ranks(out: global u32): out[ctaid] = cluster_ctarank + 100 * cluster_nctarank
inline constexpr char ranks[] = R"(.version 7.8
.target sm_90
.address_size 64
.visible .entry ranks(.param .u64 p_out)
{
    .reg .b32 %r<5>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [p_out];
    mov.u32 %r1, %cluster_ctarank;
    mov.u32 %r2, %cluster_nctarank;
    mad.lo.u32 %r3, %r2, 100, %r1;
    mov.u32 %r4, %ctaid.x;
    mul.wide.u32 %rd2, %r4, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r3;
    ret;
}
)";

/// reverse(n: u32, out: global u32): one CTA of 256 threads; fills n words of dynamic shared memory with their index
/// and writes them to `out` in reverse order.
inline constexpr char reverse[] = R"(.version 6.4
.target sm_75
.address_size 64
.extern .shared .align 16 .b8 scratch[];
.visible .entry reverse(.param .u32 p_n, .param .u64 p_out)
{
    .reg .pred %p<2>;
    .reg .b32 %r<9>;
    .reg .b64 %rd<4>;
    ld.param.u32 %r1, [p_n];
    ld.param.u64 %rd1, [p_out];
    mov.u32 %r2, scratch;
    mov.u32 %r3, %tid.x;
fill:
    setp.ge.u32 %p1, %r3, %r1;
    @%p1 bra filled;
    shl.b32 %r4, %r3, 2;
    add.u32 %r4, %r4, %r2;
    st.shared.u32 [%r4], %r3;
    add.u32 %r3, %r3, 256;
    bra fill;
filled:
    bar.sync 0;
    mov.u32 %r3, %tid.x;
copy:
    setp.ge.u32 %p1, %r3, %r1;
    @%p1 bra done;
    sub.u32 %r5, %r1, %r3;
    sub.u32 %r5, %r5, 1;
    shl.b32 %r6, %r5, 2;
    add.u32 %r6, %r6, %r2;
    ld.shared.u32 %r7, [%r6];
    mul.wide.u32 %rd2, %r3, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r7;
    add.u32 %r3, %r3, 256;
    bra copy;
done:
    ret;
}
)";

/// poke(address: u64): writes 1 there, whatever it is.
inline constexpr char poke[] = R"(.version 6.4
.target sm_75
.address_size 64
.visible .entry poke(.param .u64 p_address)
{
    .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [p_address];
    st.global.u32 [%rd1], 1;
    ret;
}
)";

inline constexpr const char* all[] = {axpy, count, barrier, ranks, reverse, poke};

} // namespace ptx
