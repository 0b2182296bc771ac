// A driver for tests that need no GPU: a shared library with the symbols of libcuda.so.1, whose state the tests set
// and read through fake_cuda().
#include "fake_libcuda.hpp"

#include "runtime/cuda/abi.hpp"

#include <cstdlib>
#include <cstring>

using namespace ptxgen::cuda::abi;

namespace {

FakeCuda fake;

struct FakeModule {
    std::string text;
};
struct FakeLink {
    std::string text;
    std::string cubin;
    char* error_log = nullptr;
};
struct FakeFunction {
    std::string name;
};
std::map<std::string, FakeFunction> functions;
char primary_contexts[8];

/// Notes the call; a code other than success is what the test wants it to return.
Code enter(const char* symbol) {
    fake.calls.emplace_back(symbol);
    const auto found = fake.failures.find(symbol);
    return found == fake.failures.end() ? Code::success : static_cast<Code>(found->second);
}

/// Calls that need a current context fail as the driver's do.
Code enter_in_context(const char* symbol) {
    const auto code = enter(symbol);
    if (code == Code::success && fake.current.empty()) return static_cast<Code>(201);
    return code;
}

#define ENTER                                                                                                          \
    if (const auto code = enter(__func__); code != Code::success) return code
#define ENTER_IN_CONTEXT                                                                                               \
    if (const auto code = enter_in_context(__func__); code != Code::success) return code

constexpr char bad_word[] = "BAD";
constexpr char cubin_prefix[] = "CUBIN:";

/// The fake compiler: a line with the word BAD is an error.
Code compile(const std::string& text, char* error_log) {
    const auto at = text.find(bad_word);
    if (at == std::string::npos) return Code::success;
    int line = 1;
    for (std::size_t i = 0; i < at; ++i) line += text[i] == '\n';
    if (error_log)
        std::strcpy(error_log, ("ptxas application ptx input, line " + std::to_string(line) +
                                "; error   : Not a name of any known instruction: 'BAD'\n"
                                "ptxas fatal   : Ptx assembly aborted due to errors")
                                   .c_str());
    return Code::invalid_ptx;
}

char* read_options(unsigned count, JitOption* options, void** values) {
    char* log = nullptr;
    for (unsigned i = 0; i < count; ++i) {
        if (options[i] == JitOption::error_log_buffer) log = static_cast<char*>(values[i]);
        if (options[i] == JitOption::target)
            fake.jit_target = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(values[i]));
    }
    return log;
}

FakeCuda::Launch& record(const char* symbol, Function function, void** values) {
    auto& launch = fake.launches.emplace_back();
    launch.symbol = symbol;
    launch.kernel = reinterpret_cast<FakeFunction*>(function)->name;
    launch.context = fake.current.back();
    const auto& sizes = fake.kernels[launch.kernel];
    for (std::size_t i = 0; i < sizes.size(); ++i)
        launch.arguments.emplace_back(static_cast<const char*>(values[i]), sizes[i]);
    return launch;
}

void set_shape(FakeCuda::Launch& launch, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
               unsigned shared, void* stream) {
    const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    std::memcpy(launch.grid, grid, sizeof grid);
    std::memcpy(launch.block, block, sizeof block);
    launch.shared_bytes = shared;
    launch.stream = stream;
}

template <class Handle>
Handle make_handle(int& live) {
    ++live;
    return reinterpret_cast<Handle>(new char);
}
template <class Handle>
Code drop_handle(Handle handle, int& live) {
    --live;
    delete reinterpret_cast<char*>(handle);
    return Code::success;
}

} // namespace

