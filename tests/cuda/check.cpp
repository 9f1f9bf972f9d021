// Runs every kernel from its own source on fresh random inputs and holds it to a plain computation in f64: for index
// errors (built with AddressSanitizer and UBSan), for barriers (fibers in an order of the seed), and for arithmetic.
// That the bits are those of the Rust scorer is shown by tests/cuda.rs.
//
// Tolerances: forward 1e-4 of a value and of 1 (chains of up to 640 f32 products); aggregate's sums 1e-12 of the sum
// of magnitudes; all else to the bit.
//
// check SEEDS [FIRST]: exits 1 with the first difference.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "kernels.h"

namespace {

using Random = std::mt19937_64;
const uint32_t NOTHING = 0xffffffffu;
const float NAN_F = std::numeric_limits<float>::quiet_NaN();

struct Level {
    uint32_t dimension, pool, codes, project, bias, scale, search, search_bias, shift, own, own_bias, own_scale, whiten,
        whiten_bias, unused_a, unused_b;
};

uint32_t below(Random& random, uint32_t n) { return uint32_t(random() % n); }
float normal(Random& random) { return std::normal_distribution<float>()(random); }

[[noreturn]] void fail(uint64_t seed, const std::string& what) {
    std::printf("seed %llu: %s\n", (unsigned long long)seed, what.c_str());
    std::exit(1);
}

// Launches a kernel with arguments of these very types.
template <typename... A>
void launch(uint64_t seed, const char* name, Dim3 grid, unsigned shared, A... arguments) {
    const Kernel* kernel = find_kernel(name);
    void* list[] = {(void*)&arguments...};
    const size_t sizes[] = {sizeof(A)...};
    if (!kernel || kernel->sizes.size() != sizeof...(A)) fail(seed, std::string("no such launch: ") + name);
    for (size_t at = 0; at < sizeof...(A); at++) {
        if (kernel->sizes[at] != sizes[at]) fail(seed, "argument sizes");
    }
    if (const char* wrong = emulator::run(kernel->body, kernel->function, list, grid, {128, 1, 1}, shared, seed)) {
        fail(seed, std::string(name) + ": " + wrong);
    }
}

// A matrix as panels of 16 outputs, input-major; appended to `weights` on 16 floats.
uint32_t pack(std::vector<float>& weights, const std::vector<double>& matrix, uint32_t inputs, uint32_t outputs,
              float padding) {
    const uint32_t at = uint32_t(weights.size()), panels = (outputs + 15) / 16;
    for (uint32_t panel = 0; panel < panels; panel++) {
        for (uint32_t input = 0; input < inputs; input++) {
            for (uint32_t lane = 0; lane < 16; lane++) {
                const uint32_t output = panel * 16 + lane;
                weights.push_back(output < outputs ? float(matrix[size_t(input) * outputs + output]) : padding);
            }
        }
    }
    return at;
}

std::vector<double> draw(Random& random, size_t n, double scale) {
    std::vector<double> found(n);
    for (double& value : found) value = float(normal(random) * scale);
    return found;
}

// One level in f64, beside its packed form.
struct Plain {
    Level level;
    std::vector<double> project, bias, scale, search, search_bias, shift, own, own_bias, own_scale, whiten, whiten_bias;
};

Plain draw_level(Random& random, std::vector<float>& weights, uint32_t d, uint32_t pool, uint32_t codes, bool own,
                 bool whiten) {
    Plain of;
    const double each = 1.0 / std::sqrt(double(d));
    auto positive = [&](size_t n) {
        std::vector<double> found = draw(random, n, 1.0);
        for (double& value : found) value = float(0.05 + value * value);
        return found;
    };
    of.project = draw(random, size_t(d) * d, each), of.bias = draw(random, d, 0.3), of.scale = positive(d);
    of.search = draw(random, size_t(d) * codes, 1.0), of.search_bias = draw(random, codes, 1.0);
    of.shift = draw(random, size_t(d) * codes, 1.0);
    of.own = draw(random, size_t(d) * d, each), of.own_bias = draw(random, d, 0.3), of.own_scale = positive(d);
    of.whiten = draw(random, size_t(d) * d, each), of.whiten_bias = draw(random, d, 0.3);
    Level& level = of.level;
    std::memset(&level, 0, sizeof level);
    level.dimension = d, level.pool = pool, level.codes = codes;
    level.project = pack(weights, of.project, d, d, 0.0f), level.bias = pack(weights, of.bias, 1, d, 0.0f);
    level.scale = pack(weights, of.scale, 1, d, 0.0f);
    level.search = pack(weights, of.search, d, codes, 0.0f);
    level.search_bias = pack(weights, of.search_bias, 1, codes, 1e30f);
    level.shift = uint32_t(weights.size());
    for (uint32_t code = 0; code < codes; code++) {
        std::vector<double> one(of.shift.begin() + size_t(code) * d, of.shift.begin() + size_t(code + 1) * d);
        pack(weights, one, 1, d, 0.0f);
    }
    level.own = own ? pack(weights, of.own, d, d, 0.0f) : NOTHING;
    level.own_bias = own ? pack(weights, of.own_bias, 1, d, 0.0f) : NOTHING;
    level.own_scale = pack(weights, of.own_scale, 1, d, 0.0f);
    level.whiten = whiten ? pack(weights, of.whiten, d, d, 0.0f) : NOTHING;
    level.whiten_bias = whiten ? pack(weights, of.whiten_bias, 1, d, 0.0f) : NOTHING;
    return of;
}

std::vector<double> times(const std::vector<double>& matrix, const std::vector<double>& bias,
                          const std::vector<double>& x, size_t outputs) {
    std::vector<double> found(bias);
    for (size_t input = 0; input < x.size(); input++) {
        for (size_t output = 0; output < outputs; output++) found[output] += matrix[input * outputs + output] * x[input];
    }
    return found;
}

double ln_sum(const std::vector<double>& p, const double* shift, const std::vector<double>& scale) {
    double sum = 0.0;
    for (size_t axis = 0; axis < p.size(); axis++) {
        const double r = p[axis] - (shift ? shift[axis] : 0.0);
        sum += std::log1p(r * r * scale[axis]);
    }
    return sum;
}

void near(uint64_t seed, const char* what, uint32_t row, double found, double expected) {
    if (!(std::fabs(found - expected) <= 1e-4 * (1.0 + std::fabs(expected)))) {
        fail(seed, std::string(what) + " of row " + std::to_string(row) + ": " + std::to_string(found) + ", not " +
                       std::to_string(expected));
    }
}

void check_forward(uint64_t seed, uint32_t tile, uint32_t rows, uint32_t columns, std::vector<uint32_t> blocks,
                   uint32_t pool_last, uint32_t codes) {
    Random random(seed);
    std::vector<float> weights;
    std::vector<Plain> plain;
    std::vector<Level> levels;
    uint32_t span = 17, widest = 0;
    for (size_t at = 0; at < blocks.size(); at++) {
        const bool last = at + 1 == blocks.size();
        const uint32_t pool = last ? pool_last : 1, d = blocks[at] * columns;
        plain.push_back(draw_level(random, weights, d, pool, at % 3 == 2 ? 0 : codes, at % 2 == 0, last));
        levels.push_back(plain.back().level);
        span = std::max(span, blocks[at] * pool), widest = std::max(widest, d);
    }
    const uint32_t stride = (span * columns + 3) / 4 * 4, fields = 3 * uint32_t(levels.size()) + 2 * columns;
    std::vector<float> z(size_t(rows) * stride), out(size_t(rows) * fields, NAN_F);
    for (float& value : z) value = below(random, 40) ? normal(random) : below(random, 2) ? 1e-42f : 20.0f;
    const uint32_t apart = tile == 8 ? 8 : tile + 8, padded = (widest + 15) / 16 * 16;
    const unsigned shared = ((widest + padded) * apart + 8 * tile) * 4;
    const std::string name = "forward_" + std::to_string(tile);
    // On 16 bytes, as device memory is.
    auto aligned = [](const std::vector<float>& from) {
        float* to = (float*)std::aligned_alloc(64, (from.size() * 4 + 63) / 64 * 64);
        std::memcpy(to, from.data(), from.size() * 4);
        return to;
    };
    float *z_there = aligned(z), *weights_there = aligned(weights);
    launch(seed, name.c_str(), {(rows + tile - 1) / tile, uint32_t(levels.size()) + 1, 1}, shared, (const float*)z_there,
           (const float*)weights_there, (const Level*)levels.data(), out.data(), rows, stride, columns,
           uint32_t(levels.size()), 17u);
    std::free(z_there), std::free(weights_there);
    auto field = [&](size_t at, uint32_t row) { return out[at * rows + row]; };
    for (uint32_t row = 0; row < rows; row++) {
        const float* end = z.data() + size_t(row + 1) * stride;
        for (size_t at = 0; at < levels.size(); at++) {
            const Plain& of = plain[at];
            const uint32_t d = of.level.dimension, pool = of.level.pool;
            std::vector<double> x(d, 0.0);
            for (uint32_t k = 0; k < d; k++) {
                const float* from = end - size_t(d) * pool + size_t(k / columns) * pool * columns + k % columns;
                for (uint32_t cell = 0; cell < pool; cell++) x[k] += from[cell * columns] / double(pool);
            }
            const std::vector<double> p = times(of.project, of.bias, x, d);
            near(seed, "single density", row, field(3 * at, row), ln_sum(p, nullptr, of.scale));
            if (of.level.codes > 0) {
                const std::vector<double> distance = times(of.search, of.search_bias, p, of.level.codes);
                uint32_t code;
                const float bits = field(3 * at + 2, row);
                std::memcpy(&code, &bits, 4);
                if (code >= of.level.codes) fail(seed, "no such code");
                double least = INFINITY;
                for (double one : distance) least = std::min(least, one);
                near(seed, "nearest code", row, distance[code], least);
                const std::vector<double> own = of.level.own == NOTHING ? p : times(of.own, of.own_bias, x, d);
                near(seed, "density of codes", row, field(3 * at + 1, row),
                     ln_sum(own, &of.shift[size_t(code) * d], of.own_scale));
            }
            if (of.level.whiten == NOTHING) continue;
            const std::vector<double> white = times(of.whiten, of.whiten_bias, x, d);
            for (uint32_t column = 0; column < columns; column++) {
                double sum = 0.0;
                for (uint32_t k = column; k < d; k += columns) sum += white[k] * white[k];
                near(seed, "joint law", row, field(3 * levels.size() + column, row), sum);
            }
        }
        for (uint32_t column = 0; column < columns; column++) {
            double sum = 0.0;
            for (uint32_t cell = 1; cell < 17; cell++) {
                const float* now = end - size_t(17 - cell) * columns + column;
                sum += std::pow(double(*now) - *(now - columns), 2.0);
            }
            near(seed, "roughness", row, field(3 * levels.size() + columns + column, row), sum / 16.0);
        }
    }
}

bool same(float a, float b) { return std::memcmp(&a, &b, 4) == 0 || (a != a && b != b); }

float wild(Random& random) {
    switch (below(random, 12)) {
        case 0: return NAN_F;
        case 1: return 1e-41f;
        case 2: return INFINITY;
        case 3: return -INFINITY;
        default: return normal(random) * 3.0f;
    }
}

// Rings are written as a history of cells says, and windows are read out of them: a map of cells is what they show.
void check_rings(uint64_t seed, uint32_t rings, uint32_t columns) {
    Random random(seed);
    const uint32_t ring_cells = 3 + below(random, 30), cells = 1 + below(random, ring_cells);
    // With something between them that nobody may touch.
    const uint32_t width = (ring_cells + 2) * columns, apart = width + below(random, 5);
    std::vector<float> there(size_t(rings) * apart, NAN_F);
    for (uint32_t ring = 0; ring < rings; ring++) {
        for (uint32_t at = width; at < apart; at++) there[size_t(ring) * apart + at] = 4711.0f;
    }
    std::vector<std::vector<float>> cell_of(rings), scales(rings);
    std::vector<uint32_t> newest(rings, 0);
    const uint32_t horizon = 4000;
    for (auto& of : cell_of) of.assign(size_t(horizon) * columns, NAN_F);
    for (int round = 0; round < 4; round++) {
        std::vector<uint4> runs;
        std::vector<uint2> samples;
        std::vector<float> values, new_scales;
        for (uint32_t ring = 0; ring < rings; ring++) {
            const uint32_t first = uint32_t(samples.size());
            for (uint32_t n = below(random, 5); n > 0; n--) {
                const uint32_t step = newest[ring] == 0 ? ring_cells : 1 + below(random, below(random, 4) ? 3 : 50);
                newest[ring] += step;
                samples.push_back({newest[ring] % ring_cells, std::min(step, ring_cells) - 1});
                for (uint32_t column = 0; column < columns; column++) {
                    values.push_back(wild(random));
                    cell_of[ring][size_t(newest[ring]) * columns + column] = values.back();
                }
            }
            const bool scaled = scales[ring].empty() || below(random, 3) == 0;
            if (samples.size() == first && !scaled) continue;
            runs.push_back({ring * apart, first, uint32_t(samples.size()), scaled ? uint32_t(new_scales.size()) : NOTHING});
            if (!scaled) continue;
            scales[ring].clear();
            for (uint32_t column = 0; column < columns; column++) {
                scales[ring].push_back(normal(random)), scales[ring].push_back(0.1f + std::fabs(normal(random)));
            }
            new_scales.insert(new_scales.end(), scales[ring].begin(), scales[ring].end());
        }
        if (runs.empty()) continue;
        for (uint4& run : runs) {
            if (run.w != NOTHING) run.w += uint32_t(values.size());
        }
        values.insert(values.end(), new_scales.begin(), new_scales.end());
        launch(seed, "append", {(uint32_t(runs.size()) + 3) / 4, 1, 1}, 0, there.data(), (const uint4*)runs.data(),
               (const uint2*)samples.data(), (const float*)values.data(), uint32_t(runs.size()), ring_cells, columns);
    }
    std::vector<uint32_t> scored;
    for (uint32_t column = 0; column < columns; column++) {
        if (scored.empty() || below(random, 4)) scored.push_back(column);
    }
    std::vector<uint2> windows;
    std::vector<uint32_t> last;
    for (uint32_t ring = 0; ring < rings; ring++) {
        // From as many cells back as the ring holds beyond a window.
        last.push_back(newest[ring] == 0 ? 0 : newest[ring] - below(random, ring_cells - cells + 1));
        windows.push_back({newest[ring] == 0 ? NOTHING : ring * apart, last[ring] % ring_cells});
    }
    const uint32_t values = cells * uint32_t(scored.size()), stride = (values + 3) / 4 * 4;
    std::vector<float> z(size_t(rings) * stride, NAN_F);
    launch(seed, "gather", {(rings + 3) / 4, 1, 1}, 0, (const float*)there.data(), (const uint2*)windows.data(),
           (const uint32_t*)scored.data(), z.data(), rings, stride, ring_cells, columns, uint32_t(scored.size()), cells);
    for (uint32_t ring = 0; ring < rings; ring++) {
        for (uint32_t k = 0; k < values; k++) {
            const uint32_t back = cells - 1 - k / uint32_t(scored.size()), column = scored[k % scored.size()];
            const bool known = windows[ring].x != NOTHING && last[ring] >= back;
            const float raw = known ? cell_of[ring][size_t(last[ring] - back) * columns + column] : NAN_F;
            const float *scale = scales[ring].data() + 2 * column;
            const float expected = raw != raw ? NAN_F : std::fmin(std::fmax((raw - scale[0]) / scale[1], -20.0f), 20.0f);
            const float found = z[size_t(ring + 1) * stride - values + k];
            if (!same(found, expected)) fail(seed, "gathered value of ring " + std::to_string(ring));
        }
        for (uint32_t at = width; at < apart; at++) {
            if (there[size_t(ring) * apart + at] != 4711.0f) fail(seed, "beyond ring " + std::to_string(ring));
        }
    }
}

void check_aggregate(uint64_t seed, uint32_t windows, uint32_t columns) {
    Random random(seed);
    std::vector<uint32_t> offsets{0};
    for (uint32_t window = 0; window < windows; window++) {
        offsets.push_back(offsets.back() + (below(random, 4) ? below(random, 90) : 0));
    }
    std::vector<float> values(size_t(offsets.back()) * columns);
    for (float& value : values) value = below(random, 10) ? normal(random) : below(random, 2) ? NAN_F : 1e-43f;
    const size_t n = size_t(windows) * columns;
    std::vector<uint32_t> counts(n, 77);
    std::vector<double> sums(n, 77.0);
    std::vector<float> least(n, 77.0f), most(n, 77.0f), last(n, 77.0f);
    launch(seed, "aggregate", {(windows + 3) / 4, columns, 1}, 0, (const float*)values.data(),
           (const uint32_t*)offsets.data(), counts.data(), sums.data(), least.data(), most.data(), last.data(), windows,
           columns);
    for (uint32_t window = 0; window < windows; window++) {
        for (uint32_t column = 0; column < columns; column++) {
            uint32_t count = 0;
            double sum = 0.0, size = 0.0;
            float low = NAN_F, high = NAN_F, end = NAN_F;
            for (uint32_t row = offsets[window]; row < offsets[window + 1]; row++) {
                const float value = values[size_t(row) * columns + column];
                if (value != value) continue;
                count++, sum += value, size += std::fabs(value), end = value;
                low = std::fmin(low, value), high = std::fmax(high, value);
            }
            const size_t at = size_t(window) * columns + column;
            const bool right = counts[at] == count && std::fabs(sums[at] - sum) <= 1e-12 * size && same(least[at], low) &&
                               same(most[at], high) && same(last[at], end);
            if (!right) fail(seed, "aggregate of window " + std::to_string(window));
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    const uint64_t seeds = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 3;
    const uint64_t first = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : std::random_device()();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        Random random(seed);
        // The usual shapes: a few columns with codes, many without; rows that fill no tile, one tile, several.
        for (uint32_t rows : {1u, 31u, 32u, 33u + below(random, 60)}) {
            check_forward(seed, 32, rows, 1 + below(random, 9), {1, 3, 4}, 1 + below(random, 4), 1 + below(random, 40));
        }
        check_forward(seed, 16, 1 + below(random, 40), 1 + below(random, 17), {1, 5}, 2, 32);
        check_forward(seed, 8, 1 + below(random, 20), 3 + below(random, 17), {1, 2}, 3, 17);
        check_rings(seed, 1 + below(random, 40), 1 + below(random, 40));
        check_aggregate(seed, 1 + below(random, 50), 1 + below(random, 9));
    }
    // The widest level, alone in its tile; and a model of about 4 MFLOP a window.
    check_forward(first, 8, 9, 640, {1}, 1, 16);
    check_forward(first, 16, 3, 32, {16, 16, 16, 16}, 1, 256);
    std::printf("%llu seeds from %llu\n", (unsigned long long)seeds, (unsigned long long)first);
    return 0;
}
