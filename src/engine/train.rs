//! Training from recorded history through the engine's own windows: what is learnt offline is what
//! the same rows would have shown online.

mod cohorts;

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::ArrayView2;

use crate::config::plan::{ModelPlan, StreamPlan};
use crate::engine::close::standardise;
use crate::engine::lot;
use crate::engine::partition::{Partition, Scale};
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::{Warmup, scales};
use crate::engine::{Env, Outputs, Scratch};
use crate::model::{FitError, Model, ScalerPrior, Settings};
use crate::types::{RecordRef, StreamId};

/// Windows a density is fitted on, at most: more than a fit looks at.
const WINDOWS_MAX: usize = 32_768;
/// Windows kept of all keys together where cohorts may be found, and numbers in them: bounded however long the history
/// is.
const KEPT_MAX: usize = 1 << 18;
const VALUES_MAX: usize = 1 << 25;

/// Gathers the windows of a stream's history, key by key, so that files may hold keys one after another.
pub struct Trainer {
    setup: StreamSetup,
    /// Windows that may be kept, that are, and how they are chosen by lot: see [`Warmup::with`].
    room: usize,
    kept: usize,
    thinning: u32,
    keys: BTreeMap<Box<[u8]>, Partition>,
    scratch: Scratch,
    out: Outputs,
    late: u64,
    /// What densities of cohorts may take.
    memory_bytes: u64,
    settings: Settings,
}

/// What a training run saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub keys: usize,
    pub events: u64,
    pub late: u64,
    pub duplicates: u64,
    pub windows: u64,
}

/// A model, and what it was fitted on.
pub struct Trained {
    pub model: Model,
    pub seen: Seen,
    pub windows: Windows,
}

/// Training windows in order of time, z units, NaN = missing.
pub struct Windows {
    /// rows x `cells * columns`, cell-major
    pub z: Vec<f32>,
    /// By row: index of the key, and the window's end in event time, ns.
    pub origins: Vec<(usize, i64)>,
    pub keys: Vec<Key>,
}

/// A key, and the mean and sd its columns were standardised by, raw units.
pub struct Key {
    pub name: Box<[u8]>,
    pub mean: Vec<f32>,
    pub sd: Vec<f32>,
}

impl Trainer {
    pub fn new(plan: &StreamPlan) -> Self {
        let mut setup = StreamSetup::new(StreamId(0), plan, Arc::from("train"));
        setup.loads_model = true;
        setup.fits = false;
        setup.onsets = None;
        // Nothing is told while training: there is no need to judge early and revise.
        setup.disorder_ns = setup.lateness_ns;
        let memory_bytes = match plan.model {
            ModelPlan::Load { memory_bytes, .. } => memory_bytes,
            ModelPlan::Fit { .. } | ModelPlan::Transactions { .. } => 0,
        };
        let most = if memory_bytes > 0 { KEPT_MAX } else { WINDOWS_MAX };
        let room = most.min(VALUES_MAX / (setup.cells * setup.columns.len()));
        Trainer {
            setup,
            room,
            kept: 0,
            thinning: 0,
            keys: BTreeMap::new(),
            scratch: Scratch::default(),
            out: Outputs::default(),
            late: 0,
            memory_bytes,
            settings: Settings::default(),
        }
    }

    /// Fine-tunes what is fitted, taking windows in an order of this seed: see [`Settings::tune`].
    pub fn fine_tune(&mut self, seed: u64) {
        self.settings.tune = Some(seed);
    }

    /// Tries longer levels and more codes as well, for everyone's density: see [`Settings::large`].
    pub fn large(&mut self) {
        self.settings.large = true;
    }

    pub fn push(&mut self, record: &RecordRef<'_>) {
        let setup = &self.setup;
        if !self.keys.contains_key(record.key) {
            let mut partition = Partition::new(setup, record.partition);
            partition.warmup = Warmup::with(self.room, self.thinning);
            self.keys.insert(record.key.into(), partition);
        }
        if let Some(partition) = self.keys.get_mut(record.key) {
            let before = partition.warmup.samples().len();
            partition.push(setup, record, &mut self.scratch, &Env::SIMULATED, &mut self.out);
            self.kept = self.kept + partition.warmup.samples().len() - before;
        }
        self.late += self.out.late.len() as u64;
        self.out.clear();
        self.thin();
    }

