#pragma once

#include "runtime/inference/random.hpp"

namespace ptxgen::test {

using ptxgen::Random;

} // namespace ptxgen::test
