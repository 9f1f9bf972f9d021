// A stand-in for the CUDA driver: `libcuda.so` with the calls our backend makes, on ordinary memory, running the
// kernels' own sources (kernels.cpp). Streams are real threads that work in order and wait a little, at random,
// before each piece of work, so that a wait that is missing shows. A launch is held to the PTX it was loaded from:
// the kernel must be in it, and count and sizes of its parameters must be those of the source. Addresses must lie in
// memory of the device.
//
// EDDY_CUDA_SEED=n      seeds delays and the order of fibers (default 1)
// EDDY_CUDA_FAIL=call:n fails the n-th call of that name, from 1, and all that follow with `call:n+`; several by commas
// EDDY_CUDA_DRIVER=n    version of the driver, EDDY_CUDA_CAPABILITY=75 the GPU's
// EDDY_CUDA_PLANT=fault makes it lie, to show that a test would see it: `no_stream_wait` (a stream does not wait for
//                       the event), `no_event_wait` (the host does not: it reads and writes slots in flight),
//                       `no_context_wait` (nor for copies of weights), `swapped` (two arguments of a launch),
//                       `no_append` (what is new does not reach the rings)
// EDDY_CUDA_REPORT=file counts of calls, launches, windows that were scored and explained, and bytes, written at exit
//
// EDDY_CUDA_MEMORY=n    bytes of its memory (default 1 GiB)
//
// A stream that is recorded for a graph keeps its work instead of doing it; each launch of the graph does it again. Its
// events are recorded when their turn comes: who waits for one right after the launch waits for that of the launch before.
//
// Limits: one device and one context; no virtual addresses, pools, peers or textures; of graphs no branches and no changes; copies and kernels of
// one stream never overlap, those of two run in two threads; cuCtxSynchronize waits for copies from memory that is
// not pinned alone; memory of the device is the host's, so that a host pointer used on it, or the other way, is found
// by the list of allocations alone; a swapped pair of arguments is found where one of them is an address and the
// other is not, and else by a wrong result; an error is given by the call that meets it, or by all that follow where
// it arises in a stream. PTX is read for its entries' parameters and not run: that it does what its source does is
// NVRTC's word. Nothing here says how fast.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "kernels.h"

namespace {

using Clock = std::chrono::steady_clock;

// Place of the number of rows among the parameters of `forward`.
const size_t FORWARD_ROWS = 4;

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
};

const char* environment(const char* name, const char* otherwise) {
    const char* value = std::getenv(name);
    return value ? value : otherwise;
}

// All that the driver knows.
struct Driver {
    std::mutex mutex;
    std::map<std::string, uint64_t> calls;
    std::map<uintptr_t, size_t> device, pinned;
    uint64_t seed = std::strtoull(environment("EDDY_CUDA_SEED", "1"), nullptr, 10);
    uint64_t launches = 0, graphs = 0, blocks = 0, windows = 0, explained = 0, up = 0, down = 0, allocated = 0, allocated_most = 0;
    int contexts = 0;
    // Of a stream: given by all calls that follow, until the context is gone.
    std::atomic<int> sticky{SUCCESS};

    ~Driver() {
        const char* path = std::getenv("EDDY_CUDA_REPORT");
        FILE* file = path ? std::fopen(path, "w") : nullptr;
        if (!file) return;
        for (const auto& call : calls) std::fprintf(file, "%s %llu\n", call.first.c_str(), (unsigned long long)call.second);
        const std::pair<const char*, uint64_t> counts[] = {
            {"launches", launches},  {"graphs", graphs},          {"blocks", blocks},          {"windows", windows},
            {"explained", explained},
            {"up_bytes", up},        {"down_bytes", down},        {"device_bytes", allocated},
            {"device_bytes_max", allocated_most}};
        for (const auto& count : counts) std::fprintf(file, "%s %llu\n", count.first, (unsigned long long)count.second);
        std::fclose(file);
    }
};

