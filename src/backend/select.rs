//! Which of the backends a batch goes to.

use std::sync::atomic::Ordering::Relaxed;

use super::ahead::Ahead;
use super::cohorts::only_one;
use super::cuda::{Device, DeviceError, Found, Shard, counters};
use super::{CpuBackend, Phases, Rings, Scores};
use crate::model::pyramid::{Pyramid, Work};
use crate::model::{EVERYONE, Model};

/// Windows from which on a batch goes to the device: below, a core is done before the bus is. By arithmetic (37 windows
/// against one core of 2019, and as much again for luck), not yet by measurement.
const DEVICE_ROWS_MIN: usize = 64;
/// Windows from which on explanations do: one takes a core about as long as the device takes for these together. By
/// arithmetic as well.
const EXPLAIN_ROWS_MIN: usize = 8;
/// Batches that the CPU takes after the device failed, before it is tried again; twice as many after each failure.
const REST_MIN: u32 = 64;
const REST_MAX: u32 = 1 << 16;

/// `backend` of the config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A device if there is one.
    #[default]
    Auto,
    Cpu,
    /// A device, or no start.
    Cuda,
}

impl Choice {
    pub const ALL: [Choice; 3] = [Choice::Auto, Choice::Cpu, Choice::Cuda];

    pub fn as_str(self) -> &'static str {
        match self {
            Choice::Auto => "auto",
            Choice::Cpu => "cpu",
            Choice::Cuda => "cuda",
        }
    }

    /// The device that will be scored on by so many shards, each with so many bytes for rings, if one is; and the choice
    /// that shards are to be opened with, so that none takes what is too little for all of them.
    ///
    /// # Errors
    /// If one is asked for and there is none that can be used.
    pub fn find(self, shards: usize, ring_bytes: usize) -> Result<(Choice, Option<Found>), DeviceError> {
        let device = || {
            let device = Device::shared()?;
            device.has_room(shards, ring_bytes)?;
            Ok(device.found())
        };
        match self {
            Choice::Cpu => Ok((Choice::Cpu, None)),
            Choice::Auto => match device() {
                Err(error @ DeviceError::NoRoom { .. }) => {
                    tracing::warn!(%error, "the GPU is not used: the CPU scores");
                    Ok((Choice::Cpu, None))
                }
                found => Ok((Choice::Auto, found.ok())),
            },
            Choice::Cuda => device().map(|found| (Choice::Cuda, Some(found))),
        }
    }
}

/// Of one shard: the CPU, and a device for large batches if there is one. Both give the same bits.
#[derive(Debug, Default)]
pub struct Backend {
    pub(super) cpu: CpuBackend,
    device: OnDevice,
    pub(super) ahead: Ahead,
}

#[derive(Debug, Default)]
struct OnDevice {
    /// `false`: there is none, or none is wanted.
    exists: bool,
    ring_bytes: usize,
    /// Of what was scored since they were taken.
    phases: Phases,
    /// `None`: it failed, and is tried again.
    shard: Option<Shard>,
    rest: u32,
    rest_next: u32,
}

impl Backend {
    /// With a device if `choice` allows and there is one, and so many bytes of it for rings; why not, if not.
    pub fn open(choice: Choice, ring_bytes: usize) -> (Backend, Option<DeviceError>) {
        if choice == Choice::Cpu {
            return (Backend::default(), None);
        }
        let of = OnDevice { ring_bytes, rest_next: REST_MIN, ..OnDevice::default() };
        match Device::shared().and_then(|device| Shard::new(device, ring_bytes)) {
            Ok(shard) => {
                let device = OnDevice { exists: true, shard: Some(shard), ..of };
                (Backend { device, ..Backend::default() }, None)
            }
            Err(error) => {
                // What is missing stays so; a driver that fails may recover.
                let exists = matches!(error, DeviceError::Call { .. });
                if exists {
                    tracing::warn!(%error, "the GPU cannot be used: the CPU scores until it can");
                }
                let device = OnDevice { exists, rest: REST_MIN, rest_next: 2 * REST_MIN, ..of };
                (Backend { device, ..Backend::default() }, Some(error))
            }
        }
    }

