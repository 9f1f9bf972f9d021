//! The loops that take the time: a packed product, sums of logarithms, the nearest code.
//!
//! All in f32. Each output is one chain of fused multiply-adds in the order of the inputs, whatever
//! tile its row falls into and however wide the machine's vectors are: a row's result depends on
//! nothing but the row. (Where the machine has no fused instruction, `mul_add` is computed to the same
//! bits in software, slowly.)

use std::ops::Range;

/// Outputs computed together: two vectors of eight, or one of sixteen.
pub(super) const LANES: usize = 16;
/// Rows that share a load of weights: 6 x 2 accumulators fill the sixteen registers of x86-64-v3.
const TILE: usize = 6;
/// Panels whose factors are multiplied before one logarithm. A factor is below 4e9 (20 sd on every one
/// of 640 axes, eigenvalue at its floor), so four of them stay finite.
const PANELS_PER_LOG: usize = 4;

pub(super) type Lanes = [f32; LANES];

/// A matrix laid out for [`product`]: panels of [`LANES`] outputs, each panel input-major.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    inputs: usize,
    /// panels × inputs
    weights: Vec<Lanes>,
    /// panels
    bias: Vec<Lanes>,
}

impl Packed {
    /// `weight(input, output)` of `outputs` outputs; `bias(output)`, and `padding` for those that fill up.
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize) -> f64,
        bias: impl Fn(usize) -> f64,
        padding: f32,
    ) -> Packed {
        let panels = outputs.div_ceil(LANES);
        let lane = |output: usize, value: &dyn Fn(usize) -> f64, padding: f32| {
            if output < outputs { value(output) as f32 } else { padding }
        };
        let mut weights = Vec::with_capacity(panels * inputs);
        for panel in 0..panels {
            for input in 0..inputs {
                let of = |output| weight(input, output);
                weights.push(std::array::from_fn(|l| lane(panel * LANES + l, &of, 0.0)));
            }
        }
        let bias =
            (0..panels).map(|p| std::array::from_fn(|l| lane(p * LANES + l, &bias, padding))).collect();
        Packed { inputs, weights, bias }
    }

    pub(super) fn panels(&self) -> usize {
        self.bias.len()
    }

    /// The weights, panels × inputs, and the bias.
    pub(super) fn parts(&self) -> (&[Lanes], &[Lanes]) {
        (&self.weights, &self.bias)
    }

    /// A panel of outputs of one row, in f64.
    #[inline(always)]
    pub(super) fn outputs(&self, panel: usize, x: &[f64]) -> [f64; LANES] {
        let mut sums = self.bias[panel].map(f64::from);
        for (w, x) in self.weights[panel * self.inputs..][..self.inputs].iter().zip(x) {
            for l in 0..LANES {
                sums[l] += f64::from(w[l]) * x;
            }
        }
        sums
    }
}

/// `out[row] = bias + W' x[row]` of `rows` rows that start `stride` values apart in `x`; `out` has
/// `w.panels()` panels a row.
#[inline(always)]
pub(super) fn product(w: &Packed, x: &[f32], stride: usize, rows: usize, out: &mut [Lanes]) {
    for panel in 0..w.panels() {
        let tiled = rows / TILE * TILE;
        tiles::<TILE>(w, panel, (x, stride), 0..tiled, out);
        tiles::<1>(w, panel, (x, stride), tiled..rows, out);
    }
}

/// One panel of these rows, `R` of them at a time.
#[inline(always)]
fn tiles<const R: usize>(
    w: &Packed,
    panel: usize,
    (x, stride): (&[f32], usize),
    rows: Range<usize>,
    out: &mut [Lanes],
) {
    let (inputs, panels) = (w.inputs, w.panels());
    let weights = &w.weights[panel * inputs..][..inputs];
    for from in rows.step_by(R) {
        let mut rows: [&[f32]; R] = [&[]; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &x[(from + r) * stride..][..inputs];
        }
        let mut sums = [w.bias[panel]; R];
        for k in 0..inputs {
            for r in 0..R {
                let value = rows[r][k];
                for l in 0..LANES {
                    sums[r][l] = value.mul_add(weights[k][l], sums[r][l]);
                }
            }
        }
        for r in 0..R {
            out[(from + r) * panels + panel] = sums[r];
        }
    }
}

