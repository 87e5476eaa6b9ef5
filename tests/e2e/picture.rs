//! The picture of the console that the README shows. `BLESS=1` takes it anew.

use std::fs;
use std::path::Path;

use agentidp_tests::{DevDaemon, Terminal, TestConsole, agentidp, picture, project_root};

use super::incident::alike;
use super::journey::{demo, select, short};

/// Where it stands, below the top folder of the project.
const PICTURE: &str = "docs/console.svg";

#[test]
fn the_picture_in_the_readme_is_of_this_console() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let _ = client.token(&[]).token();
    let suspend = [
        "agent", "suspend", &emails[1], "--reason", "on leave", "--yes",
    ];
    let _ = daemon.cli().run(&suspend).ok();

    let program = agentidp();
    let folder = daemon.directory().display().to_string();
    let arguments = ["-C", &folder, program.to_str().unwrap(), "--socket"];
    let mut console = TestConsole::open(&Terminal {
        program: Path::new("env"),
        arguments: &[&arguments[..], &["./.agentidp/operator.sock"]].concat(),
        socket: Path::new(""),
        environment: &[],
        size: (24, 120),
    });
    console.wait_for("LIVE");
    console.wait_for(short(&emails[0]));
    // Those of the demo may be registered within the same millisecond: they stand in no order then.
    console.press("s");
    console.wait_for("sort:email ^");
    select(&mut console, short(&emails[1]));
    // What it may do stands last.
    console.wait_for("job:write");
    let seen = picture(console.cells(), "The console of AgentIdP: its agents");

    let path = project_root().join(PICTURE);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &seen).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(
        alike(&kept),
        alike(&seen),
        "{PICTURE} shows another console: take it anew with BLESS=1"
    );
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}
