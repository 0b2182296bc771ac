#pragma once

#include "runtime/inference/random_blocks.hpp"
#include "tests/support/random.hpp"

namespace ptxgen::test {

using ptxgen::encode_plain;
using ptxgen::random_blocks;

} // namespace ptxgen::test