/// `sum ln(1 + (p - shift)^2 scale)`; the factors of several axes are multiplied before one logarithm.
#[inline(always)]
pub(super) fn ln_sum(p: &[Lanes], shift: &[Lanes], scale: &[Lanes]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let parts = p.chunks(PANELS_PER_LOG).zip(shift.chunks(PANELS_PER_LOG)).zip(scale.chunks(PANELS_PER_LOG));
    for ((p, shift), scale) in parts {
        let mut factors = [1.0f32; LANES];
        for ((p, shift), scale) in p.iter().zip(shift).zip(scale) {
            for l in 0..LANES {
                let r = p[l] - shift[l];
                factors[l] *= (r * r).mul_add(scale[l], 1.0);
            }
        }
        for l in 0..LANES {
            sums[l] += ln(factors[l]);
        }
    }
    fold(&mut sums, 1);
    sums[0]
}

/// Adds up the lanes that are `apart` from each other, by halves, into the first ones; `apart` divides [`LANES`].
#[inline(always)]
fn fold(lanes: &mut Lanes, apart: usize) {
    for half in [8, 4, 2, 1] {
        if half >= apart {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
    }
}

/// `sums[column] = sum over cells of x^2`, of cells of `sums.len()` columns end to end.
#[inline(always)]
pub(super) fn squares(x: &[f32], sums: &mut [f32]) {
    let columns = sums.len();
    sums.fill(0.0);
    let mut rest = x;
    if 2 * columns <= LANES {
        let (width, mut lanes) = (LANES / columns * columns, [0.0f32; LANES]);
        // Lanes beyond the width are those of the next cells as well, and are not looked at.
        while let Some(x) = rest.first_chunk::<LANES>() {
            for l in 0..LANES {
                lanes[l] = x[l].mul_add(x[l], lanes[l]);
            }
            rest = &rest[width..];
        }
        if width == LANES && columns.is_power_of_two() {
            fold(&mut lanes, columns);
            sums.copy_from_slice(&lanes[..columns]);
        } else {
            for lanes in lanes[..width].chunks_exact(columns) {
                sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += lane);
            }
        }
    }
    for x in rest.chunks_exact(columns) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = x.mul_add(*x, *sum);
        }
    }
}

/// How many values are below `x`.
#[inline(always)]
pub(super) fn count_below(values: &[Lanes], x: f32) -> usize {
    let mut below = [0u32; LANES];
    for values in values {
        for l in 0..LANES {
            below[l] += u32::from(values[l] < x);
        }
    }
    below.iter().sum::<u32>() as usize
}

/// Natural logarithm of a positive normal value, to 2 ulp of it and of 1: the series of artanh on the mantissa
/// about 1. In place of `f32::ln`, which is a call a value and differs between platforms.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (bits as i32) >> 23;
    let mantissa = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    let series = s2.mul_add(s2.mul_add(s2.mul_add(2.0 / 9.0, 2.0 / 7.0), 0.4), 2.0 / 3.0);
    let small = s.mul_add(s2 * series, 2.0 * s);
    (exponent as f32).mul_add(std::f32::consts::LN_2, small)
}

/// Index of the smallest value, the first of equals.
#[inline(always)]
pub(super) fn smallest(values: &[Lanes]) -> usize {
    let mut least = [f32::INFINITY; LANES];
    let mut place = [0u32; LANES];
    for (panel, values) in values.iter().enumerate() {
        for l in 0..LANES {
            let better = values[l] < least[l];
            least[l] = if better { values[l] } else { least[l] };
            place[l] = if better { panel as u32 } else { place[l] };
        }
    }
    let mut best = 0;
    for l in 1..LANES {
        let (a, b) = (least[l], least[best]);
        if a < b || (a == b && place[l] < place[best]) {
            best = l;
        }
    }
    place[best] as usize * LANES + best
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
