//! Asks for memory before it is read, which needs `unsafe` though it reads nothing.
//!
//! Promises nothing that can be seen but speed; a processor without the instruction goes without.

/// Has the line that `place` begins in fetched.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the instruction has no safe name")]
pub(super) fn prefetch<T>(place: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    let place = std::ptr::from_ref(place).cast();
    // SAFETY: a prefetch is a hint: it reads and writes nothing, and faults for no address. The instruction is
    // part of every x86_64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
}

/// Does nothing.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) const fn prefetch<T>(_place: &T) {}