extern "C" {

FakeCuda* fake_cuda() { return &fake; }

Code cuInit(unsigned) {
    ENTER;
    return Code::success;
}
Code cuDriverGetVersion(int* version) {
    ENTER;
    *version = fake.driver_version;
    return Code::success;
}
Code cuGetErrorName(Code code, const char** name) {
    switch (static_cast<unsigned>(code)) {
    case 2: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case 218: *name = "CUDA_ERROR_INVALID_PTX"; break;
    case 222: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    case 700: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case 720: *name = "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"; break;
    case 12345: return Code::invalid_value;
    default: *name = "CUDA_ERROR_OTHER";
    }
    return Code::success;
}
Code cuGetErrorString(Code code, const char** text) {
    if (static_cast<unsigned>(code) == 12345) return Code::invalid_value;
    *text = "the description";
    return Code::success;
}

Code cuDeviceGetCount(int* count) {
    ENTER;
    *count = fake.device_count;
    return Code::success;
}
Code cuDeviceGet(Device* device, int ordinal) {
    ENTER;
    *device = ordinal;
    return Code::success;
}
Code cuDeviceGetName(char* name, int, Device device) {
    ENTER;
    std::strcpy(name, ("Fake GPU " + std::to_string(device)).c_str());
    return Code::success;
}
Code cuDeviceGetAttribute(int* value, DeviceAttribute attribute, Device) {
    ENTER;
    switch (attribute) {
    case DeviceAttribute::max_threads_per_block: *value = 1024; break;
    case DeviceAttribute::max_shared_memory_per_block: *value = 48 * 1024; break;
    case DeviceAttribute::multiprocessor_count: *value = 10; break;
    case DeviceAttribute::l2_cache_size: *value = 1 << 20; break;
    case DeviceAttribute::max_threads_per_multiprocessor: *value = 2048; break;
    case DeviceAttribute::compute_capability_major: *value = fake.capability_major; break;
    case DeviceAttribute::compute_capability_minor: *value = fake.capability_minor; break;
    case DeviceAttribute::max_shared_memory_per_multiprocessor: *value = 228 * 1024; break;
    case DeviceAttribute::cooperative_launch: *value = 1; break;
    case DeviceAttribute::max_shared_memory_per_block_optin: *value = 227 * 1024; break;
    case DeviceAttribute::cluster_launch:
        if (!fake.knows_clusters) return Code::invalid_value;
        *value = fake.cluster_launch;
        break;
    }
    return Code::success;
}
Code cuDeviceTotalMem_v2(std::size_t* bytes, Device) {
    ENTER;
    *bytes = 1000000;
    return Code::success;
}

Code cuDevicePrimaryCtxRetain(Context* context, Device device) {
    ENTER;
    *context = reinterpret_cast<Context>(&primary_contexts[device]);
    ++fake.retained[*context];
    return Code::success;
}
Code cuDevicePrimaryCtxRelease_v2(Device device) {
    ENTER;
    --fake.retained[&primary_contexts[device]];
    return Code::success;
}
Code cuCtxPushCurrent_v2(Context context) {
    ENTER;
    fake.current.push_back(context);
    return Code::success;
}
Code cuCtxPopCurrent_v2(Context* context) {
    ENTER_IN_CONTEXT;
    *context = static_cast<Context>(fake.current.back());
    fake.current.pop_back();
    return Code::success;
}
Code cuCtxGetCurrent(Context* context) {
    ENTER;
    *context = fake.current.empty() ? nullptr : static_cast<Context>(fake.current.back());
    return Code::success;
}
Code cuCtxGetDevice(Device* device) {
    ENTER_IN_CONTEXT;
    *device = 1;
    return Code::success;
}
Code cuStreamGetCtx(Stream stream, Context* context) {
    ENTER_IN_CONTEXT;
    // A test's own stream handle is the address of its context's handle.
    *context = *reinterpret_cast<Context*>(stream);
    return Code::success;
}

Code cuMemAlloc_v2(DevicePtr* address, std::size_t bytes) {
    ENTER_IN_CONTEXT;
    fake.capture_modes_at_alloc.push_back(fake.capture_mode);
    void* data = std::malloc(bytes);
    fake.allocations[data] = bytes;
    *address = reinterpret_cast<DevicePtr>(data);
    return Code::success;
}
Code cuMemFree_v2(DevicePtr address) {
    ENTER_IN_CONTEXT;
    void* data = reinterpret_cast<void*>(address);
    if (fake.allocations.erase(data) == 0) return Code::invalid_value;
    std::free(data);
    return Code::success;
}
Code cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total) {
    ENTER_IN_CONTEXT;
    *free_bytes = 4000, *total = 1000000;
    return Code::success;
}
Code cuMemHostAlloc(void** data, std::size_t bytes, unsigned) {
    ENTER_IN_CONTEXT;
    *data = std::malloc(bytes);
    fake.allocations[*data] = bytes;
    return Code::success;
}
Code cuMemFreeHost(void* data) {
    ENTER_IN_CONTEXT;
    if (fake.allocations.erase(data) == 0) return Code::invalid_value;
    std::free(data);
    return Code::success;
}
Code cuMemHostGetDevicePointer_v2(DevicePtr* address, void* data, unsigned) {
    ENTER_IN_CONTEXT;
    *address = reinterpret_cast<DevicePtr>(data);
    return Code::success;
}
Code cuMemcpyHtoDAsync_v2(DevicePtr target, const void* source, std::size_t bytes, Stream) {
    ENTER_IN_CONTEXT;
    std::memcpy(reinterpret_cast<void*>(target), source, bytes);
    return Code::success;
}
Code cuMemcpyDtoHAsync_v2(void* target, DevicePtr source, std::size_t bytes, Stream) {
    ENTER_IN_CONTEXT;
    std::memcpy(target, reinterpret_cast<void*>(source), bytes);
    return Code::success;
}
Code cuMemcpyDtoDAsync_v2(DevicePtr target, DevicePtr source, std::size_t bytes, Stream) {
    ENTER_IN_CONTEXT;
    std::memmove(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes);
    return Code::success;
}
Code cuMemsetD8Async(DevicePtr target, unsigned char value, std::size_t bytes, Stream) {
    ENTER_IN_CONTEXT;
    std::memset(reinterpret_cast<void*>(target), value, bytes);
    return Code::success;
}

