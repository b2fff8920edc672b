//! Server-sent events: the data of each, from bytes that may be cut anywhere.

use crate::{BackendError, ErrorKind};

/// No event of a model is longer; a server that sends more without an end is broken.
const MAX_EVENT: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Parser {
    /// A line that has no end yet.
    line: Vec<u8>,
    /// The last line ended with a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    data: Option<String>,
}

impl Parser {
    /// Takes more bytes; gives the data of the events that are complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, BackendError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line(&mut events)?,
                byte => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT {
                return Err(broken("an event of the stream has no end"));
            }
        }
        Ok(events)
    }

    /// The bytes have ended. An event that was not closed by an empty line is given too: some servers
    /// leave out the last one.
    pub(super) fn end(&mut self) -> Result<Vec<String>, BackendError> {
        let mut events = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut events)?;
        }
        events.extend(self.data.take());
        Ok(events)
    }

    fn end_line(&mut self, events: &mut Vec<String>) -> Result<(), BackendError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| broken("the stream is not valid text"))?;
        if line.is_empty() {
            events.extend(self.data.take());
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        // Other fields, and comments, whose field is empty, mean nothing here.
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }
}

fn broken(message: &str) -> BackendError {
    BackendError::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_of_every_form_are_read() {
        let text =
            ": hello\r\n\r\ndata: one\n\nevent: x\ndata:two\rdata: three\r\rid: 4\r\ndata\r\n\r\ndata: end";
        let mut parser = Parser::default();
        assert_eq!(parser.feed(text.as_bytes()).unwrap(), ["one", "two\nthree", ""]);
        assert_eq!(parser.end().unwrap(), ["end"]);
        assert!(parser.end().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_an_error() {
        assert!(Parser::default().feed(b"data: \xff\n").is_err());
        assert!(Parser::default().feed(&vec![b'x'; MAX_EVENT + 1]).is_err());
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            events in prop::collection::vec("[a-z äé€😀]{0,12}", 0..8),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 16),
            size in 1..7_usize,
        ) {
            let mut bytes = Vec::new();
            for (event, end) in events.iter().zip(&ends) {
                bytes.extend(format!("data: {event}{end}{end}").into_bytes());
            }
            let mut parser = Parser::default();
            let mut read = Vec::new();
            for chunk in bytes.chunks(size) {
                read.extend(parser.feed(chunk).unwrap());
            }
            prop_assert_eq!(read, events);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = Parser::default();
            if parser.feed(&bytes).is_ok() {
                let _ = parser.end();
            }
        }
    }
}