    /// Whether [`Rings`] are of use.
    pub fn takes_rings(&self) -> bool {
        self.device.shard.is_some()
    }

    /// What was spent on the device since this was asked last.
    pub fn take_phases(&mut self) -> Phases {
        std::mem::take(&mut self.device.phases)
    }

    /// As [`CpuBackend::score_cohorts`]. The windows may lie in rings; `z` has them all the same.
    pub fn score_cohorts(
        &mut self,
        model: &Model,
        cohorts: &[u32],
        z: &[f32],
        rings: Option<Rings<'_>>,
        out: &mut Scores,
    ) {
        let Backend { cpu, device, .. } = self;
        match only_one(cohorts) {
            Some(cohort) => device.score(model.pyramid_of(cohort), z, rings, out, &mut cpu.work),
            None => {
                let score =
                    |pyramid: &Pyramid, z: &[f32], rows: &[u32], out: &mut Scores, work: &mut Work| {
                        let rings = rings.map(|rings| Rings { rows: Some(rows), ..rings });
                        device.score(pyramid, z, rings, out, work);
                    };
                cpu.groups.score(model, cohorts, z, out, score);
            }
        }
    }

    /// Whether [`Backend::explain_ahead`] is of use.
    pub fn explains_ahead(&self) -> bool {
        self.device.shard.is_some()
    }

    /// Has the device explain these rows of a batch together, as those of one cohort are: what was told is known when
    /// they are asked for one by one. What was told before is forgotten.
    pub fn explain_ahead(&mut self, model: &Model, cohorts: &[u32], z: &[f32], rows: &mut [u32]) {
        let Backend { cpu, device, ahead } = self;
        ahead.clear();
        let cohort = |row: u32| cohorts.get(row as usize).copied().unwrap_or(EVERYONE);
        rows.sort_unstable_by_key(|row| (cohort(*row), *row));
        for rows in rows.chunk_by(|a, b| cohort(*a) == cohort(*b)) {
            let Some(shard) = device.shard.as_mut().filter(|_| rows.len() >= EXPLAIN_ROWS_MIN) else {
                continue;
            };
            let pyramid = model.pyramid_of(cohort(rows[0]));
            if let Err(error) = shard.explain(pyramid, z, rows, ahead, &mut cpu.work) {
                device.lose(&error);
            }
        }
    }
}

impl OnDevice {
    fn score(
        &mut self,
        pyramid: &Pyramid,
        z: &[f32],
        rings: Option<Rings<'_>>,
        out: &mut Scores,
        work: &mut Work,
    ) {
        if self.exists && z.len() >= DEVICE_ROWS_MIN * pyramid.dimension() {
            self.try_again();
            if let Some(shard) = &mut self.shard {
                match shard.score(pyramid, z, rings, out, work) {
                    Ok(true) => return self.phases.add(shard.phases),
                    Ok(false) => {}
                    Err(error) => self.lose(&error),
                }
            }
        }
        pyramid.score(z, out, work);
    }

    fn lose(&mut self, error: &DeviceError) {
        counters().failures.fetch_add(1, Relaxed);
        tracing::error!(%error, "the GPU failed: the CPU scores until it comes back");
        // All of it: a failure spoils the context.
        self.shard = None;
        self.rest = self.rest_next;
        self.rest_next = (2 * self.rest_next).min(REST_MAX);
    }

    fn try_again(&mut self) {
        if self.shard.is_some() {
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        match Device::shared().and_then(|device| Shard::new(device, self.ring_bytes)) {
            Ok(shard) => {
                tracing::info!("the GPU is back");
                self.shard = Some(shard);
            }
            Err(error) => self.lose(&error),
        }
    }
}