Code cuModuleLoadDataEx(Module* module, const void* image, unsigned count, JitOption* options, void** values) {
    ENTER_IN_CONTEXT;
    const std::string text = static_cast<const char*>(image);
    if (text.rfind(cubin_prefix, 0) != 0) {
        if (text.rfind(".version", 0) != 0) return static_cast<Code>(200);
        if (const auto code = compile(text, read_options(count, options, values)); code != Code::success) return code;
    }
    ++fake.modules;
    *module = reinterpret_cast<Module>(new FakeModule{text});
    return Code::success;
}
Code cuModuleUnload(Module module) {
    ENTER_IN_CONTEXT;
    --fake.modules;
    delete reinterpret_cast<FakeModule*>(module);
    return Code::success;
}
Code cuModuleGetFunction(Function* function, Module, const char* name) {
    ENTER_IN_CONTEXT;
    if (!fake.kernels.count(name)) return Code::not_found;
    *function = reinterpret_cast<Function>(&functions.emplace(name, FakeFunction{name}).first->second);
    return Code::success;
}
Code cuModuleGetGlobal_v2(DevicePtr* address, std::size_t* bytes, Module, const char* name) {
    ENTER_IN_CONTEXT;
    const auto found = fake.globals.find(name);
    if (found == fake.globals.end()) return Code::not_found;
    *address = found->second.first, *bytes = found->second.second;
    return Code::success;
}
Code cuLinkCreate_v2(unsigned count, JitOption* options, void** values, LinkState* state) {
    ENTER_IN_CONTEXT;
    ++fake.links;
    auto* link = new FakeLink;
    link->error_log = read_options(count, options, values);
    *state = reinterpret_cast<LinkState>(link);
    return Code::success;
}
Code cuLinkAddData_v2(LinkState state, JitInput, void* data, std::size_t bytes, const char*, unsigned, JitOption*,
                      void**) {
    ENTER_IN_CONTEXT;
    auto& link = *reinterpret_cast<FakeLink*>(state);
    link.text.assign(static_cast<const char*>(data), bytes);
    return compile(link.text, link.error_log);
}
Code cuLinkComplete(LinkState state, void** cubin, std::size_t* bytes) {
    ENTER_IN_CONTEXT;
    auto& link = *reinterpret_cast<FakeLink*>(state);
    link.cubin = cubin_prefix + link.text;
    *cubin = link.cubin.data(), *bytes = link.cubin.size();
    return Code::success;
}
Code cuLinkDestroy(LinkState state) {
    ENTER_IN_CONTEXT;
    --fake.links;
    delete reinterpret_cast<FakeLink*>(state);
    return Code::success;
}

