//! The GPU itself: one context and one module for all shards.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::DeviceError;
use super::driver::{Context, Function, Module};
use super::shape::TILES;
use super::slot::shard_bytes;

/// Built by scripts/kernels; the driver translates them for its GPU.
const FORWARD: &str = include_str!("../../../kernels/ptx/forward.ptx");
const APPEND: &str = include_str!("../../../kernels/ptx/append.ptx");
const EXPLAIN: &str = include_str!("../../../kernels/ptx/explain.ptx");
const GATHER: &str = include_str!("../../../kernels/ptx/gather.ptx");

#[derive(Debug)]
pub struct Device {
    pub(super) context: Arc<Context>,
    /// By tile.
    pub(super) forward: [Function; TILES.len()],
    pub(super) append: Function,
    pub(super) gather: Function,
    pub(super) blame: Function,
    pub(super) expect: Function,
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// Of CUDA, `1000 * major + 10 * minor`.
    pub driver: i32,
    pub capability: (i32, i32),
    pub memory_bytes: usize,
}

impl Device {
    /// The device, opened by who asks first and closed when nobody has it any more: so that after a failure, which
    /// spoils the context, there is a new one.
    ///
    /// # Errors
    /// If there is none that can be used.
    pub fn shared() -> Result<Arc<Device>, DeviceError> {
        static SHARED: Mutex<Weak<Device>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = shared.upgrade() {
            return Ok(device);
        }
        let device = Arc::new(Device::open()?);
        *shared = Arc::downgrade(&device);
        Ok(device)
    }

    fn open() -> Result<Device, DeviceError> {
        let context = Arc::new(Context::open()?);
        let load = |ptx: &str| Module::load(&context, &CString::new(ptx).unwrap_or_default());
        let module = load(FORWARD)?;
        let [wide, middle, narrow] = TILES.map(|(_, name)| module.function(name, context.shared_bytes_max));
        let append = load(APPEND)?.function("append", 0)?;
        let gather = load(GATHER)?.function("gather", 0)?;
        let explain = load(EXPLAIN)?;
        let [blame, expect] =
            ["blame", "expect"].map(|name| explain.function(name, context.shared_bytes_max));
        Ok(Device {
            forward: [wide?, middle?, narrow?],
            append,
            gather,
            blame: blame?,
            expect: expect?,
            context,
        })
    }

    /// Whether the device has so many bytes for each of so many shards.
    ///
    /// # Errors
    /// If it has not, or fails.
    pub fn has_room(&self, shards: usize, ring_bytes: usize) -> Result<(), DeviceError> {
        let (free, needed) = (self.context.free_bytes()?, shards * shard_bytes(ring_bytes));
        if free < needed { Err(DeviceError::NoRoom { free, needed, shards }) } else { Ok(()) }
    }

    pub fn found(&self) -> Found {
        let Context { name, driver, capability, memory_bytes, .. } = &*self.context;
        Found { name: name.clone(), driver: *driver, capability: *capability, memory_bytes: *memory_bytes }
    }
}