Driver& driver() {
    static Driver one;
    return one;
}

thread_local bool context_is_current = false;

size_t memory_bytes() { return std::strtoull(environment("EDDY_CUDA_MEMORY", "1073741824"), nullptr, 10); }

// Counts a call; what it must fail with, if it must.
int enter(const char* call, int failure, bool wants_context = true) {
    Driver& of = driver();
    std::lock_guard<std::mutex> lock(of.mutex);
    const uint64_t count = ++of.calls[call];
    std::istringstream fails(environment("EDDY_CUDA_FAIL", ""));
    for (std::string fail; std::getline(fails, fail, ',');) {
        const size_t colon = fail.find(':');
        if (colon == std::string::npos || fail.substr(0, colon) != call) continue;
        const uint64_t at = std::strtoull(fail.c_str() + colon + 1, nullptr, 10);
        if (count == at || (fail.back() == '+' && count > at)) return failure;
    }
    if (wants_context && !context_is_current) return INVALID_CONTEXT;
    return wants_context ? of.sticky.load() : int(SUCCESS);
}

bool planted(const char* fault) { return std::strcmp(environment("EDDY_CUDA_PLANT", ""), fault) == 0; }

// Whether `bytes` from `at` on lie in one of these allocations.
bool within(const std::map<uintptr_t, size_t>& allocations, uintptr_t at, size_t bytes) {
    auto next = allocations.upper_bound(at);
    if (next == allocations.begin()) return false;
    --next;
    return at + bytes <= next->first + next->second;
}

struct Event {
    std::mutex mutex;
    std::condition_variable changed;
    // Records asked for and done.
    uint64_t asked = 0, done = 0;
    Clock::time_point time;
};

using Recording = std::vector<std::function<void()>>;

struct Stream {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> work;
    // While it is recorded.
    std::unique_ptr<Recording> recording;
    bool ends = false, busy = false;
    std::mt19937_64 random;
    std::thread thread;

    explicit Stream(uint64_t seed) : random(seed), thread([this] { run(); }) {}

    void run() {
        for (;;) {
            std::function<void()> next;
            {
                std::unique_lock<std::mutex> lock(mutex);
                changed.wait(lock, [this] { return ends || !work.empty(); });
                if (work.empty()) return;
                next = std::move(work.front());
                work.pop_front();
                busy = true;
            }
            const uint64_t drawn = random();
            if (drawn % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(drawn / 4 % 300));
            next();
            std::lock_guard<std::mutex> lock(mutex);
            busy = false;
            changed.notify_all();
        }
    }

    void push(std::function<void()> next) {
        std::lock_guard<std::mutex> lock(mutex);
        if (recording) return recording->push_back(std::move(next));
        work.push_back(std::move(next));
        changed.notify_all();
    }

    void drain() {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [this] { return work.empty() && !busy; });
    }
};

// Where copies from memory that is not pinned are done, after the call has returned: as on a real one no other stream waits
// for it.
Stream& late_copies() {
    static Stream* one = new Stream(4711);
    return *one;
}

struct Module {
    // Sizes of the parameters of each entry.
    std::map<std::string, std::vector<size_t>> entries;
};

size_t size_of_type(const std::string& type) {
    return type.size() > 2 ? std::strtoul(type.c_str() + 2, nullptr, 10) / 8 : 0;
}

// `.visible .entry name( .param .u64 name_param_0, ... )`
std::map<std::string, std::vector<size_t>> entries_of(const std::string& ptx) {
    std::map<std::string, std::vector<size_t>> found;
    const std::string mark = ".visible .entry ";
    for (size_t at = ptx.find(mark); at != std::string::npos; at = ptx.find(mark, at + 1)) {
        const size_t open = ptx.find('(', at), close = ptx.find(')', open);
        const std::string name = ptx.substr(at + mark.size(), open - at - mark.size());
        std::istringstream words(ptx.substr(open + 1, close - open - 1));
        std::vector<size_t>& sizes = found[name];
        for (std::string word; words >> word;) {
            if (word == ".param" && words >> word) sizes.push_back(size_of_type(word));
        }
    }
    return found;
}

