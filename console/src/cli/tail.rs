//! `agentidp audit tail`.

use std::io::Write;
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_proto::v1::tail_audit_response::Event;
use tonic::Streaming;

use crate::args::Format;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::socket::SocketChoice;
use crate::text::counted;

use super::audit::{AuditLine, tell_missing};
use super::output::Output;
use super::tell;

/// Follows the log from `from` on (none: from the next entry) until it is interrupted.
pub(super) async fn run(
    socket: &SocketChoice,
    filter: v1::AuditFilter,
    from: Option<u64>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let tail = Tail {
        socket,
        filter,
        next: from,
        begins: from,
        output,
    };
    tokio::select! {
        result = tail.follow() => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// The log being followed, over as many connections as it takes.
struct Tail<'a, W> {
    socket: &'a SocketChoice,
    filter: v1::AuditFilter,
    /// The next entry wanted; none until the daemon has said where the log ends.
    next: Option<u64>,
    /// The first entry that was asked for, until there was one.
    begins: Option<u64>,
    output: &'a mut Output<W>,
}

impl<W: Write> Tail<'_, W> {
    /// Ends when the output closes, or with what connecting again cannot help.
    async fn follow(mut self) -> Result<(), Error> {
        // That the daemon cannot be reached at first is an error; later it is waited for.
        let mut stream = self.open().await?;
        self.heading()?;
        loop {
            let Err(error) = self.print_all(&mut stream).await;
            if !error.is_unreachable() {
                return Err(error);
            }
            tell(&format!("{error}; waiting for it to come back"));
            stream = self.open_again().await?;
            match self.next {
                Some(next) => tell(&format!("connected again, going on at {next}")),
                None => tell("connected again"),
            }
        }
    }

    async fn open(&self) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        // Never skipped: whoever reads a pipe sets the pace.
        Client::connect(self.socket)
            .await?
            .tail(self.next, self.filter.clone(), 0)
            .await
    }

    async fn open_again(&self) -> Result<Streaming<v1::TailAuditResponse>, Error> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            match self.open().await {
                Err(error) if error.is_unreachable() => {}
                result => return result,
            }
        }
    }

    async fn print_all(
        &mut self,
        stream: &mut Streaming<v1::TailAuditResponse>,
    ) -> Result<std::convert::Infallible, Error> {
        loop {
            let message = stream.message().await?.ok_or_else(|| Error::Unreachable {
                why: "the daemon ended the stream".to_owned(),
                hint: String::new(),
            })?;
            match message.event {
                Some(Event::Entry(entry)) => {
                    let next = entry.seq.saturating_add(1);
                    let begins = self.begins.take().unwrap_or(entry.seq);
                    if self.filter == v1::AuditFilter::default() {
                        tell_missing(entry.seq.saturating_sub(begins));
                    }
                    self.entry(&AuditLine::new(&entry))?;
                    self.next = Some(next);
                }
                Some(Event::Gap(gap)) => {
                    self.gap(gap.from, gap.to)?;
                    self.next = Some(gap.to.saturating_add(1));
                }
                Some(Event::Position(position)) => self.next = Some(position.next),
                None => {}
            }
        }
    }

    fn heading(&mut self) -> Result<(), Error> {
        if self.output.format() == Format::Table {
            let [seq, time, outcome, action, actor, details] =
                ["SEQ", "TIME", "OUTCOME", "ACTION", "ACTOR", "DETAILS"];
            self.output.line(&format!(
                "{seq:8}  {time:24}  {outcome:8}  {action:22}  {actor:24}  {details}"
            ))?;
        }
        self.output.flush()
    }

    fn entry(&mut self, line: &AuditLine) -> Result<(), Error> {
        match self.output.format() {
            Format::Table => self.output.line(&line.row())?,
            Format::Json | Format::Ndjson => self.output.line(line.stored())?,
        }
        self.output.flush()
    }

    fn gap(&mut self, from: u64, to: u64) -> Result<(), Error> {
        match self.output.format() {
            Format::Table => {
                let count = to.saturating_sub(from).saturating_add(1);
                let line = format!(
                    "~~~~ {} not shown: {from}-{to} ~~~~",
                    counted(count, "entry")
                );
                self.output.line(&line)?;
            }
            Format::Json | Format::Ndjson => {
                let line = format!("{{\"gap\":{{\"from\":{from},\"to\":{to}}}}}");
                self.output.line(&line)?;
            }
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"v":1,"seq":8,"time":"2026-11-21T04:43:34.120Z","actor":{"kind":"operator","id":"0","name":"alice","via":"socket"},"action":"agent.suspend","target":{"kind":"agent","id":"01936f2c-0000-7000-8000-000000000001"},"outcome":"success","reason":"odd requests"}"#;

    fn line(json: &str) -> AuditLine {
        AuditLine::new(&v1::AuditEntry {
            seq: 8,
            json: json.as_bytes().to_vec(),
        })
    }

    fn printed(format: Format, print: impl FnOnce(&mut Tail<'_, &mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        let mut output = Output::new(format, &mut bytes);
        print(&mut Tail {
            socket: &SocketChoice::default(),
            filter: v1::AuditFilter::default(),
            next: None,
            begins: None,
            output: &mut output,
        });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn programs_get_the_very_bytes_that_are_stored() {
        let spaced = ENTRY.replace(":8,", ": 8 ,");
        let text = printed(Format::Ndjson, |tail| tail.entry(&line(&spaced)).unwrap());
        assert_eq!(text, format!("{spaced}\n"));
    }

    #[test]
    fn people_get_a_row() {
        let text = printed(Format::Table, |tail| {
            tail.heading().unwrap();
            tail.entry(&line(ENTRY)).unwrap();
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_entry_of_a_later_version_is_shown_as_it_is() {
        let json = r#"{"v":9,"seq":8,"new":"\u001b"}"#;
        let text = printed(Format::Table, |tail| tail.entry(&line(json)).unwrap());
        assert_eq!(text.trim_end(), json);
    }

    #[test]
    fn a_gap_is_never_silent() {
        let table = printed(Format::Table, |tail| tail.gap(88_413, 89_616).unwrap());
        assert_eq!(table, "~~~~ 1,204 entries not shown: 88413-89616 ~~~~\n");
        let ndjson = printed(Format::Ndjson, |tail| tail.gap(3, 4).unwrap());
        assert_eq!(ndjson, "{\"gap\":{\"from\":3,\"to\":4}}\n");
    }
}
