// expect: bool
#include <ptxgen/ptxgen.hpp>
using namespace ptxgen;

void build(KernelBuilder& k, Val<u32> n, Val<f32> x, Var<u32>& i, Val<global_ptr<f32>> out,
           Val<global_ptr<const f32>> in, Val<ptxgen::shared_ptr<f32>> tile) {
    (void)k, (void)n, (void)x, (void)i, (void)out, (void)in, (void)tile;
#ifdef MUST_NOT_COMPILE
    if (n == 1) k.ret();
#else
    k.if_(n == 1, [&] { k.ret(); });
#endif
}
