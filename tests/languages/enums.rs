//! A kernel with enums whose variants have members, told apart by a number, by a null pointer, and by a value that others leave free.
#![no_std]
#![no_main]
#![feature(arbitrary_enum_discriminant)]

use core::cmp::Ordering;
use core::ptr::{addr_of, read_volatile};

#[derive(Clone, Copy)]
pub enum Shape {
    Empty,
    Circle { radius: u32 },
    Pair(u8, i16),
}

#[derive(Clone, Copy)]
#[repr(i8)]
pub enum Step {
    Back(u8) = -1,
    On(u8) = 1,
}

#[no_mangle]
pub static mut STEPS: [Step; 2] = [Step::Back(3), Step::On(4)];
#[no_mangle]
pub static mut SHAPES: [Shape; 3] = [Shape::Pair(4, -5), Shape::Empty, Shape::Circle { radius: 7 }];
static SEVEN: u32 = 7;
#[no_mangle]
pub static mut POINTERS: [Option<&'static u32>; 2] = [None, Some(&SEVEN)];
#[no_mangle]
pub static mut ORDERS: [Option<Ordering>; 2] = [Some(Ordering::Less), None];

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[no_mangle]
pub extern "C" fn kmain() {
    unsafe {
        read_volatile(addr_of!(STEPS));
        read_volatile(addr_of!(SHAPES));
        read_volatile(addr_of!(POINTERS));
        read_volatile(addr_of!(ORDERS));
    }
}
