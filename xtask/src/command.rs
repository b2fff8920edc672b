//! Running child processes: streamed line by line, or captured.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Context as _, Error, Result};

/// How long a child may be silent before the runner says that it still lives.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// A `cargo` command of the toolchain that runs us.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).stdin(Stdio::null()).env("CARGO_TERM_COLOR", "never");
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs the command, echoes each line of its merged output and hands it to `each`. True if it ended well.
///
/// Output and errors share one pipe, so that a heading on one and results on the other keep their order.
pub(crate) fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let name = shown(command);
    println!("  $ {name}");
    let (reader, writer) = io::pipe().context("cannot open a pipe")?;
    command.stdout(writer.try_clone().context("cannot share a pipe")?).stderr(writer);
    let mut child = command.spawn().context(format_args!("cannot start `{name}`"))?;
    // The command keeps the writing ends; the reader sees the end only when they are gone.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = mpsc::channel();
    let pump = thread::spawn(move || pump(reader, &sender));
    let started = Instant::now();
    loop {
        match lines.recv_timeout(HEARTBEAT) {
            Ok(line) => {
                println!("{line}");
                each(&line);
            }
            Err(RecvTimeoutError::Timeout) => {
                println!("  … `{name}` is still running after {} s", started.elapsed().as_secs());
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    pump.join().map_err(|_| Error::new("the output reader panicked"))?.context("cannot read the output")?;
    Ok(child.wait().context(format_args!("cannot wait for `{name}`"))?.success())
}

fn pump(reader: io::PipeReader, sender: &mpsc::Sender<String>) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        bytes.clear();
        if sender.send(line).is_err() {
            break; // The receiver is gone: nobody wants the rest.
        }
    }
    Ok(())
}

/// Runs the command and returns its output; its errors go to the terminal. An exit code that is not zero is an error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let name = shown(command);
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context(format_args!("cannot start `{name}`"))?;
    if !output.status.success() {
        return Err(Error::new(format!("`{name}` failed: {}", output.status)));
    }
    String::from_utf8(output.stdout).context(format_args!("`{name}` printed no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_arrive_in_order() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let mut seen = Vec::new();
        let ok = stream(&mut command, |line| seen.push(line.to_owned())).unwrap();
        assert!(!ok);
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_streamed_command_can_be_captured_afterwards() {
        let mut command = Command::new("echo");
        assert!(stream(command.arg("word"), |_| {}).unwrap());
        assert_eq!(capture(&mut command).unwrap(), "word\n");
    }

    #[test]
    fn capture_reports_a_failure() {
        let error = capture(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
    }
}
