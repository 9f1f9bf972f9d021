//! Owners of what the CUDA driver hands out. All calls to it are here and in `memory`: each is unsafe in itself, and safe by
//! what the owners keep true: a handle lives as long as its owner and its context, memory is read and written within its
//! bounds, and what a stream still works on is not given back before the stream has ended.

use std::ffi::{CStr, CString, c_void};
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use super::DeviceError;
use super::memory::{DeviceMemory, Pinned, Plain};

/// Drivers before do not take the PTX of kernels/ptx: 12.2.
const DRIVER_MIN: i32 = 12_020;
/// GPUs before do not: Turing.
const CAPABILITY_MIN: (i32, i32) = (7, 5);

/// Which call failed.
pub(super) fn of<T>(call: &'static str, result: Result<T, DriverError>) -> Result<T, DeviceError> {
    result.map_err(|error| DeviceError::Call { call, code: error.0 as u32, name: name(error) })
}

fn no_device(error: DeviceError) -> DeviceError {
    DeviceError::NoDevice(Box::new(error))
}

fn name(error: DriverError) -> String {
    error.error_name().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The first GPU's primary context.
#[derive(Debug)]
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
    pub name: String,
    pub driver: i32,
    pub capability: (i32, i32),
    pub memory_bytes: usize,
    /// That a block may ask for.
    pub shared_bytes_max: usize,
}

// SAFETY: the driver's objects may be used by any thread that the context is current in, which `enter` sees to.
unsafe impl Send for Context {}
unsafe impl Sync for Context {}

