//! Nanoseconds a window on the GPU beside one core of the CPU, by the size of the batch, in one run, alternating: what
//! both make of the same windows is compared first, to the bit. From where on the GPU is faster is what `DEVICE_ROWS_MIN` of
//! src/backend/select.rs ought to be. Says so and ends where there is no GPU.

use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use eddy::backend::cuda::{Device, Shard, counters};
use eddy::model::pyramid::{Pyramid, Scores, Work};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BATCHES: [usize; 8] = [16, 32, 64, 128, 256, 1024, 4096, 16_384];
const ROUNDS: usize = 15;

fn windows(rows: usize, cells: usize, columns: usize) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut load = 0.0f32;
    Array2::from_shape_fn((rows, cells * columns), |_| {
        load = (load + rng.random_range(-0.1..0.1f32)).clamp(-1.0, 1.0);
        load + 0.3 * rng.random_range(-1.0..1.0f32)
    })
}

/// Least time of a run of each of the two in turn, ns.
fn in_turn(runs: [&mut dyn FnMut(); 2]) -> [f64; 2] {
    let (mut times, mut runs) = ([f64::INFINITY; 2], runs);
    for _ in 0..ROUNDS {
        for (run, time) in runs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            *time = time.min(start.elapsed().as_nanos() as f64);
        }
    }
    times
}

fn beside_the_cpu(shard: &mut Shard, cells: usize, columns: usize) {
    let fitted = windows(1500, cells, columns);
    let pyramid = Pyramid::fit(fitted.view(), cells, columns, &vec![false; columns]);
    let pyramid = pyramid.expect("the windows are complete and many");
    let mut even = None;
    for rows in BATCHES {
        let z = windows(rows, cells, columns).into_raw_vec_and_offset().0;
        let (mut on_cpu, mut on_device) = (Scores::default(), Scores::default());
        let (mut work, mut work_beside) = (Work::new(), Work::new());
        pyramid.score(&z, &mut on_cpu, &mut work);
        assert!(
            shard.score(&pyramid, &z, None, &mut on_device, &mut work_beside).expect("a device that works")
        );
        assert!(format!("{on_cpu:?}") == format!("{on_device:?}"), "{rows} rows: the two differ");
        let kernel_ns = || counters().kernel_ns.load(Relaxed);
        let before = kernel_ns();
        let [cpu, device] =
            in_turn([&mut || pyramid.score(black_box(&z), &mut on_cpu, &mut work), &mut || {
                drop(shard.score(&pyramid, black_box(&z), None, &mut on_device, &mut work_beside))
            }]);
        let kernel = (kernel_ns() - before) as f64 / (ROUNDS * rows) as f64;
        let [cpu, device] = [cpu, device].map(|ns| ns / rows as f64);
        if device < cpu && even.is_none() {
            even = Some(rows);
        }
        println!(
            "| {cells} x {columns} | {rows} | {cpu:.0} | {device:.0} | {kernel:.0} | {:.1} |",
            cpu / device
        );
    }
    match even {
        Some(rows) => println!("{cells} cells x {columns} columns: the GPU is faster from {rows} windows on"),
        None => println!("{cells} cells x {columns} columns: the GPU is not faster"),
    }
}

fn main() {
    let mut shard = match Device::shared().and_then(|device| Shard::new(device, 0)) {
        Ok(shard) => shard,
        Err(error) => return println!("no GPU: {error}"),
    };
    println!("| cells x columns | windows a batch | CPU, ns a window | GPU | of that the kernel | times |");
    println!("|---|---|---|---|---|---|");
    for (cells, columns) in [(64, 1), (64, 4), (24, 19), (8, 38)] {
        beside_the_cpu(&mut shard, cells, columns);
    }
}
