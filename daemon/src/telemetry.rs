//! The log: one JSON object a line, on standard error or in daily files.
//!
//! Every line has `timestamp`, `level`, `target` and `message`; then, beside them and not nested, the
//! fields of the event and of all spans around it. So whatever is logged while a request is served
//! has its `request_id`, at the same place on every line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::{Clock, System};
use crate::config::Log;

/// Keeps the log's writer alive. Dropping it writes out what is still waiting.
#[derive(Debug)]
#[must_use = "the last lines are lost when it is dropped early"]
pub struct Telemetry {
    _writer: Option<WorkerGuard>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The folder for the files cannot be made or written.
    #[error("cannot log in {} (log.directory): {reason}", .directory.display())]
    Directory {
        /// The folder.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something else in this process logs already.
    #[error("the log is already set up: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// What the operating system said, which the library wraps in a sentence about itself.
fn cause(error: &InitError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Sets up the log of this process, panics included.
///
/// # Errors
///
/// When the folder for the files cannot be used, or there is a log already.
pub fn start(log: &Log) -> Result<Telemetry, TelemetryError> {
    let (writer, guard) = writer(log)?;
    subscriber(log, writer, System::default()).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(
            location,
            reason = panic.payload_as_str().unwrap_or("unknown"),
            "panicked"
        );
    }));
    Ok(Telemetry { _writer: guard })
}

fn writer(log: &Log) -> Result<(BoxMakeWriter, Option<WorkerGuard>), TelemetryError> {
    let Some(directory) = &log.directory else {
        return Ok((BoxMakeWriter::new(io::stderr), None));
    };
    let refuse = |reason| TelemetryError::Directory {
        directory: directory.clone(),
        reason,
    };
    // Made here because the library would leave it open to everyone. Like the files in it, which get
    // their mode from the process's umask of 077, it is for the daemon's user alone; one that the
    // service manager made, and may have given to a group, stays as it is.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| refuse(error.to_string()))?;
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("agentidpd")
        .filename_suffix("log")
        .build(directory)
        .map_err(|error| refuse(cause(&error)))?;
    // Waits when the disk is slow instead of dropping lines, which is the library's default.
    let (files, guard) = NonBlockingBuilder::default()
        .lossy(false)
        .thread_name("log")
        .finish(files);
    let writer = if log.stderr {
        BoxMakeWriter::new(files.and(io::stderr))
    } else {
        BoxMakeWriter::new(files)
    };
    Ok((writer, Some(guard)))
}

fn subscriber(
    log: &Log,
    writer: BoxMakeWriter,
    clock: impl Clock,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(log.level.to_filter())
        .fmt_fields(JsonFields::new())
        .event_format(JsonLine(clock))
        .with_writer(writer)
        .finish()
}

/// Formats an event as one line.
///
/// The library's own JSON format nests: the fields of a span in `span`, which is the innermost one
/// and not the request's, or all of them in a list.
struct JsonLine<C>(C);

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    target: &'a str,
    message: Value,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

impl<C, S, N> FormatEvent<S, N> for JsonLine<C>
where
    C: Clock,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        // From the outermost span inwards and to the event, so that the nearest one wins.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let Some(formatted) = extensions.get::<FormattedFields<N>>() else {
                continue;
            };
            let Ok(Value::Object(recorded)) = serde_json::from_str(formatted.as_str()) else {
                continue;
            };
            for (name, value) in recorded {
                fields.put(&name, value);
            }
        }
        event.record(&mut fields);
        let line = Line {
            timestamp: self.0.now().to_string(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: fields.message,
            fields: fields.others,
        };
        writeln!(
            writer,
            "{}",
            serde_json::to_string(&line).map_err(|_error| fmt::Error)?
        )
    }
}

/// The fields of an event and its spans.
#[derive(Default)]
struct Fields {
    message: Value,
    others: BTreeMap<String, Value>,
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        match name {
            "message" => self.message = value,
            // A JSON object should have no name twice.
            "timestamp" | "level" | "target" => _ = self.others.insert(format!("{name}_"), value),
            _ => _ = self.others.insert(name.to_owned(), value),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field.name(), value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use agentidp_shared::Timestamp;

    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            "2026-11-21T12:00:00.007Z".parse().unwrap()
        }

        fn passed(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> Log {
        Log {
            level: crate::config::LogFilter::default(),
            directory: None,
            stderr: true,
        }
    }

    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let writer = BoxMakeWriter::new(move || writer.clone());
        tracing::subscriber::with_default(subscriber(&log(), writer, Noon), work);
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_line_inside_a_request_has_its_id_at_the_top() {
        let lines = logged(|| {
            let request =
                tracing::info_span!("request", request_id = "r-1", user = tracing::field::Empty);
            let _request = request.enter();
            tracing::info!("outer");
            request.record("user", "alice");
            let inner = tracing::info_span!("inner", step = 2);
            let _inner = inner.enter();
            tracing::warn!(tried = true, "inner");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["request_id"], "r-1");
        let expected = serde_json::json!({
            "timestamp": "2026-11-21T12:00:00.007Z", "level": "WARN", "target": module_path!(),
            "message": "inner", "request_id": "r-1", "user": "alice", "step": 2, "tried": true,
        });
        assert_eq!(lines[1], expected);
    }

    #[test]
    fn a_line_stays_one_line_and_no_name_comes_twice() {
        let lines =
            logged(|| tracing::info!(level = 7, request_id = %"a\nb", "first\nsecond \u{1b}[31m"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "first\nsecond \u{1b}[31m");
        assert_eq!(lines[0]["request_id"], "a\nb");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["level_"], 7);
    }

    #[test]
    fn what_the_filter_leaves_out_is_not_logged() {
        assert!(logged(|| tracing::debug!("quiet")).is_empty());
    }

    #[test]
    fn files_hold_every_line_once_the_guard_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log {
            directory: Some(folder.path().join("made/on/demand")),
            stderr: false,
            ..log()
        };
        let (writer, guard) = writer(&log).unwrap();
        tracing::subscriber::with_default(subscriber(&log, writer, Noon), || {
            for number in 0..1_000 {
                tracing::info!(number, "line");
            }
        });
        drop(guard);
        let directory = log.directory.unwrap();
        let files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1);
        let name = files[0].file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("agentidpd.2") && files[0].extension().is_some_and(|it| it == "log"),
            "{name}"
        );
        assert_eq!(
            std::fs::read_to_string(&files[0]).unwrap().lines().count(),
            1_000
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let directory = file.path().join("log");
        let log = Log {
            directory: Some(directory.clone()),
            ..log()
        };
        let error = writer(&log).err().unwrap().to_string();
        assert!(error.contains(directory.to_str().unwrap()), "{error}");
        assert!(
            error.contains("Not a directory") && error.lines().count() == 1,
            "{error}"
        );
    }
}
