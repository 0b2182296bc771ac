#pragma once

/// The compiler: build PTX in C++, print it, parse it, verify it.

#include "ptxgen/build/module_builder.hpp"
#include "ptxgen/text/text.hpp"
#include "ptxgen/verify/verify.hpp"
