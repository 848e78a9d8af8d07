//! What the system's allocator does with memory that is free again.

/// Keeps up to 2 GiB of freed memory for the next call, where it is glibc that allocates; else does nothing.
///
/// A call's states and rows are tens of megabytes that the next call wants again. glibc gives the end of its heap back to the
/// system whenever more than some hundred kilobytes of it are free: to fault those pages in anew took a third of the time of
/// forecasts of 1,024 sessions on a CPU. Blocks of 32 MiB and more still come from the system and go back to it: they are
/// zeros already, and a call for so much takes long anyway. (Other allocators were tried: mimalloc clears large blocks that it
/// reuses, which doubled the time of a card's prefill; jemalloc gave back as much as glibc.)
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEPT: i32 = i32::MAX; // 2 GiB a heap, all that the call takes
        const LARGE: i32 = 32 << 20;
        // SAFETY: sets two numbers of the allocator, which may be called at any time; a refusal changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        }
    }
}