    /// Makes room by the same lot for every key, so that none has more of its windows kept than another.
    fn thin(&mut self) {
        while self.kept >= self.room {
            self.thinning += 1;
            self.keys.values_mut().for_each(|partition| partition.warmup.thin());
            self.kept = self.keys.values().map(|partition| partition.warmup.samples().len()).sum();
        }
    }

    pub fn seen(&self) -> Seen {
        let sum = |of: fn(&Partition) -> u64| self.keys.values().map(of).sum();
        Seen {
            keys: self.keys.len(),
            events: sum(|p| p.counts.events),
            late: self.late,
            duplicates: sum(|p| p.counts.duplicates),
            windows: sum(|p| p.counts.windows_unscored),
        }
    }

    /// Fits the stream's model on everything seen.
    ///
    /// # Errors
    /// If there are too few windows, or they do not determine a model.
    pub fn finish(self) -> Result<Model, FitError> {
        Ok(self.finish_with_windows()?.model)
    }

    /// [`Trainer::finish`], and what the model was fitted on.
    ///
    /// # Errors
    /// As [`Trainer::finish`].
    pub fn finish_with_windows(mut self) -> Result<Trained, FitError> {
        let (setup, scratch, out) = (&self.setup, &mut self.scratch, &mut self.out);
        for partition in self.keys.values_mut() {
            partition.flush(setup, scratch, &Env::SIMULATED, out);
            partition.end_epoch(setup);
        }
        let seen = self.seen();
        let all = vec![true; self.keys.len()];
        let prior = self.prior_of(&all);
        let windows = self.windows(&prior, &all, WINDOWS_MAX);
        let (rows, width) = (windows.origins.len(), self.setup.cells * self.setup.columns.len());
        let view = ArrayView2::from_shape((rows, width), &windows.z).map_err(|_| FitError::Shape {
            found: windows.z.len(),
            cells: self.setup.cells,
            columns: self.setup.columns.len(),
            expected: rows * width,
        })?;
        let model = Model::fit(view, self.setup.cells, &self.setup.schema, prior.clone(), &self.settings)?;
        let kept = if self.kept < WINDOWS_MAX { None } else { Some(self.windows(&prior, &all, usize::MAX)) };
        let model = self.with_cohorts(model, kept.as_ref().unwrap_or(&windows), self.memory_bytes)?;
        Ok(Trained { model, seen, windows })
    }

    /// Windows of the keys of which `own` says so, standardised; where there are as many as `most`, fewer, by the lot
    /// by which windows are kept.
    fn windows(&self, prior: &ScalerPrior, own: &[bool], most: usize) -> Windows {
        let columns = self.setup.columns.len();
        let width = self.setup.cells * columns;
        let mut order: Vec<(i64, usize, usize)> = Vec::new();
        let partitions: Vec<&Partition> = self.keys.values().collect();
        let mut thinning = self.thinning;
        loop {
            order.clear();
            for (p, partition) in partitions.iter().enumerate().filter(|(p, _)| own[*p]) {
                let samples = partition.warmup.samples().iter().enumerate();
                let stay = samples.filter(|(_, s)| lot::stays(s.lot, thinning));
                order.extend(stay.map(|(i, s)| (s.end_ns, p, i)));
            }
            if order.len() < most {
                break;
            }
            thinning += 1;
        }
        order.sort_unstable();
        let scales: Vec<_> = partitions.iter().map(|p| scales(prior, &p.moments[..columns])).collect();
        let mut z = Vec::with_capacity(order.len() * width);
        for &(_, p, i) in &order {
            let start = z.len();
            z.extend_from_slice(partitions[p].warmup.window(i, width));
            standardise(&mut z[start..], &scales[p]);
        }
        let key = |(name, scales): (&[u8], &Vec<Scale>)| Key {
            name: name.into(),
            mean: scales.iter().map(|scale| scale.mean).collect(),
            sd: scales.iter().map(|scale| scale.sd).collect(),
        };
        let keys = self.keys.keys().map(|name| &**name).zip(&scales).map(key).collect();
        Windows { z, origins: order.into_iter().map(|(end_ns, p, _)| (p, end_ns)).collect(), keys }
    }
}
