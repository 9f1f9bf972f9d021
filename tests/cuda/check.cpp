// Runs every kernel from its own source on fresh random inputs and holds it to a plain computation in f64: for index
// errors (built with AddressSanitizer and UBSan), for barriers (fibers in an order of the seed), and for arithmetic.
// That the bits are those of the Rust scorer is shown by tests/cuda.rs.
//
// Tolerances: forward 1e-4 of a value and of 1 (chains of up to 640 f32 products); explanations 1e-7 (f64, solved
// another way); all else to the bit.
//
// check SEEDS [FIRST]: exits 1 with the first difference.
#include <algorithm>
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

struct Densities {
    uint32_t dimension, pool, codes, mu, precision, axes, search, search_bias, offset, own_precision, scratch, room;
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

// A level's moments as they are, beside how the kernels have them.
struct Moments {
    uint32_t d, blocks, pool, codes, columns;
    std::vector<double> mu, single, coded, axes, search, bias, offset;
};

// Symmetric, and positive: matrices of the kernels lie transposed, which of these is the same.
std::vector<double> precision_of(Random& random, uint32_t d) {
    const std::vector<double> a = draw(random, size_t(d) * d, 1.0);
    std::vector<double> found(size_t(d) * d);
    for (uint32_t i = 0; i < d; i++) {
        for (uint32_t j = 0; j < d; j++) {
            for (uint32_t k = 0; k < d; k++) found[i * d + j] += a[i * d + k] * a[j * d + k] / d;
        }
        found[i * d + i] += 0.3;
    }
    return found;
}

// `P_AA^-1 b`, by elimination.
std::vector<double> solved(const std::vector<double>& p, uint32_t d, const std::vector<uint32_t>& at,
                           std::vector<double> b) {
    const size_t n = at.size();
    std::vector<long double> m(n * n), x(b.begin(), b.end());
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) m[i * n + j] = p[size_t(at[i]) * d + at[j]];
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < n; i++) {
            if (i == k) continue;
            const long double times = m[i * n + k] / m[k * n + k];
            for (size_t j = 0; j < n; j++) m[i * n + j] -= times * m[k * n + j];
            x[i] -= times * x[k];
        }
    }
    for (size_t i = 0; i < n; i++) b[i] = double(x[i] / m[i * n + i]);
    return b;
}

std::vector<double> times_precision(const std::vector<double>& p, const std::vector<double>& r) {
    return times(p, std::vector<double>(r.size(), 0.0), r, r.size());
}

// Fills in what is NaN; gives where that was.
std::vector<uint32_t> completed(const std::vector<double>& p, std::vector<double>& r) {
    std::vector<uint32_t> missing;
    for (uint32_t at = 0; at < r.size(); at++) {
        if (r[at] != r[at]) missing.push_back(at), r[at] = 0.0;
    }
    std::vector<double> known;
    for (uint32_t at : missing) known.push_back(times_precision(p, r)[at]);
    const std::vector<double> x = solved(p, uint32_t(r.size()), missing, known);
    for (size_t i = 0; i < missing.size(); i++) r[missing[i]] = -x[i];
    return missing;
}

// The columns without which the rest is ordinary, and every column's share: the rule, by sets.
struct Plainly {
    const std::vector<double>& p;
    std::vector<double> gradient;
    uint32_t columns;
    double total = 0.0;

    Plainly(const std::vector<double>& p, const std::vector<double>& r, uint32_t columns)
        : p(p), gradient(times_precision(p, r)), columns(columns) {
        for (size_t at = 0; at < r.size(); at++) total += r[at] * gradient[at];
    }
    double part(const std::vector<uint32_t>& of) const {
        std::vector<uint32_t> at;
        std::vector<double> b;
        for (uint32_t i = 0; i < gradient.size(); i++) {
            for (uint32_t column : of) {
                if (i % columns == column) at.push_back(i), b.push_back(gradient[i]);
            }
        }
        const std::vector<double> x = solved(p, uint32_t(gradient.size()), at, b);
        double sum = 0.0;
        for (size_t i = 0; i < at.size(); i++) sum += b[i] * x[i];
        return sum;
    }
    bool ordinary(const std::vector<uint32_t>& without) const {
        const double left = double(gradient.size() - without.size() * (gradient.size() / columns));
        return total - part(without) <= left + 4.0 * std::sqrt(2.0 * left) + 1e-9 * total;
    }
    static std::vector<uint32_t> less(std::vector<uint32_t> of, uint32_t column) {
        std::vector<uint32_t> found;
        for (uint32_t one : of) {
            if (one != column) found.push_back(one);
        }
        return found;
    }
    std::vector<uint32_t> chosen() const {
        std::vector<uint32_t> found;
        while (!ordinary(found) && found.size() < std::min(3u, columns)) {
            double most = -1.0;
            uint32_t best = 0;
            for (uint32_t column = 0; column < columns; column++) {
                if (less(found, column).size() < found.size()) continue;
                std::vector<uint32_t> more = found;
                more.push_back(column);
                const double one = part(more);
                if (one >= most) most = one, best = column;
            }
            found.push_back(best);
        }
        if (!ordinary(found)) return found;
        for (uint32_t column : std::vector<uint32_t>(found)) {
            if (!found.empty() && ordinary(less(found, column))) found = less(found, column);
        }
        return found;
    }
    std::vector<double> shares(const std::vector<uint32_t>& chosen) const {
        std::vector<double> found(columns, 0.0);
        for (uint32_t column = 0; column < columns && chosen.empty(); column++) found[column] = part({column});
        for (uint32_t column : chosen) found[column] = std::max(part(chosen) - part(less(chosen, column)), 0.0);
        double sum = 0.0;
        for (double share : found) sum += share;
        for (double& share : found) share = sum > 0.0 ? share / sum : 0.0;
        return found;
    }
};

