// Uses what the runtime links: a device, and the tokenizer, which needs the regular expressions of PCRE2.
#include <runtime/inference/tokenizer.hpp>
#include <runtime/open_device.hpp>

#include <cstdio>

using namespace ptxgen;

int main() {
    const auto opened = runtime::open_device({.choice = runtime::DeviceChoice::emulator});
    if (!opened) return std::fprintf(stderr, "%s\n", opened.error().message.c_str()), 1;
    runtime::Device& device = *opened->device;

    const auto module = device.load(".version 6.4\n.target sm_75\n.address_size 64\n"
                                    ".visible .entry seven(.param .u64 out) {\n"
                                    ".reg .b64 %rd<2>;\n"
                                    "ld.param.u64 %rd1, [out];\n"
                                    "st.global.u32 [%rd1], 7;\n"
                                    "ret;\n}\n");
    if (!module) return std::fprintf(stderr, "%s\n", module.error().message.c_str()), 1;
    auto kernel = (*module)->kernel("seven");
    auto buffer = device.allocate(4);
    unsigned value = 0;
    if (!kernel || !buffer || !device.stream().launch(**kernel, {}, {buffer->address()}) ||
        !device.stream().copy_to_host(&value, buffer->address(), 4) || !device.stream().synchronize() || value != 7)
        return std::fprintf(stderr, "the kernel wrote %u\n", value), 1;

    const auto file = gguf::File::open("no-such-model.gguf");
    return file.ok() && Tokenizer::load(*file).ok();
}
