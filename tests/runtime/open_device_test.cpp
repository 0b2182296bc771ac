#include "runtime/open_device.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace ptxgen::runtime;

TEST_CASE("the emulator is there for whoever asks") {
    const auto opened = open_device({.choice = DeviceChoice::emulator});
    REQUIRE(opened);
    CHECK(opened->device->properties().is_emulator);
    CHECK(opened->note == "");
}

TEST_CASE("without a GPU, auto is the emulator with a note, and cuda an error") {
    const auto automatic = open_device();
    const auto cuda = open_device({.choice = DeviceChoice::cuda});
    REQUIRE(automatic);
    CHECK(automatic->device->properties().is_emulator == !cuda.ok());
    CHECK(automatic->note.empty() == cuda.ok());
    if (cuda) {
        CHECK_FALSE(open_device({.gpu = 1000000}).ok());
        return;
    }
    CHECK(automatic->note == "no usable GPU, running on the CPU emulator: " + cuda.error().message);
    CHECK(automatic->note.find('\n') == std::string::npos);
}

TEST_CASE("names of devices") {
    CHECK(*parse_device_choice("auto") == DeviceChoice::automatic);
    CHECK(*parse_device_choice("cuda") == DeviceChoice::cuda);
    CHECK(*parse_device_choice("emulator") == DeviceChoice::emulator);
    CHECK(parse_device_choice("gpu").error().message == "no device 'gpu': it is auto, cuda or emulator");
}
