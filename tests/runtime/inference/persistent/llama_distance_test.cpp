// A real model through the persistent engine: the part of scripts/compare-logits that every run of the tests can
// afford.
#include "tests/runtime/inference/engine/llama_distance.hpp"

using namespace ptxgen;

TEST_CASE("SmolLM2's logits of the persistent engine are as close to the reference as llama.cpp's") {
    test::check_llama_distance("smollm2", EngineKind::persistent, {3});
}
