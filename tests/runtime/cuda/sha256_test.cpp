#include "runtime/cuda/sha256.hpp"

#include <doctest/doctest.h>

using ptxgen::cuda::Sha256;
using ptxgen::cuda::to_hex;

namespace {
std::string hash(std::string_view text) {
    Sha256 sha;
    sha.update(std::as_bytes(std::span(text)));
    return to_hex(sha.finish());
}
} // namespace

TEST_CASE("sha-256 of NIST's example messages") {
    // FIPS 180-4 examples (NIST CSRC, "SHA256.pdf") and the Secure Hash Standard Validation System's long message.
    CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hash(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha-256 does not depend on how its input is cut") {
    const std::string text(200, 'x');
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        Sha256 sha;
        const auto bytes = std::as_bytes(std::span(text));
        sha.update(bytes.first(cut));
        sha.update(bytes.subspan(cut));
        CHECK(to_hex(sha.finish()) == hash(text));
    }
}

TEST_CASE("fields of a key do not run together") {
    Sha256 one, other;
    one.update_field("ab"), one.update_field("c");
    other.update_field("a"), other.update_field("bc");
    CHECK(one.finish() != other.finish());
}
