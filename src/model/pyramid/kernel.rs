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
        tiles::<TILE>(w, panel, x, stride, 0..tiled, out);
        tiles::<1>(w, panel, x, stride, tiled..rows, out);
    }
}

/// One panel of these rows, `R` of them at a time.
#[inline(always)]
fn tiles<const R: usize>(
    w: &Packed,
    panel: usize,
    x: &[f32],
    stride: usize,
    rows: Range<usize>,
    out: &mut [Lanes],
) {
    let panels = w.panels();
    let weights = &w.weights[panel * w.inputs..][..w.inputs];
    for row in rows.step_by(R) {
        tile::<R>(
            weights,
            &w.bias[panel],
            &x[row * stride..],
            stride,
            &mut out[row * panels + panel..],
            panels,
        );
    }
}

#[inline(always)]
fn tile<const R: usize>(
    weights: &[Lanes],
    bias: &Lanes,
    x: &[f32],
    stride: usize,
    out: &mut [Lanes],
    panels: usize,
) {
    let rows: [&[f32]; R] = std::array::from_fn(|r| &x[r * stride..][..weights.len()]);
    let mut sums = [*bias; R];
    for (k, w) in weights.iter().enumerate() {
        for r in 0..R {
            let value = rows[r][k];
            for l in 0..LANES {
                sums[r][l] = value.mul_add(w[l], sums[r][l]);
            }
        }
    }
    for r in 0..R {
        out[r * panels] = sums[r];
    }
}

/// `sum ln(1 + (p - shift)^2 scale)`; the factors of several axes are multiplied before one logarithm.
#[inline(always)]
pub(super) fn ln_sum(p: &[Lanes], shift: &[Lanes], scale: &[Lanes]) -> f64 {
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
    sums.iter().map(|s| f64::from(*s)).sum()
}

/// Natural logarithm of a finite value of at least 1, to 2 ulp: the series of artanh on the mantissa
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
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_exact_to_rounding() {
        for step in 0..20_000 {
            let x = (1.0 + step as f32 * 1e-4) * 3f32.powi(step % 70);
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 2.5e-7 * exact.max(0.5), "{x}");
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn product_is_the_same_whatever_the_batch() {
        let weight = |i: usize, o: usize| ((i * 37 + o * 11) as f64 * 0.618).fract() - 0.5;
        let packed = Packed::new(21, 35, weight, |o| o as f64 * 0.1, 7.0);
        let x: Vec<f32> = (0..17 * 30).map(|i| ((i as f32) * 0.414).fract() * 4.0 - 2.0).collect();
        let mut all = vec![[0.0; LANES]; 17 * packed.panels()];
        product(&packed, &x, 30, 17, &mut all);
        for row in 0..17 {
            let mut one = vec![[0.0; LANES]; packed.panels()];
            product(&packed, &x[row * 30..], 30, 1, &mut one);
            assert_eq!(one, all[row * packed.panels()..][..packed.panels()]);
            for output in 0..35 {
                let naive: f64 = (0..21).map(|i| f64::from(x[row * 30 + i]) * weight(i, output)).sum();
                let found = f64::from(one[output / LANES][output % LANES]);
                assert!((found - naive - output as f64 * 0.1).abs() < 1e-5);
            }
            assert_eq!(one[2][3..], [7.0; 13]);
        }
    }

    #[test]
    fn sums_of_logarithms_match_the_definition() {
        for panels in [1, 4, 5, 40] {
            let lanes = |k: f32, far: f32| -> Vec<Lanes> {
                (0..panels)
                    .map(|p| std::array::from_fn(|l| ((p * LANES + l) as f32 * k).fract() * far))
                    .collect()
            };
            let (p, shift, scale) = (lanes(0.618, 500.0), lanes(0.414, 3.0), lanes(0.3, 1000.0));
            let terms = p.iter().flatten().zip(shift.iter().flatten()).zip(scale.iter().flatten());
            let naive: f64 =
                terms.map(|((p, s), scale)| (f64::from(p - s).powi(2) * f64::from(*scale)).ln_1p()).sum();
            assert!((ln_sum(&p, &shift, &scale) - naive).abs() < 1e-6 * naive);
        }
    }

    #[test]
    fn the_first_of_equals_is_the_smallest() {
        let mut values = vec![[5.0; LANES]; 3];
        (values[2][1], values[1][7], values[1][9]) = (1.0, 1.0, 1.0);
        assert_eq!(smallest(&values), LANES + 7);
        values[0][15] = 1.0;
        assert_eq!(smallest(&values), 15);
    }
}
