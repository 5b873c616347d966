//! Large pages for what is looked into at random: with small ones the processor walks its tables for nearly every
//! look-up, and what it reads for that drives out what it needs next.
//!
//! Promises nothing that can be seen but speed; where the kernel gives none, memory is as it was.

/// Octets below which it is not worth a call: two large pages.
#[cfg(target_os = "linux")]
const LEAST: usize = 4 << 20;

/// Asks for large pages where this lies. To be called before it is written to, since what is there stays where it is.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the call has no safe name")]
pub(super) fn advise<T>(memory: &mut [T]) {
    let range = memory.as_mut_ptr_range();
    // The whole pages within; a page is 4 KiB or, elsewhere, up to 64.
    let page = rustix::param::page_size();
    let at = range.start.addr().next_multiple_of(page);
    let length = range.end.addr().saturating_sub(at);
    if length < LEAST {
        return;
    }
    let start = range.start.with_addr(at).cast();
    // SAFETY: advice about pages of ours, which changes nothing of what is in them.
    let advised = unsafe {
        rustix::mm::madvise(
            start,
            length - length % page,
            rustix::mm::Advice::LinuxHugepage,
        )
    };
    // A kernel without large pages says so; it is as before then.
    let _ = advised;
}

/// Does nothing.
#[cfg(not(target_os = "linux"))]
pub(super) const fn advise<T>(_memory: &mut [T]) {}