void alike(uint64_t seed, const char* what, uint32_t row, double found, double expected) {
    if (!(std::fabs(found - expected) <= 1e-7 * (1.0 + std::fabs(expected)))) {
        fail(seed, std::string(what) + " of row " + std::to_string(row) + ": " + std::to_string(found) + ", not " +
                       std::to_string(expected));
    }
}

Moments draw_moments(Random& random, uint32_t columns, uint32_t blocks, uint32_t pool, uint32_t codes,
                     std::vector<double>& values, std::vector<Densities>& levels, uint32_t& scratch) {
    const uint32_t d = blocks * columns, hidden = std::min(d, 4 * blocks + 1);
    Moments of = {d, blocks, pool, codes, columns, draw(random, d, 0.5), precision_of(random, d), {}, {}, {}, {}, {}};
    auto put = [&](const std::vector<double>& from) {
        const uint32_t at = uint32_t(values.size());
        values.insert(values.end(), from.begin(), from.end());
        return at;
    };
    const uint32_t room = std::max(hidden * (hidden + 1) / 2, codes);
    Densities level = {d, pool, codes, put(of.mu), put(of.single), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, scratch, room};
    if (codes > 0) {
        of.coded = precision_of(random, d), of.axes = draw(random, size_t(d) * d, 1.0);
        of.search = draw(random, size_t(d) * codes, 1.0), of.bias = draw(random, codes, 1.0);
        of.offset = draw(random, size_t(d) * codes, 1.0);
        level.axes = put(of.axes), level.search = put(of.search), level.search_bias = put(of.bias);
        level.offset = put(of.offset), level.own_precision = put(of.coded);
    }
    scratch += 2 * room;
    levels.push_back(level);
    return of;
}

std::vector<double> vector_of(const Moments& of, const float* end) {
    std::vector<double> found;
    for (uint32_t k = 0; k < of.d; k++) {
        const float* from = end - size_t(of.d) * of.pool + size_t(k / of.columns) * of.pool * of.columns + k % of.columns;
        double sum = 0.0, n = 0.0;
        for (uint32_t cell = 0; cell < of.pool; cell++) {
            const float x = from[size_t(cell) * of.columns];
            if (x == x) sum += x, n += 1.0;
        }
        found.push_back(float(sum / n) - of.mu[k]);
    }
    return found;
}