// Copies of the arguments: a launch may outlive the caller's.
struct Launch {
    const Kernel* kernel;
    std::vector<uint64_t> values;
    Dim3 grid, block;
    unsigned shared;
    uint64_t seed;

    void run() {
        std::vector<void*> arguments;
        for (uint64_t& value : values) arguments.push_back(&value);
        if (!count()) return;
        if (planted("no_append") && std::strcmp(kernel->name, "append") == 0) return;
        const char* wrong = emulator::run(kernel->body, kernel->function, arguments.data(), grid, block, shared, seed);
        if (wrong) {
            std::fprintf(stderr, "libcuda (stand-in): %s: %s\n", kernel->name, wrong);
            driver().sticky = LAUNCH_FAILED;
        }
        seed++;
    }

    // Whether all that it names is there.
    bool count() {
        Driver& of = driver();
        std::lock_guard<std::mutex> lock(of.mutex);
        for (size_t at = 0; at < values.size(); at++) {
            if (!kernel->addresses[at] || within(of.device, values[at], 1)) continue;
            std::fprintf(stderr, "libcuda (stand-in): argument %zu of %s is no address\n", at, kernel->name);
            of.sticky = ILLEGAL_ADDRESS;
            return false;
        }
        of.launches++;
        of.blocks += uint64_t(grid.x) * grid.y * grid.z;
        if (std::strncmp(kernel->name, "forward_", 8) == 0) of.windows += values[FORWARD_ROWS];
        if (std::strcmp(kernel->name, "expect") == 0) of.explained += grid.x;
        return true;
    }
};

struct Graph {
    Recording work;
};

}  // namespace

