//! A kernel in Rust whose global allocator writes each call to port 0xE9.
#![no_std]
#![no_main]
#![feature(alloc_error_handler)]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 65536;

fn out(port: u16, byte: u8) {
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte) }
}

fn log(letter: u8, words: &[usize]) {
    out(0xe9, letter);
    for word in words {
        out(0xe9, b' ');
        for digit in (0..8).rev() {
            out(0xe9, b"0123456789abcdef"[word >> (4 * digit) & 15]);
        }
    }
    out(0xe9, b'\n');
}

struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

impl Arena {
    fn take(&self, layout: Layout) -> usize {
        let memory = self.memory.get() as usize;
        let align = layout.align();
        let start = (memory + self.used.load(Ordering::Relaxed) + align - 1) & !(align - 1);
        self.used.store(start + layout.size() - memory, Ordering::Relaxed);
        start
    }
}

unsafe impl Sync for Arena {}

unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.take(layout);
        log(b'A', &[layout.size(), layout.align(), block]);
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        log(b'F', &[block as usize, layout.size(), layout.align()]);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = self.take(Layout::from_size_align_unchecked(size, layout.align()));
        core::ptr::copy_nonoverlapping(block, new as *mut u8, layout.size().min(size));
        log(b'R', &[block as usize, layout.size(), layout.align(), size, new]);
        new as *mut u8
    }
}

#[global_allocator]
static ARENA: Arena = Arena {
    memory: UnsafeCell::new([0; SIZE]),
    used: AtomicUsize::new(0),
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    log(b'P', &[]);
    out(0xf4, 1);
    loop {}
}

#[alloc_error_handler]
fn no_memory(_: Layout) -> ! {
    panic!()
}

#[inline(never)]
fn numbers(count: usize) -> Vec<usize> {
    let mut found = Vec::new();
    for number in 0..count {
        found.push(number);
    }
    found
}

#[inline(never)]
fn greeting(name: &str) -> String {
    let mut text = String::from("hello ");
    text.push_str(name);
    text
}

#[no_mangle]
pub extern "C" fn kmain() {
    let array = Box::new([7u32; 12]);
    let list = numbers(20);
    let zeros = alloc::vec![0u16; 33];
    let text = greeting("world");
    if array.len() + list.len() + zeros.len() + text.len() != 76 {
        panic!()
    }
    drop(list);
    core::mem::forget(text);
}
