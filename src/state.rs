//! Bytes of a state that is to be kept: little-endian, without gaps, whole arrays at a time so that the
//! thread that owns the state is held up for little more than a copy. What the bytes mean is for whoever
//! writes them; the file around them carries version and checksum.

/// What states are written in. A change of any `encode` makes another format.
pub const FORMAT: u32 = 9;

/// The bytes end early, or cannot be what they are read as. Their checksum was right, so another build
/// wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state is not understood: {0}")]
pub struct NotUnderstood(pub &'static str);

/// Appends to a buffer of the caller's.
pub struct StateWriter<'a>(pub &'a mut Vec<u8>);

/// A number of fixed width.
pub trait Number: bytemuck::Pod {
    /// Little-endian, whatever the processor.
    fn ordered(self) -> Self;
}

macro_rules! numbers {
    ($($number:ty, $bits:ty;)*) => {$(
        impl Number for $number {
            fn ordered(self) -> Self {
                bytemuck::cast(bytemuck::cast::<_, $bits>(self).to_le())
            }
        }
    )*};
}

numbers!(u8, u8; u16, u16; u32, u32; u64, u64; u128, u128; i32, u32; i64, u64; f32, u32; f64, u64;);

impl StateWriter<'_> {
    pub fn number(&mut self, number: impl Number) {
        self.0.extend_from_slice(bytemuck::bytes_of(&number.ordered()));
    }

    pub fn flag(&mut self, flag: bool) {
        self.number(u8::from(flag));
    }

    pub fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// An array with its length.
    pub fn numbers<N: Number>(&mut self, numbers: &[N]) {
        self.len(numbers.len());
        self.plain(numbers);
    }

    /// An array whose length is known otherwise.
    pub fn plain<N: Number>(&mut self, numbers: &[N]) {
        if cfg!(target_endian = "little") {
            self.0.extend_from_slice(bytemuck::cast_slice(numbers));
        } else {
            numbers.iter().for_each(|number| self.number(*number));
        }
    }
}

/// Reads what a [`StateWriter`] wrote, in the same order.
pub struct StateReader<'a> {
    bytes: &'a [u8],
}

impl<'a> StateReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        StateReader { bytes }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NotUnderstood> {
        let (taken, rest) = self.bytes.split_at_checked(bytes).ok_or(NotUnderstood("it ends early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// # Errors
    /// This and the others: if the bytes end early.
    pub fn number<N: Number>(&mut self) -> Result<N, NotUnderstood> {
        let bytes = self.take(size_of::<N>())?;
        Ok(bytemuck::pod_read_unaligned::<N>(bytes).ordered())
    }

    pub fn flag(&mut self) -> Result<bool, NotUnderstood> {
        Ok(self.number::<u8>()? != 0)
    }

    /// How many elements of at least `element_bytes` follow: never more than there are bytes for.
    pub fn len(&mut self, element_bytes: usize) -> Result<usize, NotUnderstood> {
        let len: u64 = self.number()?;
        let fits = usize::try_from(len).ok().filter(|len| *len <= self.bytes.len() / element_bytes.max(1));
        fits.ok_or(NotUnderstood("an array is longer than the state"))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], NotUnderstood> {
        let len = self.len(1)?;
        self.take(len)
    }

    pub fn numbers<N: Number>(&mut self) -> Result<Vec<N>, NotUnderstood> {
        let len = self.len(size_of::<N>())?;
        let bytes = self.take(len * size_of::<N>())?;
        let mut numbers: Vec<N> = bytemuck::pod_collect_to_vec(bytes);
        if cfg!(target_endian = "big") {
            numbers.iter_mut().for_each(|number| *number = number.ordered());
        }
        Ok(numbers)
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    /// # Errors
    /// If bytes are left over.
    pub fn end(&self) -> Result<(), NotUnderstood> {
        if self.bytes.is_empty() { Ok(()) } else { Err(NotUnderstood("it goes on behind its end")) }
    }
}

/// # Errors
/// With `what` if `holds` is false.
pub fn expect(holds: bool, what: &'static str) -> Result<(), NotUnderstood> {
    if holds { Ok(()) } else { Err(NotUnderstood(what)) }
}