Code cuFuncGetAttribute(int* value, FunctionAttribute attribute, Function) {
    ENTER_IN_CONTEXT;
    switch (attribute) {
    case FunctionAttribute::max_threads_per_block: *value = fake.max_threads_per_block; break;
    case FunctionAttribute::shared_size_bytes: *value = fake.static_shared_bytes; break;
    case FunctionAttribute::local_size_bytes: *value = 16; break;
    case FunctionAttribute::num_regs: *value = 32; break;
    case FunctionAttribute::max_dynamic_shared_size_bytes: *value = 48 * 1024 - fake.static_shared_bytes; break;
    case FunctionAttribute::non_portable_cluster_size_allowed: *value = 0; break;
    }
    return Code::success;
}
Code cuFuncSetAttribute(Function function, FunctionAttribute attribute, int value) {
    ENTER_IN_CONTEXT;
    const auto& name = reinterpret_cast<FakeFunction*>(function)->name;
    fake.function_attributes[name + "/" + std::to_string(static_cast<unsigned>(attribute))] = value;
    return Code::success;
}
Code cuFuncGetParamInfo(Function function, std::size_t index, std::size_t* offset, std::size_t* bytes) {
    ENTER_IN_CONTEXT;
    const auto& sizes = fake.kernels[reinterpret_cast<FakeFunction*>(function)->name];
    if (index >= sizes.size()) return Code::invalid_value;
    *offset = 8 * index, *bytes = sizes[index];
    return Code::success;
}
Code cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function, int, std::size_t) {
    ENTER_IN_CONTEXT;
    *blocks = fake.resident_blocks;
    return Code::success;
}
Code cuLaunchKernel(Function function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                    unsigned shared, Stream stream, void** values, void**) {
    ENTER_IN_CONTEXT;
    set_shape(record(__func__, function, values), gx, gy, gz, bx, by, bz, shared, stream);
    return Code::success;
}
Code cuLaunchCooperativeKernel(Function function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared, Stream stream, void** values) {
    ENTER_IN_CONTEXT;
    auto& launch = record(__func__, function, values);
    set_shape(launch, gx, gy, gz, bx, by, bz, shared, stream);
    launch.cooperative = true;
    return Code::success;
}
Code cuLaunchKernelEx(const LaunchConfig* config, Function function, void** values, void**) {
    ENTER_IN_CONTEXT;
    auto& launch = record(__func__, function, values);
    set_shape(launch, config->grid_x, config->grid_y, config->grid_z, config->block_x, config->block_y, config->block_z,
              config->shared_bytes, config->stream);
    for (unsigned i = 0; i < config->attribute_count; ++i) {
        const auto& attribute = config->attributes[i];
        if (attribute.id == LaunchAttributeId::cooperative) launch.cooperative = attribute.value.cooperative != 0;
        if (attribute.id == LaunchAttributeId::cluster_dimension)
            std::memcpy(launch.cluster, &attribute.value.cluster_dim, sizeof launch.cluster);
    }
    return Code::success;
}

Code cuStreamCreate(Stream* stream, unsigned) {
    ENTER_IN_CONTEXT;
    *stream = make_handle<Stream>(fake.streams);
    return Code::success;
}
Code cuStreamDestroy_v2(Stream stream) {
    ENTER_IN_CONTEXT;
    return drop_handle(stream, fake.streams);
}
Code cuStreamSynchronize(Stream) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuStreamWaitEvent(Stream, Event, unsigned) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuEventCreate(Event* event, unsigned) {
    ENTER_IN_CONTEXT;
    *event = make_handle<Event>(fake.events);
    return Code::success;
}
Code cuEventDestroy_v2(Event event) {
    ENTER_IN_CONTEXT;
    return drop_handle(event, fake.events);
}
Code cuEventRecord(Event, Stream) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuEventQuery(Event) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuEventSynchronize(Event) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuEventElapsedTime(float* milliseconds, Event, Event) {
    ENTER_IN_CONTEXT;
    *milliseconds = 1.5f;
    return Code::success;
}

Code cuStreamBeginCapture_v2(Stream, CaptureMode mode) {
    ENTER_IN_CONTEXT;
    fake.capture_mode = static_cast<int>(mode);
    return Code::success;
}
Code cuStreamEndCapture(Stream, Graph* graph) {
    ENTER_IN_CONTEXT;
    fake.capture_mode = 0;
    *graph = make_handle<Graph>(fake.graphs);
    return Code::success;
}
Code cuThreadExchangeStreamCaptureMode(CaptureMode* mode) {
    ENTER;
    const int old = fake.capture_mode;
    fake.capture_mode = static_cast<int>(*mode);
    *mode = static_cast<CaptureMode>(old);
    return Code::success;
}
Code cuGraphInstantiateWithFlags(GraphExec* exec, Graph, unsigned long long) {
    ENTER_IN_CONTEXT;
    *exec = make_handle<GraphExec>(fake.graphs);
    return Code::success;
}
Code cuGraphLaunch(GraphExec, Stream) {
    ENTER_IN_CONTEXT;
    return Code::success;
}
Code cuGraphExecDestroy(GraphExec exec) {
    ENTER_IN_CONTEXT;
    return drop_handle(exec, fake.graphs);
}
Code cuGraphDestroy(Graph graph) {
    ENTER_IN_CONTEXT;
    return drop_handle(graph, fake.graphs);
}

} // extern "C"
