#pragma once

#include "kernels/ring/format.hpp"

// How codes of 4, 5, 6 and 8 bits share words, so that few instructions bring each to the top (or the bottom) of its
// byte: whole codes in place, and the bits that these leave free put together into the remaining codes.
namespace ptxgen::kernels {

/// Low nibbles are output 2i, high nibbles output 2i + 1, sixteen times too large.
inline constexpr RingCodeLayout ring_nibbles{4, false, 1, 2, {{0, 1, {{0, 0, 4, 0}}}, {4, 1, {{0, 4, 4, 4}}}}};

/// Bits 2 to 7 of three words are three outputs; their bits 0 and 1 are the fourth.
inline constexpr RingCodeLayout ring_sixes{6,
                                           true,
                                           3,
                                           4,
                                           {{2, 1, {{0, 2, 6, 2}}},
                                            {2, 1, {{1, 2, 6, 2}}},
                                            {2, 1, {{2, 2, 6, 2}}},
                                            {2, 3, {{0, 0, 2, 6}, {1, 0, 2, 4}, {2, 0, 2, 2}}}}};

/// Bits 3 to 7 of five words are five outputs; their bits 0 to 2 are the other three.
inline constexpr RingCodeLayout ring_fives{5,
                                           true,
                                           5,
                                           8,
                                           {{3, 1, {{0, 3, 5, 3}}},
                                            {3, 1, {{1, 3, 5, 3}}},
                                            {3, 1, {{2, 3, 5, 3}}},
                                            {3, 1, {{3, 3, 5, 3}}},
                                            {3, 1, {{4, 3, 5, 3}}},
                                            {3, 2, {{0, 0, 3, 5}, {1, 0, 2, 3}}},
                                            {3, 2, {{2, 0, 3, 5}, {3, 0, 2, 3}}},
                                            {3, 3, {{4, 0, 3, 5}, {1, 2, 1, 4}, {3, 2, 1, 3}}}}};

inline constexpr RingCodeLayout ring_bytes_layout{8, true, 1, 1, {{0, 1, {{0, 0, 8, 0}}}}};

} // namespace ptxgen::kernels
