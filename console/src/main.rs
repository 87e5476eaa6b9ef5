//! `agentidp`: see the library for what it is made of.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is given back. Secrets wipe themselves; the buffers that they go through on
/// their way, of libraries that know of no secrets, do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    agentidp_console::main()
}
