//! Refusals in the audit log: every one of them is counted, and no flood of them fills it.

use std::collections::HashMap;

use agentidp_tests::TestDaemon;
use serde_json::Value;

/// How many refusals of one agent, for one action and reason, are entries of their own in a minute.
const PER_ACTOR: usize = 10;

/// Asserts that as many requests of agents came to nothing, by the audit log, as were `refused`, within the bounds
/// on entries of their own; gives what the log says of them. Starts the daemon again for it: what was counted and
/// not yet written is written when it ends.
pub(super) fn assert_counted(daemon: TestDaemon, refused: u64) -> Vec<Value> {
    let (installation, _) = daemon.stop();
    let list = ["audit", "list", "--limit", "100000", "-o", "ndjson"];
    let mut log = installation.start().cli().ndjson(&list);
    log.retain(|it| it["outcome"] != "success" && it["actor"]["kind"] == "agent");
    let counts = log.iter().map(|it| it["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), refused, "{log:?}");
    let mut single: HashMap<String, usize> = HashMap::new();
    for entry in log.iter().filter(|it| it["count"].is_null()) {
        let minute = entry["time"].as_str().unwrap().get(..16).unwrap();
        let kind = ["actor", "action", "code"].map(|member| &entry[member]);
        *single.entry(format!("{minute} {kind:?}")).or_default() += 1;
    }
    let most = single.into_iter().max_by_key(|(_, count)| *count);
    let is_bounded = most.as_ref().is_none_or(|(_, count)| *count <= PER_ACTOR);
    assert!(is_bounded, "{most:?}");
    log
}
