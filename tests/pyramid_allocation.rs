//! Scoring allocates nothing once its buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use eddy::backend::CpuBackend;
use eddy::model::pyramid::{Pyramid, Scores, Work};
use eddy::model::{Cohort, Model, ScalerPrior, Settings, Showing};
use ndarray::{Array2, ArrayView2};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn scoring_allocates_nothing_after_the_first_batch() {
    let columns = 6;
    let value = |at: usize| ((at as f32 * 0.618_034).fract() + (at as f32 * 0.414).fract() - 1.0) * 2.0;
    let windows = Array2::from_shape_fn((600, 40 * columns), |(row, at)| value(row * columns + at));
    let pyramid = Pyramid::fit(windows.view(), 40, columns, &[false; 6]).unwrap();
    let mut windows = windows.into_raw_vec_and_offset().0;
    windows.iter_mut().step_by(4001).for_each(|z| *z = f32::NAN);
    let (mut scores, mut work) = (Scores::default(), Work::new());
    pyramid.score(&windows, &mut scores, &mut work);
    let before = CALLS.load(Ordering::Relaxed);
    pyramid.score(&windows, &mut scores, &mut work);
    assert_eq!(CALLS.load(Ordering::Relaxed), before);

    let prior = ScalerPrior::from_keys(columns, Default::default());
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let view = ArrayView2::from_shape((600, 40 * columns), &windows).unwrap();
    let model = Model::fit(view, 40, &names, prior.clone(), &Settings::QUICK).unwrap();
    let cohort = (Cohort { pyramid, prior }, 0, Showing::default());
    let model = model.with_cohorts(vec![cohort; 3], std::iter::empty());
    let cohorts: Vec<u32> = (0..600).map(|row| row * 7 % 4).collect();
    let mut backend = CpuBackend::new();
    backend.score_cohorts(&model, &cohorts, &windows, &mut scores);
    let before = CALLS.load(Ordering::Relaxed);
    backend.score_cohorts(&model, &cohorts, &windows, &mut scores);
    assert_eq!(CALLS.load(Ordering::Relaxed), before, "by cohorts");
}
