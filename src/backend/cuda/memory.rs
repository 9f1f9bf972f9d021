//! Memory of the device, and of the host where the device can copy from and to by itself.

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys;

use super::DeviceError;
use super::driver::{Context, of};

/// Any bits are a value, and a value is bits: what may lie on the device.
///
/// # Safety
/// Of those types alone.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: numbers.
unsafe impl Plain for f32 {}
unsafe impl Plain for f64 {}
unsafe impl Plain for u32 {}

/// On the device, `len` values; what is in it at first is unknown.
#[derive(Debug)]
pub(super) struct DeviceMemory<T: Plain> {
    pub raw: sys::CUdeviceptr,
    pub len: usize,
    context: Arc<Context>,
    of: std::marker::PhantomData<T>,
}

impl<T: Plain> DeviceMemory<T> {
    /// # Errors
    /// If there is none left.
    pub fn new(context: &Arc<Context>, len: usize) -> Result<Self, DeviceError> {
        context.enter()?;
        let bytes = (len * size_of::<T>()).max(1);
        // SAFETY: freed by `drop`; read by nobody before it is written.
        let raw = of("cuMemAlloc", unsafe { result::malloc_sync(bytes) })?;
        Ok(DeviceMemory { raw, len, context: context.clone(), of: std::marker::PhantomData })
    }

    /// With a copy of these values, there for every stream.
    pub fn holding(context: &Arc<Context>, values: &[T]) -> Result<Self, DeviceError> {
        let memory = DeviceMemory::new(context, values.len())?;
        if !values.is_empty() {
            // SAFETY: within both.
            of("cuMemcpyHtoD", unsafe { result::memcpy_htod_sync(memory.raw, values) })?;
            // That call returns when the values are read, not when they have arrived, and our streams wait for no other.
            of("cuCtxSynchronize", result::ctx::synchronize())?;
        }
        Ok(memory)
    }
}

impl<T: Plain> DeviceMemory<T> {
    /// Address of a value.
    pub fn at(&self, place: usize) -> sys::CUdeviceptr {
        debug_assert!(place <= self.len);
        self.raw + (place * size_of::<T>()) as sys::CUdeviceptr
    }
}

impl<T: Plain> Drop for DeviceMemory<T> {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: made by `new`; streams that use it were drained by who owns both.
        let _ = unsafe { result::free_sync(self.raw) };
    }
}

/// Of the host, and never paged out. Zeros at first.
#[derive(Debug)]
pub(super) struct Pinned<T: Plain> {
    raw: *mut T,
    len: usize,
    context: Arc<Context>,
}

// SAFETY: it is a slice that is owned.
unsafe impl<T: Plain + Send> Send for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    /// # Errors
    /// If the driver has none left.
    pub fn new(context: &Arc<Context>, len: usize) -> Result<Self, DeviceError> {
        context.enter()?;
        // Flags 0: the host reads it as well, so it is cached.
        // SAFETY: freed by `drop`.
        let raw = of("cuMemHostAlloc", unsafe { result::malloc_host(len * size_of::<T>(), 0) })?.cast::<T>();
        // SAFETY: of this length, and aligned to a page; all zeros are a value.
        unsafe { raw.write_bytes(0, len) };
        Ok(Pinned { raw, len, context: context.clone() })
    }

    pub fn as_slice(&self) -> &[T] {
        // SAFETY: made by `new`, of this length.
        unsafe { std::slice::from_raw_parts(self.raw, self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.raw, self.len) }
    }
}

impl Pinned<f32> {
    /// The same memory as words.
    pub fn as_mut_words(&mut self) -> &mut [u32] {
        // SAFETY: as above; any bits are a value of both types, which have one size and alignment.
        unsafe { std::slice::from_raw_parts_mut(self.raw.cast(), self.len) }
    }
}

impl<T: Plain> Drop for Pinned<T> {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: made by `new`; streams that use it were drained by who owns both.
        let _ = unsafe { result::free_host(self.raw.cast()) };
    }
}
