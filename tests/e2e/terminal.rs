//! An operator's day in real terminals: what is left in them, and of the secret, is nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agentidp_tests::users::is_there_to_test;
use agentidp_tests::{
    DevDaemon, Multiplexed, Multiplexer, Process, Terminal, TestConsole, agentidp, forms,
};
use nix::sys::signal::{Signal, kill};

use super::journey::{Day, assert_no_trace_in_memory, demo, find_process, secret_in, short};

#[test]
fn a_secret_is_gone_from_memory_as_soon_as_its_dialog_closes() {
    let mut day = Day::begin();
    let mut console = TestConsole::start(&day.daemon.socket());
    day.find(&mut console);
    day.rotate(&mut console);
    // Sent to the terminal's clipboard, it is encoded on the way.
    console.press("y");
    console.wait_for("sent to the terminal");
    day.close_the_secret(&mut console);
    assert_no_trace_in_memory(console.pid(), &day.secret);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

/// Spends the day in a terminal of this size, with the daemon killed in its middle.
fn spend_in(size: (u16, u16), environment: &[(&str, &str)]) -> Vec<u8> {
    let day = Day::begin();
    let socket = day.daemon.socket();
    let mut console = TestConsole::open(&Terminal {
        program: &agentidp(),
        arguments: &[],
        socket: &socket,
        environment,
        size,
    });
    let mut said = Vec::new();
    let day = day.spend(&mut console, &mut |console, daemon, _| {
        Day::kill_and_restart(console, daemon, &mut said)
    });
    assert_no_trace_in_memory(console.pid(), &day.secret);
    console.press(":q\r");
    let restored = console.wait_for_end();
    assert!(restored.status.success(), "{:?}", restored.status);
    assert_eq!(restored.screen.trim(), "", "the shell's screen is back");
    day.assert_no_trace_outside(&said);
    restored.written
}

#[test]
fn an_operator_s_day_leaves_nothing_at_80_columns() {
    let _ = spend_in((24, 80), &[]);
}

#[test]
fn an_operator_s_day_leaves_nothing_at_200_columns() {
    let _ = spend_in((60, 200), &[]);
}

#[test]
fn an_operator_s_day_needs_no_colour() {
    let written = spend_in((24, 80), &[("NO_COLOR", "1")]);
    let written = String::from_utf8_lossy(&written).into_owned();
    let colours = written.split("\u{1b}[").filter_map(|it| {
        let (parameters, _) = it.split_once('m')?;
        parameters
            .split(';')
            .find(|it| matches!(it.parse::<u8>(), Ok(30..=38 | 40..=48 | 90..=107)))
    });
    assert_eq!(colours.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_window_that_is_dragged_while_a_secret_is_shown_masks_it_and_loses_nothing() {
    let day = Day::begin();
    let socket = day.daemon.socket();
    let mut console = TestConsole::start(&socket);
    let day = day.spend(&mut console, &mut |console, daemon, _| {
        for step in 0..200_u16 {
            console.resize(24 + step % 37, 80 + step % 121);
        }
        console.resize(24, 80);
        console.wait_until("the mask", |screen| {
            secret_in(screen).is_none() && screen.contains("SHOWN ONCE")
        });
        daemon
    });
    assert_no_trace_in_memory(console.pid(), &day.secret);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
    day.assert_no_trace_outside(&[]);
}

#[test]
fn a_hang_up_while_a_secret_is_shown_paints_it_over() {
    let mut day = Day::begin();
    let mut console = TestConsole::start(&day.daemon.socket());
    day.find(&mut console);
    day.rotate(&mut console);
    console.signal(Signal::SIGHUP);
    let restored = console.wait_for_end();
    assert_eq!(secret_in(&restored.screen), None);
    // After the secret, the last frame and the end of the alternate screen were written.
    let written = String::from_utf8_lossy(&restored.written).into_owned();
    let after = written.rsplit_once(&forms(&day.secret)[0]).unwrap().1;
    let left = after.find("\u{1b}[?1049l").unwrap();
    assert!(after[..left].contains(&" ".repeat(40)), "{after:?}");
    day.assert_no_trace_outside(&[]);
}

#[test]
fn no_core_is_dumped_of_the_console() {
    let day = Day::begin();
    let mut console = TestConsole::start(&day.daemon.socket());
    console.wait_for("LIVE");
    let limits = fs::read_to_string(format!("/proc/{}/limits", console.pid())).unwrap();
    let cores = limits
        .lines()
        .find(|it| it.starts_with("Max core file size"));
    let cores: Vec<_> = cores.unwrap().split_ascii_whitespace().collect();
    assert_eq!(cores[4..6], ["0", "0"]);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

/// The line that runs the console and then says so, also when it was stopped in between.
fn console_in_shell() -> String {
    let program = agentidp();
    format!("sh -c '{}; echo \"left\"console'", program.display())
}

/// Spends the day in a shell inside of a multiplexer, stopped and continued in the middle, and
/// reads afterwards what the multiplexer has kept.
fn spend_inside(which: Multiplexer) {
    if !is_there_to_test(which.program(), "the console in a multiplexer") {
        return;
    }
    let day = Day::begin();
    let socket = day.daemon.socket();
    let mut shell = Multiplexed::start(which, &socket, (24, 80));
    let before = shell.file("before");
    let after = shell.file("after");
    shell.run(&format!("stty -a > {}", before.display()));
    shell.line(&console_in_shell());
    let mut kept = Vec::new();
    let day = day.spend(&mut shell.terminal, &mut |console, daemon, secret| {
        console.press("\u{1a}");
        console.wait_until("a stopped console and no secret", |screen| {
            screen.contains("Stopped") && !screen.contains(secret)
        });
        console.press("fg\r");
        console.wait_for("SHOWN ONCE");
        daemon
    });
    kept.push(shell.kept());
    assert_no_trace_in_memory(find_process(&agentidp(), &socket), &day.secret);
    shell.terminal.press(":q\r");
    shell.terminal.wait_for("leftconsole");
    shell.run(&format!("stty -a > {}", after.display()));
    kept.push(shell.kept());
    for kept in kept {
        assert!(!kept.contains(&day.secret), "{kept}");
        assert_eq!(secret_in(&kept), None, "{kept}");
    }
    assert!(shell.kept().contains("leftconsole"), "{}", shell.kept());
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(read(&after), read(&before), "the terminal's modes");
    day.assert_no_trace_outside(&[]);
}

#[test]
fn an_operator_s_day_in_tmux_leaves_no_secret_in_its_scrollback() {
    spend_inside(Multiplexer::Tmux);
}

#[test]
fn an_operator_s_day_in_tmux_without_an_alternate_screen_leaves_no_secret_in_its_scrollback() {
    spend_inside(Multiplexer::TmuxWithoutAlternate);
}

#[test]
fn an_operator_s_day_in_screen_leaves_no_secret_in_its_scrollback() {
    spend_inside(Multiplexer::Screen);
}

/// Lets a signal end the console while a secret is shown inside of a multiplexer.
fn end_while_shown(which: Multiplexer, signal: Signal) {
    if !is_there_to_test(which.program(), "the console in a multiplexer") {
        return;
    }
    let mut day = Day::begin();
    let socket = day.daemon.socket();
    let mut shell = Multiplexed::start(which, &socket, (24, 80));
    shell.line(&console_in_shell());
    day.find(&mut shell.terminal);
    day.rotate(&mut shell.terminal);
    kill(find_process(&agentidp(), &socket), signal).unwrap();
    shell.terminal.wait_for("leftconsole");
    let kept = shell.kept();
    assert_eq!(secret_in(&kept), None, "{kept}");
    assert!(!kept.contains(&day.secret), "{kept}");
}

#[test]
fn a_console_that_is_ended_while_a_secret_is_shown_leaves_none_in_the_scrollback() {
    end_while_shown(Multiplexer::TmuxWithoutAlternate, Signal::SIGTERM);
    end_while_shown(Multiplexer::Screen, Signal::SIGHUP);
}

/// Takes the terminal away from a console that was started by way of `before`, and waits for its end.
fn take_the_terminal_away(before: &str, limit: Duration) {
    if !is_there_to_test("tmux", "a terminal that is gone") {
        return;
    }
    // Whoever writes finds out by itself. So there is no clock, and no agent whose last use grows older.
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let mut shell = Multiplexed::start(Multiplexer::Tmux, &daemon.socket(), (24, 80));
    let config = shell.file("console.toml");
    fs::write(&config, "clock = false\n").unwrap();
    let lock = shell.file("lock");
    // The console has the lock for as long as it lives, and whoever waits for it sees the end.
    let lock = lock.display();
    shell.line(&format!(
        "exec sh -c 'exec 9> {lock}; flock 9; exec {before} {} --config {}'",
        agentidp().display(),
        config.display()
    ));
    shell.terminal.wait_for(short(&emails[0]));
    let _ = shell.terminal.written_after(Duration::from_secs(2));
    shell.hang_up();
    let mut command = Command::new("flock");
    command.arg(lock.to_string()).arg("true");
    let ended = Process::spawn(command).wait_within(limit);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_terminal_that_is_gone_ends_the_console() {
    take_the_terminal_away("", Duration::from_secs(1));
}

#[test]
fn a_terminal_that_goes_without_a_signal_leaves_no_console_that_spins() {
    // In a session of its own the console gets no SIGHUP.
    take_the_terminal_away("setsid --wait", Duration::from_secs(5));
}
