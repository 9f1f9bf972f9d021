//! Training from recorded history through the engine's own windows: what is learnt offline is what
//! the same rows would have shown online.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::ArrayView2;

use crate::config::plan::StreamPlan;
use crate::engine::close::standardise;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::{Warmup, key_scale, scales};
use crate::engine::{Env, Outputs, Scratch};
use crate::model::{FitError, Model, ScalerPrior, Settings, flags};
use crate::types::{RecordRef, StreamId};

/// Windows kept of all keys together, at most, and numbers in them: more than a fit looks at, and bounded however long
/// the history is.
const WINDOWS_MAX: usize = 32_768;
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

impl Trainer {
    pub fn new(plan: &StreamPlan) -> Self {
        let mut setup = StreamSetup::new(StreamId(0), plan, Arc::from("train"));
        setup.loads_model = true;
        // Nothing is told while training: there is no need to judge early and revise.
        setup.disorder_ns = setup.lateness_ns;
        let room = WINDOWS_MAX.min(VALUES_MAX / (setup.cells * setup.columns.len()));
        Trainer {
            setup,
            room,
            kept: 0,
            thinning: 0,
            keys: BTreeMap::new(),
            scratch: Scratch::default(),
            out: Outputs::default(),
            late: 0,
        }
    }

    pub fn push(&mut self, record: &RecordRef<'_>) {
        let setup = &self.setup;
        if !self.keys.contains_key(record.key) {
            let mut partition = Partition::new(setup);
            partition.warmup = Warmup::with(self.room, self.thinning);
            self.keys.insert(record.key.into(), partition);
        }
        if let Some(partition) = self.keys.get_mut(record.key) {
            let before = partition.warmup.samples().len();
            partition.push(setup, record, &mut self.scratch, &Env::SIMULATED, &mut self.out);
            self.kept += partition.warmup.samples().len() - before;
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
    pub fn finish(mut self) -> Result<Model, FitError> {
        let (setup, scratch, out) = (&self.setup, &mut self.scratch, &mut self.out);
        for partition in self.keys.values_mut() {
            partition.flush(setup, scratch, &Env::SIMULATED, out);
            partition.end_epoch(setup);
        }
        let prior = self.prior();
        let (rows, z) = self.windows(&prior);
        let width = self.setup.cells * self.setup.columns.len();
        let view = ArrayView2::from_shape((rows, width), &z).map_err(|_| FitError::Shape {
            found: z.len(),
            cells: self.setup.cells,
            columns: self.setup.columns.len(),
            expected: rows * width,
        })?;
        Model::fit(view, self.setup.cells, &self.setup.schema, prior, &Settings::default())
    }

    fn prior(&self) -> ScalerPrior {
        let columns = self.setup.columns.len();
        let own = self.keys.iter().map(|(key, partition)| (key.to_vec(), key_scale(&partition.moments)));
        let raw = || self.keys.values().map(|partition| partition.warmup.windows());
        ScalerPrior { flags: flags(raw(), columns), ..ScalerPrior::from_keys(columns, own.collect()) }
    }

    /// All windows in order of time, standardised; rows and values.
    fn windows(&self, prior: &ScalerPrior) -> (usize, Vec<f32>) {
        let columns = self.setup.columns.len();
        let width = self.setup.cells * columns;
        let mut order: Vec<(i64, usize, usize)> = Vec::new();
        let partitions: Vec<&Partition> = self.keys.values().collect();
        for (p, partition) in partitions.iter().enumerate() {
            order.extend(partition.warmup.samples().iter().enumerate().map(|(i, s)| (s.end_ns, p, i)));
        }
        order.sort_unstable();
        let mut z = Vec::with_capacity(order.len() * width);
        for &(_, p, i) in &order {
            let scales = scales(prior, &partitions[p].moments[..columns]);
            let start = z.len();
            z.extend_from_slice(partitions[p].warmup.window(i, width));
            standardise(&mut z[start..], &scales);
        }
        (order.len(), z)
    }
}