void check_explain(uint64_t seed, uint32_t rows, uint32_t columns, std::vector<uint32_t> blocks, uint32_t pool_last,
                   uint32_t codes) {
    Random random(seed);
    std::vector<double> values;
    std::vector<Densities> levels;
    std::vector<Moments> plain;
    uint32_t span = 3, widest = 0, scratch = 0;
    for (size_t at = 0; at < blocks.size(); at++) {
        const uint32_t pool = at + 1 == blocks.size() ? pool_last : 1;
        plain.push_back(draw_moments(random, columns, blocks[at], pool, at % 2 ? 0 : codes, values, levels, scratch));
        span = std::max(span, blocks[at] * pool), widest = std::max(widest, plain.back().d);
    }
    const uint32_t n = uint32_t(levels.size()), stride = (span * columns + 3) / 4 * 4, expecting = n > 1 ? 1 : 0;
    const uint32_t hidden = std::min(plain[expecting].d, 4 * blocks[expecting] + 1), room = hidden * (hidden + 1) / 2;
    const uint32_t row_scratch = std::max(scratch, columns * room);
    std::vector<float> z(size_t(rows) * stride);
    for (float& value : z) value = below(random, 30) ? normal(random) : 1e-42f;
    for (uint32_t row = 0; row < rows; row++) {
        float* end = z.data() + size_t(row + 1) * stride;
        const uint32_t column = below(random, columns);
        // Of every third one a column is off, of another a cell is missing, of others several columns are off.
        for (uint32_t cell = 0; cell < span && row % 3 != 0; cell++) end[-int(cell * columns) - 1 - int(column)] += 15.0f;
        for (uint32_t cell = 0; cell < span && row % 2 == 1; cell++) end[-int(cell * columns) - 1] -= 20.0f;
        for (uint32_t cell = 0; cell < span && row % 4 == 1 && columns > 1; cell++) end[-int(cell * columns) - 2] += 25.0f;
        if (row % 3 == 2) end[-1 - int(column)] = NAN_F;
    }
    std::vector<uint32_t> chosen(size_t(rows) * n * 8, 77), blamed;
    std::vector<double> shares(size_t(rows) * n * 2 * columns, 77.0), expected(size_t(rows) * columns * 2, 77.0);
    std::vector<double> space(size_t(rows) * row_scratch, std::nan(""));
    for (uint32_t row = 0; row < rows; row++) blamed.push_back(below(random, 4) ? below(random, n) : NOTHING);
    const unsigned shared = 5 * 8 * widest + 4 * (widest + 1);
    launch(seed, "blame", {rows, 2 * n, 1}, shared, (const float*)z.data(), (const double*)values.data(),
           (const Densities*)levels.data(), space.data(), chosen.data(), shares.data(), stride, columns, n, row_scratch);
    launch(seed, "expect", {rows, columns, 1}, shared, (const float*)z.data(), (const double*)values.data(),
           (const Densities*)levels.data(), (const uint32_t*)blamed.data(), (const uint32_t*)chosen.data(), space.data(),
           expected.data(), stride, columns, n, expecting, room, row_scratch);
    for (uint32_t row = 0; row < rows; row++) {
        const float* end = z.data() + size_t(row + 1) * stride;
        std::vector<std::vector<uint32_t>> to_blame;
        for (uint32_t at = 0; at < n; at++) {
            const Moments& of = plain[at];
            std::vector<double> r = vector_of(of, end);
            completed(of.single, r);
            for (uint32_t density = 0; density < (of.codes ? 2u : 1u); density++) {
                const std::vector<double>& p = density ? of.coded : of.single;
                if (density) {
                    const std::vector<double> on_axes = times(of.axes, std::vector<double>(of.d, 0.0), r, of.d);
                    const std::vector<double> distance = times(of.search, of.bias, on_axes, of.codes);
                    const size_t code = std::min_element(distance.begin(), distance.end()) - distance.begin();
                    r = vector_of(of, end);
                    for (uint32_t k = 0; k < of.d; k++) r[k] -= of.offset[code * of.d + k];
                    completed(p, r);
                }
                const Plainly by(p, r, columns);
                const std::vector<uint32_t> found = by.chosen();
                const size_t place = (size_t(row) * n + at) * 2 + density;
                for (size_t which = 0; which < 3; which++) {
                    const uint32_t one = which < found.size() ? found[which] : NOTHING;
                    if (chosen[place * 4 + which] != one) fail(seed, "columns to blame of row " + std::to_string(row));
                }
                if (chosen[place * 4 + 3] != found.size()) fail(seed, "number of columns to blame");
                const std::vector<double> parts = by.shares(found);
                for (uint32_t column = 0; column < columns; column++) {
                    alike(seed, "share", row, shares[place * columns + column], parts[column]);
                }
                if (!density) to_blame.push_back(found);
            }
        }
        const Moments& of = plain[expecting];
        for (uint32_t column = 0; column < columns; column++) {
            std::vector<double> r = vector_of(of, end);
            const uint32_t last = of.d - columns + column;
            for (uint32_t at = 0; at < of.d; at++) {
                bool hides = at == last;
                for (uint32_t one : blamed[row] == NOTHING ? std::vector<uint32_t>() : to_blame[blamed[row]]) {
                    hides |= at % columns == one;
                }
                if (hides) r[at] = std::nan("");
            }
            const std::vector<uint32_t> missing = completed(of.single, r);
            std::vector<double> unit(missing.size(), 0.0);
            const size_t place = std::find(missing.begin(), missing.end(), last) - missing.begin();
            unit[place] = 1.0;
            const double variance = solved(of.single, of.d, missing, unit)[place];
            const double* found = &expected[(size_t(row) * columns + column) * 2];
            alike(seed, "expectation", row, found[0], of.mu[last] + r[last]);
            alike(seed, "sd of the expectation", row, found[1], std::sqrt(variance));
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
        check_explain(seed, 5 + below(random, 4), 1 + below(random, 5), {1, 3, 4}, 1 + below(random, 3), 1 + below(random, 40));
        check_explain(seed, 3, 1, {8}, 1, 3);
    }
    // The widest level, alone in its tile; and a model of about 4 MFLOP a window.
    check_forward(first, 8, 9, 640, {1}, 1, 16);
    // More columns than a block has threads.
    check_explain(first, 1, 130, {1}, 1, 2);
    check_forward(first, 16, 3, 32, {16, 16, 16, 16}, 1, 256);
    std::printf("%llu seeds from %llu\n", (unsigned long long)seeds, (unsigned long long)first);
    return 0;
}