extern "C" {

typedef uint64_t CUdeviceptr;

int cuGetErrorName(int error, const char** name) {
    static const std::map<int, const char*> names = {
        {SUCCESS, "CUDA_SUCCESS"},
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {NOT_READY, "CUDA_ERROR_NOT_READY"},
        {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
    };
    const auto found = names.find(error);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? INVALID_VALUE : SUCCESS;
}

int cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

int cuInit(unsigned) { return enter("cuInit", NO_DEVICE, false); }

int cuDriverGetVersion(int* version) {
    *version = std::atoi(environment("EDDY_CUDA_DRIVER", "12020"));
    return enter("cuDriverGetVersion", INVALID_VALUE, false);
}

int cuDeviceGet(int* device, int ordinal) {
    *device = 0;
    const int failed = enter("cuDeviceGet", NO_DEVICE, false);
    return ordinal == 0 ? failed : int(INVALID_VALUE);
}

int cuDeviceGetCount(int* count) {
    *count = 1;
    return enter("cuDeviceGetCount", NO_DEVICE, false);
}

int cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, length, "stand-in for a GPU");
    return enter("cuDeviceGetName", INVALID_VALUE, false);
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    const int capability = std::atoi(environment("EDDY_CUDA_CAPABILITY", "75"));
    switch (attribute) {
        case 75: *value = capability / 10; break;
        case 76: *value = capability % 10; break;
        case 97: *value = 64 * 1024; break;
        default: return NOT_FOUND;
    }
    return enter("cuDeviceGetAttribute", INVALID_VALUE, false);
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory_bytes();
    return enter("cuDeviceTotalMem", INVALID_VALUE, false);
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
    if (const int failed = enter("cuMemGetInfo", INVALID_VALUE)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    *total = memory_bytes(), *free = *total - driver().allocated;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
    if (const int failed = enter("cuDevicePrimaryCtxRetain", OUT_OF_MEMORY, false)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    driver().contexts++;
    *context = &driver();
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) {
    const int failed = enter("cuDevicePrimaryCtxRelease", INVALID_CONTEXT, false);
    std::lock_guard<std::mutex> lock(driver().mutex);
    if (--driver().contexts == 0) driver().sticky = SUCCESS;
    return failed;
}

int cuCtxSetCurrent(void* context) {
    context_is_current = context == &driver();
    return enter("cuCtxSetCurrent", INVALID_CONTEXT, false);
}

int cuStreamCreate(void** stream, unsigned) {
    if (const int failed = enter("cuStreamCreate", OUT_OF_MEMORY)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    *stream = new Stream(driver().seed += 77);
    return SUCCESS;
}

int cuStreamDestroy_v2(void* raw) {
    Stream* stream = (Stream*)raw;
    {
        std::lock_guard<std::mutex> lock(stream->mutex);
        stream->ends = true;
        stream->changed.notify_all();
    }
    stream->thread.join();
    delete stream;
    return enter("cuStreamDestroy", INVALID_VALUE, false);
}

int cuStreamSynchronize(void* stream) {
    ((Stream*)stream)->drain();
    return enter("cuStreamSynchronize", LAUNCH_FAILED);
}

int cuStreamWaitEvent(void* stream, void* raw, unsigned) {
    if (const int failed = enter("cuStreamWaitEvent", INVALID_VALUE)) return failed;
    if (((Stream*)stream)->recording) return INVALID_VALUE;
    if (planted("no_stream_wait")) return SUCCESS;
    Event* event = (Event*)raw;
    std::lock_guard<std::mutex> lock(event->mutex);
    ((Stream*)stream)->push([event, until = event->asked] {
        std::unique_lock<std::mutex> lock(event->mutex);
        event->changed.wait(lock, [&] { return event->done >= until; });
    });
    return SUCCESS;
}

int cuEventCreate(void** event, unsigned) {
    if (const int failed = enter("cuEventCreate", OUT_OF_MEMORY)) return failed;
    *event = new Event;
    return SUCCESS;
}

int cuEventDestroy_v2(void* event) {
    delete (Event*)event;
    return enter("cuEventDestroy", INVALID_VALUE, false);
}

int cuEventRecord(void* raw, void* stream) {
    if (const int failed = enter("cuEventRecord", INVALID_VALUE)) return failed;
    if (((Stream*)stream)->recording) return INVALID_VALUE;
    Event* event = (Event*)raw;
    std::lock_guard<std::mutex> lock(event->mutex);
    event->asked++;
    ((Stream*)stream)->push([event] {
        std::lock_guard<std::mutex> lock(event->mutex);
        event->done++;
        event->time = Clock::now();
        event->changed.notify_all();
    });
    return SUCCESS;
}

// Of a recorded stream: asked for and done when its turn comes.
int cuEventRecordWithFlags(void* raw, void* stream, unsigned flags) {
    if (const int failed = enter("cuEventRecordWithFlags", INVALID_VALUE)) return failed;
    if (flags != 1 || !((Stream*)stream)->recording) return INVALID_VALUE;
    Event* event = (Event*)raw;
    ((Stream*)stream)->push([event] {
        std::lock_guard<std::mutex> lock(event->mutex);
        event->asked++, event->done++;
        event->time = Clock::now();
        event->changed.notify_all();
    });
    return SUCCESS;
}

int cuStreamBeginCapture_v2(void* raw, int mode) {
    if (const int failed = enter("cuStreamBeginCapture", INVALID_VALUE)) return failed;
    Stream* stream = (Stream*)raw;
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (mode != 1 || stream->recording) return INVALID_VALUE;
    stream->recording.reset(new Recording);
    return SUCCESS;
}

int cuStreamEndCapture(void* raw, void** graph) {
    Stream* stream = (Stream*)raw;
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (!stream->recording) return INVALID_VALUE;
    *graph = new Graph{std::move(*stream->recording)};
    stream->recording.reset();
    return enter("cuStreamEndCapture", INVALID_VALUE);
}

int cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long flags) {
    if (const int failed = enter("cuGraphInstantiate", OUT_OF_MEMORY)) return failed;
    *exec = new Graph(*(Graph*)graph);
    return flags == 0 ? SUCCESS : INVALID_VALUE;
}

int cuGraphLaunch(void* exec, void* stream) {
    if (const int failed = enter("cuGraphLaunch", LAUNCH_FAILED)) return failed;
    for (const auto& piece : ((Graph*)exec)->work) ((Stream*)stream)->push(piece);
    std::lock_guard<std::mutex> lock(driver().mutex);
    driver().graphs++;
    return SUCCESS;
}

int cuGraphDestroy(void* graph) {
    delete (Graph*)graph;
    return enter("cuGraphDestroy", INVALID_VALUE, false);
}

int cuGraphExecDestroy(void* exec) {
    delete (Graph*)exec;
    return enter("cuGraphExecDestroy", INVALID_VALUE, false);
}

int cuEventSynchronize(void* raw) {
    Event* event = (Event*)raw;
    if (!planted("no_event_wait")) {
        std::unique_lock<std::mutex> lock(event->mutex);
        event->changed.wait(lock, [event, until = event->asked] { return event->done >= until; });
    }
    return enter("cuEventSynchronize", LAUNCH_FAILED);
}

int cuEventElapsedTime(float* ms, void* from, void* to) {
    for (Event* event : {(Event*)from, (Event*)to}) {
        std::lock_guard<std::mutex> lock(event->mutex);
        if (event->asked == 0) return INVALID_HANDLE;
        if (event->done < event->asked) return NOT_READY;
    }
    *ms = std::chrono::duration<float, std::milli>(((Event*)to)->time - ((Event*)from)->time).count();
    return enter("cuEventElapsedTime", INVALID_VALUE);
}

int cuMemAlloc_v2(CUdeviceptr* at, size_t bytes) {
    if (const int failed = enter("cuMemAlloc", OUT_OF_MEMORY)) return failed;
    {
        std::lock_guard<std::mutex> lock(driver().mutex);
        if (driver().allocated + bytes > memory_bytes()) return OUT_OF_MEMORY;
    }
    // Poisoned: what is read before it is written is no number.
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(memory, 0xff, bytes);
    std::lock_guard<std::mutex> lock(driver().mutex);
    driver().device[uintptr_t(memory)] = bytes;
    driver().allocated += bytes;
    driver().allocated_most = std::max(driver().allocated_most, driver().allocated);
    *at = uintptr_t(memory);
    return SUCCESS;
}

int cuMemFree_v2(CUdeviceptr at) {
    const int failed = enter("cuMemFree", INVALID_VALUE, false);
    late_copies().drain();
    std::lock_guard<std::mutex> lock(driver().mutex);
    const auto found = driver().device.find(at);
    if (found == driver().device.end()) return INVALID_VALUE;
    driver().allocated -= found->second;
    driver().device.erase(found);
    std::free((void*)at);
    return failed;
}

int cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    if (const int failed = enter("cuMemHostAlloc", OUT_OF_MEMORY)) return failed;
    *at = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    std::lock_guard<std::mutex> lock(driver().mutex);
    driver().pinned[uintptr_t(*at)] = bytes;
    return SUCCESS;
}

int cuMemFreeHost(void* at) {
    const int failed = enter("cuMemFreeHost", INVALID_VALUE, false);
    std::lock_guard<std::mutex> lock(driver().mutex);
    if (!driver().pinned.erase(uintptr_t(at))) return INVALID_VALUE;
    std::free(at);
    return failed;
}

int cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    if (const int failed = enter("cuMemcpyHtoD", INVALID_VALUE)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    if (!within(driver().device, to, bytes)) return INVALID_VALUE;
    driver().up += bytes;
    const char* first = (const char*)from;
    auto read = std::make_shared<std::vector<char>>(first, first + bytes);
    late_copies().push([to, read] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::memcpy((void*)to, read->data(), read->size());
    });
    return SUCCESS;
}

