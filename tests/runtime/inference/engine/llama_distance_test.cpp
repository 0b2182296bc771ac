// The real models at q8_1: the part of scripts/compare-logits that every run of the tests can afford.
#include "tests/runtime/inference/engine/llama_distance.hpp"

using namespace ptxgen;

TEST_CASE("SmolLM2's logits at q8_1 are as close to the reference as llama.cpp's") {
    test::check_llama_distance("smollm2", EngineKind::graph, {1, 3});
}

TEST_CASE("Gemma's logits at q8_1 are as close to the reference as llama.cpp's") {
    test::check_llama_distance("gemma3", EngineKind::graph, {0, 5});
}
