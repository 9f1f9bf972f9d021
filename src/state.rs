//! Bytes of a state that is to be kept: little-endian, without gaps, whole arrays at a time so that the
//! thread that owns the state is held up for little more than a copy. What the bytes mean is for whoever
//! writes them; the file around them carries version and checksum.

/// The bytes end early, or cannot be what they are read as. Their checksum was right, so another build
/// wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state is not understood: {0}")]
pub struct NotUnderstood(pub &'static str);

/// Appends to a buffer of the caller's.
pub struct StateWriter<'a>(pub &'a mut Vec<u8>);

/// A number of fixed width.
pub trait Number: Copy {
    const BYTES: usize;
    fn put(self, to: &mut [u8]);
    fn get(from: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Number for $number {
            const BYTES: usize = size_of::<$number>();
            fn put(self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_le_bytes());
            }
            fn get(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(from);
                <$number>::from_le_bytes(bytes)
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i64 f32 f64);

impl StateWriter<'_> {
    pub fn number(&mut self, number: impl Number) {
        self.plain(&[number]);
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

    fn plain<N: Number>(&mut self, numbers: &[N]) {
        let start = self.0.len();
        self.0.resize(start + numbers.len() * N::BYTES, 0);
        for (to, &number) in self.0[start..].chunks_exact_mut(N::BYTES).zip(numbers) {
            number.put(to);
        }
    }
}

/// Reads what a [`StateWriter`] wrote, in the same order.
pub struct StateReader<'a>(pub &'a [u8]);

impl<'a> StateReader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NotUnderstood> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(NotUnderstood("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// # Errors
    /// This and the others: if the bytes end early.
    pub fn number<N: Number>(&mut self) -> Result<N, NotUnderstood> {
        self.take(N::BYTES).map(N::get)
    }

    pub fn flag(&mut self) -> Result<bool, NotUnderstood> {
        Ok(self.number::<u8>()? != 0)
    }

    /// How many elements of at least `element_bytes` follow: never more than there are bytes for.
    pub fn len(&mut self, element_bytes: usize) -> Result<usize, NotUnderstood> {
        let len: u64 = self.number()?;
        let fits = usize::try_from(len).ok().filter(|len| *len <= self.0.len() / element_bytes.max(1));
        fits.ok_or(NotUnderstood("an array is longer than the state"))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], NotUnderstood> {
        let len = self.len(1)?;
        self.take(len)
    }

    pub fn numbers<N: Number>(&mut self) -> Result<Vec<N>, NotUnderstood> {
        let len = self.len(N::BYTES)?;
        Ok(self.take(len * N::BYTES)?.chunks_exact(N::BYTES).map(N::get).collect())
    }

    /// # Errors
    /// If bytes are left over.
    pub fn end(self) -> Result<(), NotUnderstood> {
        if self.0.is_empty() { Ok(()) } else { Err(NotUnderstood("it goes on behind its end")) }
    }
}

/// # Errors
/// With `what` if `holds` is false.
pub fn expect(holds: bool, what: &'static str) -> Result<(), NotUnderstood> {
    if holds { Ok(()) } else { Err(NotUnderstood(what)) }
}
