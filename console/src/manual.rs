//! The manual pages, made from the help texts.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::Args;
use crate::error::Error;

/// What the first page says of the surroundings.
const FILES: [(&str, &str); 2] = [
    (
        crate::socket::SYSTEM,
        "The socket of the daemon that systemd runs.",
    ),
    (
        crate::socket::DEV,
        "The socket of a daemon in dev mode, from the folder it was started in.",
    ),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "AGENTIDP_SOCKET",
        "The daemon's socket, as with --socket, which comes first.",
    ),
    (
        "AGENTIDP_READ_ONLY",
        "Anything but 0, no, false or nothing: as with --read-only.",
    ),
    ("NO_COLOR", "Anything: the console draws without colours."),
];

/// Prints the first page, or writes all pages into a folder, which is made if need be.
pub(crate) fn write(folder: Option<&Path>) -> Result<(), Error> {
    let Some(folder) = folder else {
        let page = page(&command()).map_err(Error::io("cannot make the page"))?;
        return io::stdout().lock().write_all(&page).map_err(Error::output);
    };
    let failed = |path: &Path| Error::io(format!("cannot write {}", path.display()));
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for (name, page) in pages().map_err(Error::io("cannot make the pages"))? {
        let path = folder.join(name);
        fs::write(&path, page).map_err(failed(&path))?;
    }
    Ok(())
}

fn command() -> Command {
    // The help command is in no page's interest.
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Every page with its file's name.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
        let name = Man::new(command.clone()).get_filename();
        pages.push((name, page(command)?));
        let mut shown = command.get_subcommands().filter(|it| !it.is_hide_set());
        shown.try_for_each(|command| collect(command, pages))
    }
    let mut pages = Vec::new();
    collect(&command(), &mut pages)?;
    Ok(pages)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let is_first = !command
        .get_bin_name()
        .is_some_and(|name| name.contains(' '));
    let man = Man::new(command.clone())
        .source(format!("AgentIdP {}", env!("CARGO_PKG_VERSION")))
        .manual("AgentIdP Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|it| !it.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|it| !it.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let notes = command.get_after_long_help();
    if let Some(notes) = notes.or_else(|| command.get_after_help()) {
        as_it_stands("NOTES", &notes.to_string(), &mut page)?;
    }
    if is_first {
        list("ENVIRONMENT", &ENVIRONMENT, &mut page)?;
        list("FILES", &FILES, &mut page)?;
    }
    Ok(page)
}

/// A section whose lines stay lines: clap's own rendering would run examples together.
fn as_it_stands(title: &str, text: &str, page: &mut impl Write) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

fn list(title: &str, items: &[(&str, &str)], page: &mut impl Write) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for (name, text) in items {
        roff.control("TP", []);
        roff.text([clap_mangen::roff::bold(*name)]);
        roff.text([roman(*text)]);
    }
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page_and_examples_keep_their_lines() {
        let pages = pages().unwrap();
        let text = |name: &str| {
            let (_, page) = pages.iter().find(|(it, _)| it == name).unwrap();
            String::from_utf8(page.clone()).unwrap()
        };
        for name in ["agentidp-agent-list.1", "agentidp-key-rotate.1"] {
            assert!(text(name).contains(".SH NOTES\n.nf\n"), "{name}");
        }
        let first = text("agentidp.1");
        assert!(first.contains("AGENTIDP_SOCKET") && first.contains("operator.sock"));
        assert!(!text("agentidp-status.1").contains("ENVIRONMENT\n.TP"));
    }
}
