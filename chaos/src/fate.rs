//! Chance and wall-clock time of a simulation, taken from its seed.
//!
//! Random numbers reach a peer in many ways: hash maps, TLS keys, election times. All of them begin with
//! the C library's `getrandom`, and all wall-clock time with its `clock_gettime`. So this program has its
//! own of both: on a thread that simulates they follow the seed, elsewhere they ask the system. This is
//! the one place here that needs `unsafe`; without it, each crate below would have to be changed.
#![allow(unsafe_code)]

use rustix::rand::GetRandomFlags;
use rustix::time::{ClockId, clock_gettime as system_time};
use standin::testing::Prng;
use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};

thread_local! {
    static CHANCE: RefCell<Option<Prng>> = const { RefCell::new(None) };
}

/// What every simulation's wall clock says: a day in 2026. Certificates are issued and judged by it.
const WALL_CLOCK: i64 = 1_790_000_000;

/// From now on, chance on this thread follows from a seed. Call it first on a new thread.
pub fn follows(seed: u64) {
    CHANCE.set(Some(Prng::new(seed)));
}

/// How far this process's wall clock is off, in seconds: its machine's clock was set.
static JUMPED: AtomicI64 = AtomicI64::new(0);

/// Sets this process's wall clock so far ahead of its machine's, or behind.
pub fn wall_clock_jumps(seconds: i64) {
    JUMPED.store(seconds, Ordering::Relaxed);
}

/// Fills the bytes, if this thread simulates.
fn fill(bytes: &mut [u8]) -> bool {
    let filled = CHANCE.try_with(|chance| {
        let mut chance = chance.try_borrow_mut().ok()?;
        let chance = chance.as_mut()?;
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&chance.any().to_le_bytes()[..part.len()]));
        Some(())
    });
    matches!(filled, Ok(Some(())))
}

fn simulates() -> bool {
    CHANCE.try_with(|chance| chance.try_borrow().is_ok_and(|c| c.is_some())).unwrap_or(false)
}

/// Stands in for the C library's function of this name.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if buffer.is_null() || length == 0 {
        return 0;
    }
    // SAFETY: the caller gives a buffer of this length, as to the function that this one stands in for.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if fill(bytes) {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    match rustix::rand::getrandom(bytes, GetRandomFlags::from_bits_retain(flags)) {
        Ok(count) => isize::try_from(count).unwrap_or(isize::MAX),
        Err(_) => -1,
    }
}

/// The C library's `timespec`.
#[repr(C)]
pub struct Moment {
    seconds: i64,
    nanos: i64,
}

/// Stands in for the C library's function of this name.
///
/// # Safety
/// `moment` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: i32, moment: *mut Moment) -> i32 {
    let clock = match clock {
        0 | 5 if simulates() => None,
        0 => Some(ClockId::Realtime),
        1 => Some(ClockId::Monotonic),
        2 => Some(ClockId::ProcessCPUTime),
        3 => Some(ClockId::ThreadCPUTime),
        5 => Some(ClockId::RealtimeCoarse),
        6 => Some(ClockId::MonotonicCoarse),
        7 => Some(ClockId::Boottime),
        _ => return -1,
    };
    let now = match clock.map(system_time) {
        Some(now) => {
            let walls = matches!(clock, Some(ClockId::Realtime | ClockId::RealtimeCoarse));
            let jumped = if walls { JUMPED.load(Ordering::Relaxed) } else { 0 };
            Moment { seconds: now.tv_sec.saturating_add(jumped), nanos: now.tv_nsec }
        }
        None => Moment { seconds: WALL_CLOCK, nanos: 0 },
    };
    if !moment.is_null() {
        // SAFETY: the caller gives a place for it, as to the function that this one stands in for.
        unsafe { moment.write(now) };
    }
    0
}
