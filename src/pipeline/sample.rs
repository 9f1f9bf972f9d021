//! A sample of what a stream's model takes for normal, for the page. The same model shows the same one.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::Model;
use crate::status::Sample;

const SEED: u64 = 1;

pub fn of(model: &Model) -> Sample {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    // Box and Muller, 1958.
    let normal = || {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    Sample { checksum: model.checksum_short().to_owned(), columns: model.draw(normal) }
}