int cuCtxSynchronize() {
    if (!planted("no_context_wait")) late_copies().drain();
    return enter("cuCtxSynchronize", LAUNCH_FAILED);
}

int cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
    if (const int failed = enter("cuMemcpyHtoDAsync", INVALID_VALUE)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    if (!within(driver().device, to, bytes) || !within(driver().pinned, uintptr_t(from), bytes)) return INVALID_VALUE;
    ((Stream*)stream)->push([=] {
        std::memcpy((void*)to, from, bytes);
        std::lock_guard<std::mutex> lock(driver().mutex);
        driver().up += bytes;
    });
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
    if (const int failed = enter("cuMemcpyDtoHAsync", INVALID_VALUE)) return failed;
    std::lock_guard<std::mutex> lock(driver().mutex);
    if (!within(driver().device, from, bytes) || !within(driver().pinned, uintptr_t(to), bytes)) return INVALID_VALUE;
    ((Stream*)stream)->push([=] {
        std::memcpy(to, (void*)from, bytes);
        // What is read again without having been written again is no number.
        std::memset((void*)from, 0xff, bytes);
        std::lock_guard<std::mutex> lock(driver().mutex);
        driver().down += bytes;
    });
    return SUCCESS;
}

int cuModuleLoadData(void** module, const void* image) {
    if (const int failed = enter("cuModuleLoadData", INVALID_IMAGE)) return failed;
    Module* loaded = new Module{entries_of((const char*)image)};
    *module = loaded;
    return loaded->entries.empty() ? INVALID_IMAGE : SUCCESS;
}

