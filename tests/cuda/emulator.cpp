// A block as fibers: see emulator.h.
#include "emulator.h"

#include <csetjmp>
#include <cstdlib>
#include <memory>
#include <string>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {
namespace {

const size_t STACK_BYTES = 128 * 1024;
// A signalling pattern: whoever computes with it gets NaN, whoever uses it as an index leaves every array.
const uint32_t POISON = 0x7fa5a5a5u;

enum class State { Ready, AtBlock, AtWarp, Ended };

struct Fiber {
    ucontext_t context;
    // Where it goes on; from its second turn on, and without a call to the system, which was nine tenths of the time.
    jmp_buf point;
    bool began;
    std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
    Place place;
    State state;
    unsigned exchanges;
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<uint64_t> slots;
    ucontext_t scheduler;
    jmp_buf back;
    size_t running;
    void* shared;
    Body body;
    void* kernel;
    void** arguments;
    uint64_t random;
#if defined(__SANITIZE_ADDRESS__)
    const void* scheduler_stack;
    size_t scheduler_stack_bytes;
#endif
};

thread_local Block block;

uint64_t next_random() {
    // splitmix64
    uint64_t z = block.random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void to_scheduler(bool ends) {
    Fiber& fiber = block.fibers[block.running];
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(ends ? nullptr : &fake, block.scheduler_stack, block.scheduler_stack_bytes);
    swapcontext(&fiber.context, &block.scheduler);
    __sanitizer_finish_switch_fiber(fake, &block.scheduler_stack, &block.scheduler_stack_bytes);
#else
    (void)ends;
    if (_setjmp(fiber.point) == 0) _longjmp(block.back, 1);
#endif
}

void enter() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
    block.body(block.kernel, block.arguments);
    block.fibers[block.running].state = State::Ended;
    to_scheduler(true);
}

void resume(size_t at) {
    block.running = at;
    current = &block.fibers[at].place;
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, block.fibers[at].stack.get(), STACK_BYTES);
    swapcontext(&block.scheduler, &block.fibers[at].context);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    if (_setjmp(block.back) != 0) return;
    if (block.fibers[at].began) _longjmp(block.fibers[at].point, 1);
    block.fibers[at].began = true;
    setcontext(&block.fibers[at].context);
#endif
}

void wait(State state) {
    block.fibers[block.running].state = state;
    to_scheduler(false);
}

// Lets go those of [from, to) that wait at `state`, if all of them do.
bool release(size_t from, size_t to, State state) {
    for (size_t at = from; at < to; at++) {
        if (block.fibers[at].state != state) return false;
    }
    for (size_t at = from; at < to; at++) block.fibers[at].state = State::Ready;
    return true;
}

void shuffle_order(std::vector<size_t>& order) {
    for (size_t at = order.size(); at > 1; at--) std::swap(order[at - 1], order[next_random() % at]);
}

void prepare(Fiber& fiber, Place place) {
    fiber.place = place;
    fiber.state = State::Ready;
    fiber.exchanges = 0;
    fiber.began = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
}

const char* run_block(size_t threads, Dim3 index) {
    for (size_t at = 0; at < threads; at++) prepare(block.fibers[at], {{unsigned(at), 0, 0}, index});
    std::vector<size_t> order(threads);
    for (size_t at = 0; at < threads; at++) order[at] = at;
    for (;;) {
        shuffle_order(order);
        bool ran = false, ended = true;
        for (size_t at : order) {
            if (block.fibers[at].state == State::Ready) resume(at), ran = true;
        }
        for (size_t from = 0; from < threads; from += 32) {
            ran |= release(from, from + 32 < threads ? from + 32 : threads, State::AtWarp);
        }
        ran |= release(0, threads, State::AtBlock);
        for (size_t at = 0; at < threads; at++) ended &= block.fibers[at].state == State::Ended;
        if (ended) return nullptr;
        if (!ran) return "threads of a block wait for others that never come";
    }
}

}  // namespace

thread_local Place* current;

void* shared_memory() { return block.shared; }
void block_barrier() { wait(State::AtBlock); }
void warp_barrier(unsigned) { wait(State::AtWarp); }

uint64_t* exchange() {
    Fiber& fiber = block.fibers[block.running];
    const size_t parity = fiber.exchanges++ % 2;
    return &block.slots[(block.running / 32 * 2 + parity) * 32];
}

const char* run(Body body, void* kernel, void** arguments, Dim3 grid, Dim3 of, unsigned shared_bytes, uint64_t seed) {
    const size_t threads = of.x;
    if (of.y != 1 || of.z != 1 || threads == 0 || threads > 1024) return "only blocks of one dimension are known";
    if (block.fibers.size() < threads) block.fibers = std::vector<Fiber>(threads);
    block.slots.assign((threads + 31) / 32 * 64, 0);
    block.body = body, block.kernel = kernel, block.arguments = arguments, block.random = seed;
    std::vector<size_t> order(size_t(grid.x) * grid.y * grid.z);
    for (size_t at = 0; at < order.size(); at++) order[at] = at;
    shuffle_order(order);
    const char* wrong = nullptr;
    for (size_t at : order) {
        // Anew for each block, to its last byte: what is beyond is not there.
        block.shared = shared_bytes ? std::aligned_alloc(16, (shared_bytes + 15) / 16 * 16) : nullptr;
        for (unsigned word = 0; word < shared_bytes / 4; word++) ((uint32_t*)block.shared)[word] = POISON;
        const unsigned x = at % grid.x, y = at / grid.x % grid.y, z = at / grid.x / grid.y;
        if (const char* found = run_block(threads, {x, y, z})) wrong = found;
        std::free(block.shared);
        if (wrong) break;
    }
    return wrong;
}

}  // namespace emulator
