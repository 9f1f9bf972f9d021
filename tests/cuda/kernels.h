// The kernels by name, with what a launch of each looks like.
#pragma once

#include <cstddef>
#include <vector>

#include "emulator.h"

struct Kernel {
    const char* name;
    void* function;
    emulator::Body body;
    // Bytes of each parameter, in order; and which of them are addresses.
    std::vector<size_t> sizes;
    std::vector<bool> addresses;
};

const std::vector<Kernel>& kernels();
const Kernel* find_kernel(const char* name);