int cuModuleUnload(void* module) {
    delete (Module*)module;
    return enter("cuModuleUnload", INVALID_VALUE, false);
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
    if (const int failed = enter("cuModuleGetFunction", NOT_FOUND)) return failed;
    const auto& entries = ((Module*)module)->entries;
    const auto entry = entries.find(name);
    const Kernel* kernel = find_kernel(name);
    if (entry == entries.end() || !kernel) return NOT_FOUND;
    if (entry->second != kernel->sizes) {
        std::fprintf(stderr, "libcuda (stand-in): parameters of %s in the PTX are not those of its source\n", name);
        return INVALID_IMAGE;
    }
    *function = (void*)kernel;
    return SUCCESS;
}

int cuFuncSetAttribute(void*, int attribute, int value) {
    const int failed = enter("cuFuncSetAttribute", INVALID_VALUE);
    return attribute == 8 && value <= 64 * 1024 ? failed : int(INVALID_VALUE);
}

int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void* stream, void** parameters, void** extra) {
    if (const int failed = enter("cuLaunchKernel", LAUNCH_FAILED)) return failed;
    const Kernel* kernel = (const Kernel*)function;
    const Dim3 grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    if (extra || !grid.x || !grid.y || !grid.z || grid.y > 65535 || block_x > 1024 || shared > 64 * 1024) {
        return INVALID_VALUE;
    }
    std::lock_guard<std::mutex> lock(driver().mutex);
    Launch launch{kernel, {}, grid, block, shared, driver().seed += 1};
    if (planted("swapped")) std::swap(parameters[3], parameters[4]);
    for (size_t at = 0; at < kernel->sizes.size(); at++) {
        uint64_t value = 0;
        std::memcpy(&value, parameters[at], kernel->sizes[at]);
        if (kernel->addresses[at] && !within(driver().device, value, 1)) {
            std::fprintf(stderr, "libcuda (stand-in): argument %zu of %s is no address\n", at, kernel->name);
            return ILLEGAL_ADDRESS;
        }
        launch.values.push_back(value);
    }
    ((Stream*)stream)->push([launch = std::make_shared<Launch>(std::move(launch))] { launch->run(); });
    return SUCCESS;
}

}  // extern "C"
