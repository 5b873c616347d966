//! Asks for memory before it is read, which needs `unsafe` though it reads nothing.
//!
//! Promises nothing that can be seen but speed; a processor without the instruction goes without.

/// Has the line that `place` begins in fetched, to be read next.
#[inline]
pub(super) fn prefetch<T>(place: &T) {
    fetch::<NEAR, T>(place);
}

/// Has it fetched, to be read after others: as far as the second cache, which can wait for more lines at once than the
/// first.
#[inline]
pub(super) fn prefetch_for_later<T>(place: &T) {
    fetch::<LATER, T>(place);
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0 as NEAR, _MM_HINT_T1 as LATER};
#[cfg(not(target_arch = "x86_64"))]
const NEAR: i32 = 3;
#[cfg(not(target_arch = "x86_64"))]
const LATER: i32 = 2;

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the instruction has no safe name")]
fn fetch<const HINT: i32, T>(place: &T) {
    let place = std::ptr::from_ref(place).cast();
    // SAFETY: a prefetch is a hint: it reads and writes nothing, and faults for no address. The instruction is
    // part of every x86_64.
    unsafe { std::arch::x86_64::_mm_prefetch::<HINT>(place) };
}

/// Does nothing.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
const fn fetch<const HINT: i32, T>(_place: &T) {}