impl Context {
    /// # Errors
    /// If there is no driver or no GPU, or if they are too old.
    pub fn open() -> Result<Context, DeviceError> {
        // SAFETY: asks the loader for the library, before any call into it. (Linked to it, the program starts with it or not
        // at all.)
        #[cfg(not(feature = "cuda-training"))]
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::NoDriver);
        }
        of("cuInit", result::init()).map_err(no_device)?;
        let mut driver = 0;
        // SAFETY: writes one integer.
        of("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut driver) }.result())?;
        if driver < DRIVER_MIN {
            return Err(DeviceError::OldDriver { found: driver, needed: DRIVER_MIN });
        }
        let device = of("cuDeviceGet", result::device::get(0)).map_err(no_device)?;
        let name = of("cuDeviceGetName", result::device::get_name(device))?;
        // SAFETY: the device is one the driver has just named.
        let ask = |attribute| {
            of("cuDeviceGetAttribute", unsafe { result::device::get_attribute(device, attribute) })
        };
        let capability = (
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        if capability < CAPABILITY_MIN {
            return Err(DeviceError::OldGpu { name, found: capability, needed: CAPABILITY_MIN });
        }
        let shared = ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        // SAFETY: as above; the context is released by `drop`.
        let memory_bytes = of("cuDeviceTotalMem", unsafe { result::device::total_mem(device) })?;
        let raw = of("cuDevicePrimaryCtxRetain", unsafe { result::primary_ctx::retain(device) })?;
        let shared_bytes_max = usize::try_from(shared).unwrap_or(0);
        let context = Context { device, raw, name, driver, capability, memory_bytes, shared_bytes_max };
        context.enter()?;
        Ok(context)
    }

    /// Memory of the device that nobody has, bytes.
    pub fn free_bytes(&self) -> Result<usize, DeviceError> {
        self.enter()?;
        Ok(of("cuMemGetInfo", result::mem_get_info())?.0)
    }

    /// Makes it the calling thread's.
    pub fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained until `drop`.
        of("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.raw) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`. There is nobody to tell of a failure.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A loaded module's function.
#[derive(Debug)]
pub(super) struct Function {
    raw: sys::CUfunction,
    module: Arc<Module>,
}

#[derive(Debug)]
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Module {}
unsafe impl Sync for Module {}
unsafe impl Send for Function {}
unsafe impl Sync for Function {}

impl Module {
    /// # Errors
    /// If the driver does not take the PTX.
    pub fn load(context: &Arc<Context>, ptx: &CStr) -> Result<Arc<Module>, DeviceError> {
        context.enter()?;
        // SAFETY: a text that ends with 0.
        let raw = of("cuModuleLoadData", unsafe { result::module::load_data(ptx.as_ptr().cast()) })?;
        Ok(Arc::new(Module { raw, context: context.clone() }))
    }

    /// A kernel that may take so much shared memory.
    pub fn function(
        self: &Arc<Module>,
        name: &str,
        shared_bytes_max: usize,
    ) -> Result<Function, DeviceError> {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the module is loaded, and the function keeps it.
        let raw = of("cuModuleGetFunction", unsafe { result::module::get_function(self.raw, name) })?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let most = shared_bytes_max as i32;
        of("cuFuncSetAttribute", unsafe { result::function::set_function_attribute(raw, attribute, most) })?;
        Ok(Function { raw, module: self.clone() })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: loaded by `load`, and no function of it is left.
        let _ = unsafe { result::module::unload(self.raw) };
    }
}

/// Work in order, beside that of other streams.
#[derive(Debug)]
pub(super) struct Stream {
    pub raw: sys::CUstream,
    pub context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Stream {}

impl Stream {
    pub fn new(context: &Arc<Context>) -> Result<Stream, DeviceError> {
        context.enter()?;
        let raw = of("cuStreamCreate", result::stream::create(result::stream::StreamKind::NonBlocking))?;
        Ok(Stream { raw, context: context.clone() })
    }

    /// What comes after in this stream waits for the event.
    pub fn wait(&self, event: &Event) -> Result<(), DeviceError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both are alive.
        of("cuStreamWaitEvent", unsafe { result::stream::wait_event(self.raw, event.raw, flags) })
    }

    pub fn record(&self, event: &Event) -> Result<(), DeviceError> {
        // SAFETY: both are alive.
        of("cuEventRecord", unsafe { result::event::record(event.raw, self.raw) })
    }

    /// Copies the first `n` values up, some time from now: until then the slot is not to be written.
    pub fn up<T: Plain>(&self, from: &Pinned<T>, n: usize, to: &DeviceMemory<T>) -> Result<(), DeviceError> {
        let from = &from.as_slice()[..n.min(to.len)];
        // SAFETY: within both; the owner of the slot waits for an event behind this copy before it writes or frees.
        of("cuMemcpyHtoDAsync", unsafe { result::memcpy_htod_async(to.raw, from, self.raw) })
    }

    /// Copies the first `n` values down, some time from now: until then the slot is not to be read.
    pub fn down<T: Plain>(
        &self,
        from: &DeviceMemory<T>,
        n: usize,
        to: &mut Pinned<T>,
    ) -> Result<(), DeviceError> {
        let to = &mut to.as_mut_slice()[..n.min(from.len)];
        // SAFETY: as above.
        of("cuMemcpyDtoHAsync", unsafe { result::memcpy_dtoh_async(to, from.raw, self.raw) })
    }

    /// Waits until everything in it is done.
    pub fn drain(&self) -> Result<(), DeviceError> {
        // SAFETY: alive.
        of("cuStreamSynchronize", unsafe { result::stream::synchronize(self.raw) })
    }

    /// Launches a kernel: blocks in x and y, threads of a block, bytes of shared memory.
    ///
    /// # Safety
    /// The arguments are of the kernel's types, in its order, and what they point at is memory of the device that lives
    /// until this stream is past the launch, of the lengths its contract in kernels/ asks for.
    pub unsafe fn launch(
        &self,
        function: &Function,
        (x, y): (u32, u32),
        threads: u32,
        shared_bytes: usize,
        arguments: &mut [*mut c_void],
    ) -> Result<(), DeviceError> {
        debug_assert!(Arc::ptr_eq(&self.context, &function.module.context));
        let (grid, block) = ((x, y, 1), (threads, 1, 1));
        // SAFETY: as the caller says.
        let launched = unsafe {
            result::launch_kernel(function.raw, grid, block, shared_bytes as u32, self.raw, arguments)
        };
        of("cuLaunchKernel", launched)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // What it works on is given back after it.
        let _ = self.drain();
        // SAFETY: made by `new`.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// A place in a stream.
#[derive(Debug)]
pub(super) struct Event {
    pub raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Event {}

impl Event {
    pub fn new(context: &Arc<Context>) -> Result<Event, DeviceError> {
        context.enter()?;
        let raw = of("cuEventCreate", result::event::create(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
        Ok(Event { raw, context: context.clone() })
    }

    /// Waits until its stream has come past it.
    pub fn passed(&self) -> Result<(), DeviceError> {
        // SAFETY: alive.
        of("cuEventSynchronize", unsafe { result::event::synchronize(self.raw) })
    }

    /// Time from another to this one, ns; both have passed.
    pub fn ns_since(&self, other: &Event) -> Result<u64, DeviceError> {
        // SAFETY: both are alive.
        let ms = of("cuEventElapsedTime", unsafe { result::event::elapsed(other.raw, self.raw) })?;
        Ok((f64::from(ms) * 1e6) as u64)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: made by `new`.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}
