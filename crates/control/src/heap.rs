//! How the allocator keeps memory: the server waits for most of its life, and what a build needed for a moment is not needed for waiting.

#![expect(unsafe_code, reason = "glibc's allocator is set up through C")]

/// By default every thread may get a heap of its own, and each keeps the most that it ever held.
const HEAPS: libc::c_int = 2;
/// Free memory at the end of a heap, in bytes, that goes back to the kernel. To say so also keeps glibc from raising its own thresholds
/// after each large block, up to 32 MiB: see `M_MMAP_THRESHOLD` in mallopt(3).
const KEPT_BYTES: libc::c_int = 128 * 1024;

/// Before there is a second thread.
pub(crate) fn keep_small() {
    // SAFETY: mallopt only sets numbers of the allocator; one that it does not know is refused and changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}
