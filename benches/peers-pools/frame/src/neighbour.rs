//! Another process that wants a core.

use std::{
    env,
    hint::black_box,
    io::Read as _,
    process::{Child, Command, Stdio},
    thread,
};

const FLAG: &str = "--keep-a-core-busy";

pub(crate) fn is_asked_for() -> bool {
    env::args().nth(1).as_deref() == Some(FLAG)
}

/// Never returns; ends with the process that asked, which holds the other end of the standard input.
pub(crate) fn keep_a_core_busy() -> ! {
    thread::spawn(|| {
        // An error ends it as well as the end does.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let mut turn = 0u64;
    loop {
        turn = black_box(turn.wrapping_add(1));
    }
}

pub(crate) struct Neighbour(Child);

impl Neighbour {
    pub(crate) fn start() -> Self {
        let program = env::current_exe().expect("a running program has a path");
        let mut command = Command::new(program);
        command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.spawn().expect("this program starts once more"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("the neighbour ends when it is told to");
    }
}
