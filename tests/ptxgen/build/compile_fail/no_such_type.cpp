// expect: this instruction does not exist for this type
#include <ptxgen/ptxgen.hpp>
using namespace ptxgen;

void build(KernelBuilder& k, Val<u32> n, Val<f32> x, Var<u32>& i, Val<global_ptr<f32>> out,
           Val<global_ptr<const f32>> in, Val<ptxgen::shared_ptr<f32>> tile) {
    (void)k, (void)n, (void)x, (void)i, (void)out, (void)in, (void)tile;
#ifdef MUST_NOT_COMPILE
    k.fma(n, n, n);
#else
    k.fma(x, x, x);
#endif
}
