//! Scoring on a GPU: what takes time on rows without gaps goes through kernels/forward.cu, the rest is the CPU's; and windows
//! that will be told or shown are explained there (kernels/explain.cu).
//!
//! The device gives the CPU's bits (see kernels/common.cuh), so that who scored a window shows in no decision: small
//! batches stay on the CPU, rows with gaps too, and where the device fails its batch is scored again by the CPU.
//!
//! Each shard has two slots of pinned memory. Rows are copied up in one stream and go through the kernels and back in
//! another, so that one slot is filled and read while the device works on the other. All memory but that of models is
//! reserved when a shard starts.
//!
//! Windows of grid cells are cut out of rings that lie on the device as well (`pool`): what crosses the bus is new cells,
//! once (kernels/append.cu, kernels/gather.cu). Other windows cross whole.

mod counters;
mod device;
mod driver;
mod explain;
mod graph;
mod memory;
mod packet;
mod phases;
mod pool;
mod rows;
mod shape;
mod shard;
mod slot;

pub use counters::{Counters, counters};
pub use device::{Device, Found};
pub use phases::Phases;
pub use pool::rings_bytes;
pub use shard::Shard;
pub use slot::{SHARD_PINNED_BYTES, WEIGHTS_BYTES_MAX, shard_bytes};

/// Why a device does not score.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "there is no CUDA driver: libcuda.so is not on the loader's path (install NVIDIA's driver; in a container, \
         start it with the NVIDIA runtime)"
    )]
    NoDriver,
    #[error("the CUDA driver found no GPU: {0} (does nvidia-smi list one?)")]
    NoDevice(Box<DeviceError>),
    #[error(
        "the CUDA driver is too old: it is of CUDA {}.{}, and {}.{} is needed (update NVIDIA's driver to 535 or newer)",
        found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10
    )]
    OldDriver { found: i32, needed: i32 },
    #[error(
        "{name} is too old: its compute capability is {}.{}, and {}.{} is needed (Turing or newer)",
        found.0, found.1, needed.0, needed.1
    )]
    OldGpu { name: String, found: (i32, i32), needed: (i32, i32) },
    #[error(
        "the GPU has {} MB of memory free, and {shards} shard(s) reserve {} MB besides models (lower `device_memory` or \
         `shards`, or free some: nvidia-smi says who has it)",
        free / 1_000_000, needed / 1_000_000
    )]
    NoRoom { free: usize, needed: usize, shards: usize },
    #[error("{call}: {name} ({code})")]
    Call { call: &'static str, code: u32, name: String },
}

impl DeviceError {
    /// A call wanted more memory than the device has left, which spoils nothing else.
    fn is_no_memory(&self) -> bool {
        const OUT_OF_MEMORY: u32 = cudarc::driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY as u32;
        matches!(self, DeviceError::Call { call: "cuMemAlloc", code: OUT_OF_MEMORY, .. })
    }
}
