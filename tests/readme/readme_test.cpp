// README's C++ compiles and gives PTX. readme_example.inc is its code block, put into the build folder by CMake.
#include "readme_example.inc"

#include <doctest/doctest.h>

TEST_CASE("README's example builds, and its text is verified PTX") {
    const auto text = axpy();
    REQUIRE_MESSAGE(text.ok(), text.error().message);
    CHECK(text->find(".entry axpy") != std::string::npos);
    const auto parsed = parse(*text);
    CHECK(parsed.ok());
    CHECK(parsed.module.functions.size() == 1);
    CHECK(parsed.module.functions[0].parameters.size() == 4);
}
