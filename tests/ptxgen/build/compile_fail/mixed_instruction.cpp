// expect: the operands have different types
// expect: u32
// expect: s32
#include <ptxgen/ptxgen.hpp>
using namespace ptxgen;

void build(KernelBuilder& k, Val<u32> n, Val<f32> x, Var<u32>& i, Val<global_ptr<f32>> out,
           Val<global_ptr<const f32>> in, Val<ptxgen::shared_ptr<f32>> tile) {
    (void)k, (void)n, (void)x, (void)i, (void)out, (void)in, (void)tile;
#ifdef MUST_NOT_COMPILE
    k.add(n, k.imm<s32>(1));
#else
    k.add(n, k.imm<u32>(1));
#endif
}
