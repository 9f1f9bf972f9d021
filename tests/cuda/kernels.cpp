// The kernels' own sources, compiled for the CPU, and their table.
#include "kernels.h"

#include <cstring>
#include <type_traits>
#include <utility>

#define EDDY_EMULATED
#include "../../kernels/append.cu"
#include "../../kernels/explain.cu"
#include "../../kernels/forward.cu"
#include "../../kernels/gather.cu"

namespace {

template <typename... P, size_t... I>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_reference_t<P>*)arguments[I]...);
}

template <typename... P>
Kernel describe(const char* name, void (*kernel)(P...)) {
    auto body = [](void* function, void** arguments) {
        call((void (*)(P...))function, arguments, std::index_sequence_for<P...>());
    };
    return {name, (void*)kernel, body, {sizeof(P)...}, {std::is_pointer<P>::value...}};
}

}  // namespace

const std::vector<Kernel>& kernels() {
    static const std::vector<Kernel> all = {
        describe("append", append),         describe("blame", blame),
        describe("expect", expect),         describe("forward_32", forward_32),
        describe("forward_16", forward_16), describe("forward_8", forward_8),
        describe("gather", gather),
    };
    return all;
}

const Kernel* find_kernel(const char* name) {
    for (const Kernel& kernel : kernels()) {
        if (std::strcmp(kernel.name, name) == 0) return &kernel;
    }
    return nullptr;
}
